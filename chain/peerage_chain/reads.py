"""What can be read from the chain without a key. Each read is one request unless its docstring says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from peerage_chain.abi import artifact
from peerage_chain.challenge import word_and_bit
from peerage_chain.codec import (
    agreement_of,
    challenge_of,
    demand_of,
    docket_of,
    leaves_in,
    loss_of,
    member_of,
    probe_report_of,
    quality_record_of,
    removal_of,
    rules_of_word,
)
from peerage_chain.contracts import Contracts
from peerage_chain.errors import ContractsMissing
from peerage_chain.quality import Drawing, ProbeReport, QualityRecord
from peerage_chain.typed import Domain
from peerage_chain.types import (
    AgreementId,
    AgreementInfo,
    Anchor,
    ChainTime,
    Challenge,
    Demand,
    Docket,
    Epoch,
    Loss,
    MemberId,
    MemberInfo,
    Params,
    Removal,
)

ROSTER_PAGE = 50
AGREEMENTS_PAGE = 50
RECORDS_PAGE = 256
SEEDS_KEPT = 3
"""The current epoch and those before it whose seeds the chain still holds."""


class ChainReads:
    """The reading half of `Chain`."""

    def __init__(self, contracts: Contracts) -> None:
        self.contracts = contracts
        self.chain_id = contracts.domain.chain_id
        self._roster: tuple[MemberInfo, ...] = ()
        self._roster_generation = -1

    @property
    def domain(self) -> Domain:
        """What signatures on this deployment are bound to."""
        return self.contracts.domain

    @property
    def params(self) -> Params:
        return self.contracts.params

    @property
    def genesis(self) -> bytes:
        """The hash of the chain's first block."""
        return self.contracts.genesis

    @property
    def url(self) -> str:
        """The endpoint, fit to be shown."""
        return self.contracts.rpc.shown_url

    async def close(self) -> None:
        await self.contracts.rpc.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- time ---

    async def now(self) -> ChainTime:
        """The chain's clock, from its newest block."""
        block = await self.contracts.rpc.call("eth_getBlockByNumber", "latest", False)
        if block is None:
            raise ContractsMissing("the chain shows no newest block; use another endpoint")
        return chain_time(self.params, int(block["number"], 16), int(block["timestamp"], 16))

    async def epoch_valid(self, epoch: Epoch) -> bool:
        """Whether an epoch has a seed and is quorate itself; settled once its first half is over."""
        return bool(await self.contracts.read("Beacon", "valid", epoch))

    async def seed(self, epoch: Epoch) -> tuple[bytes, bool]:
        """(seed of an epoch, whether the beats before it reached the quorum).

        Raises Reverted("EpochForgotten") for an epoch before the last SEEDS_KEPT.
        """
        value, valid = await self.contracts.read("Beacon", "seed", epoch)
        return value, valid

    async def last_beat(self, member: MemberId) -> Epoch:
        """The newest epoch in which a member beat; 0 if it never did."""
        return Epoch(await self.contracts.read("Beacon", "lastBeatOf", member))

    async def beacon_tip(self, member: MemberId) -> tuple[bytes, Epoch]:
        """(newest committed or revealed tip, the epoch from which it is in effect)."""
        tip, since = await self.contracts.read("Beacon", "tipOf", member)
        return tip, Epoch(since)

    async def compare_endpoints(self, block: int) -> dict[str, bytes]:
        """The hash that each endpoint shows for one block, by its URL without secrets; one that has none is left out.

        Two hashes mean that an endpoint lies, or that the chain has split between them.
        """
        shown = await self.contracts.rpc.ask_all("eth_getBlockByNumber", hex(block), False)
        hashes = {}
        for url, answer in shown.items():
            try:
                hashes[url] = bytes.fromhex(answer["hash"].removeprefix("0x"))
            except (TypeError, KeyError, ValueError, AttributeError):
                continue
        return hashes

    # --- members ---

    async def roster_generation(self) -> int:
        """Grows at every change of the roster (not when a key expires)."""
        return int(await self.contracts.read("Members", "generation"))

    async def roster(self) -> Sequence[MemberInfo]:
        """All members; read again only when their generation has changed."""
        # The generation is read first: a change during the reading shows as a newer one next time.
        generation, count = await self.contracts.read_many([("Members", "generation", ()), ("Members", "count", ())])
        if generation != self._roster_generation:
            pages = await self.contracts.read_many(
                [("Members", "roster", (first, ROSTER_PAGE)) for first in range(1, count + 1, ROSTER_PAGE)]
            )
            self._roster = tuple(member_of(raw) for page in pages for raw in page)
            self._roster_generation = generation
        return self._roster

    def known_roster(self) -> Sequence[MemberInfo]:
        """All members as they were read last, however long ago; none before the first reading."""
        return self._roster

    async def member_by_account(self, account: str) -> MemberInfo | None:
        """The member whose account this is, or None."""
        id = await self.contracts.read("Members", "memberOfAccount", account)
        return await self._member(id)

    async def member_of_key(self, key: str) -> MemberInfo | None:
        """The member for which this key acts now (a live node key, or the account), or None."""
        id = await self.contracts.read("Members", "memberOf", key)
        return await self._member(id)

    async def maintenance(self, member: MemberId, first: Epoch, end: Epoch) -> tuple[Epoch, ...]:
        """The epochs in [first, end) in which a member has declared maintenance."""
        words = range(word_and_bit(first)[0], word_and_bit(max(first, end - 1))[0] + 1)
        values = await self.contracts.read_many([("Members", "maintenanceWord", (member, w)) for w in words])
        bits = dict(zip(words, values, strict=True))
        places = ((e, *word_and_bit(e)) for e in range(first, end))
        return tuple(Epoch(e) for e, word, bit in places if bits[word] >> bit & 1)

    async def _member(self, id: int) -> MemberInfo | None:
        if id == 0:
            return None
        page = await self.contracts.read("Members", "roster", id, 1)
        return member_of(page[0])

    # --- agreements ---

    async def agreement(self, id: AgreementId) -> AgreementInfo:
        """Raises Reverted("UnknownAgreement") if there is none."""
        return agreement_of(await self.contracts.read("Agreements", "get", id))

    async def agreements(self, ids: Sequence[AgreementId]) -> tuple[AgreementInfo, ...]:
        """Many at once; unknown ids come back in state NONE."""
        pages = await self.contracts.read_many(
            [("Agreements", "list", (list(ids[i : i + AGREEMENTS_PAGE]),)) for i in range(0, len(ids), AGREEMENTS_PAGE)]
        )
        return tuple(agreement_of(raw) for page in pages for raw in page)

    async def agreement_ids_of(self, member: MemberId) -> tuple[AgreementId, ...]:
        """Those in which a member is client or provider, oldest first."""
        return tuple(AgreementId(id) for id in await self.contracts.read("Agreements", "agreementsOf", member))

    async def agreements_of(self, member: MemberId) -> Sequence[AgreementInfo]:
        """Those in which a member is client or provider, oldest first. Two requests."""
        return await self.agreements(await self.agreement_ids_of(member))

    async def removal_of(self, id: AgreementId) -> Removal | None:
        """The removal of data that is announced and still pending, or None."""
        return removal_of(await self.contracts.read("Agreements", "removalOf", id))

    async def promised(self, provider: MemberId) -> int:
        """Bytes that a provider has promised in agreements in force."""
        return int(await self.contracts.read("Agreements", "promised", provider))

    # --- proofs ---

    async def challenge(self, id: AgreementId, epoch: Epoch) -> Challenge:
        """What a provider must prove in an epoch, over the revision frozen before it."""
        return (await self.challenges([id], epoch))[0]

    async def challenges(self, ids: Sequence[AgreementId], epoch: Epoch) -> tuple[Challenge, ...]:
        """The challenges of many agreements, in their order."""
        pages = await self._challenge_views(ids, epoch)
        return tuple(challenge_of(raw, epoch) for raw in pages)

    async def open_challenges(self, ids: Sequence[AgreementId], epoch: Epoch) -> tuple[Challenge, ...]:
        """Those of `challenges` that are due and not proven yet: what a prover polls for."""
        pages = await self._challenge_views(ids, epoch)
        return tuple(challenge_of(raw, epoch) for raw in pages if raw["due"] and not raw["proven"])

    async def _challenge_views(self, ids: Sequence[AgreementId], epoch: Epoch) -> list[dict[str, Any]]:
        pages = await self.contracts.read_many(
            [
                ("Proofs", "challenges", (list(ids[i : i + AGREEMENTS_PAGE]), epoch))
                for i in range(0, len(ids), AGREEMENTS_PAGE)
            ]
        )
        return [raw for page in pages for raw in page]

    async def loss_of(self, id: AgreementId) -> Loss | None:
        """The loss that the provider reported last, over or not, or None."""
        return loss_of(await self.contracts.read("Proofs", "lossOf", id))

    async def demand(self, number: int) -> Demand:
        """A demand by its number; in state NONE if there is none."""
        return demand_of(number, await self.contracts.read("Demands", "get", number))

    async def open_demands(self, provider: MemberId) -> tuple[Demand, ...]:
        """The demands that a provider has not answered yet. Two requests."""
        numbers = await self.contracts.read("Demands", "openOf", provider)
        raws = await self.contracts.read_many([("Demands", "get", (number,)) for number in numbers])
        return tuple(demand_of(number, raw) for number, raw in zip(numbers, raws, strict=True))

    async def published(self, number: int) -> tuple[bytes, ...]:
        """The leaves that a demand brought to light, ascending; none while it is not answered."""
        for fields in await self._answers(f"0x{number:064x}"):
            return leaves_in(fields["proof"])
        return ()

    async def answered_demands(self, id: AgreementId) -> tuple[tuple[Demand, tuple[bytes, ...]], ...]:
        """Every demand under an agreement that was answered, with the leaves it brought to light, oldest first.

        Two requests."""
        answers = await self._answers(None, "0x" + id.hex())
        raws = await self.contracts.read_many([("Demands", "get", (fields["demand"],)) for fields in answers])
        return tuple(
            (demand_of(fields["demand"], raw), leaves_in(fields["proof"]))
            for fields, raw in zip(answers, raws, strict=True)
        )

    async def _answers(self, *topics: str | None) -> list[dict[str, Any]]:
        """The events of answered demands; topics: the number and the agreement that they are to have, None for any."""
        event = artifact("Demands").events["Answered"]
        logs = await self.contracts.rpc.call(
            "eth_getLogs",
            {
                "address": self.contracts.addresses["Demands"],
                "topics": ["0x" + event.topic.hex(), *topics],
                "fromBlock": "0x0",
            },
        )
        return [
            event.decode([bytes.fromhex(topic[2:]) for topic in log["topics"]], bytes.fromhex(log["data"][2:]))
            for log in logs
        ]

    async def proven(self, id: AgreementId, epoch: Epoch) -> bool:
        """Whether an accepted proof is on record."""
        return bool(await self.contracts.read("Proofs", "proven", id, epoch))

    async def proven_word(self, id: AgreementId, word: int) -> int:
        """Bit i: proven in epoch word * 256 + i."""
        return int(await self.contracts.read("Proofs", "provenWord", id, word))

    # --- quality ---

    async def drawing(self, epoch: Epoch) -> Drawing | None:
        """What the draws of an epoch depend on, besides a member's own link; None if it has no seed.

        Raises Reverted("EpochForgotten") for an epoch before the last SEEDS_KEPT.
        """
        (seed, seeded), active, (rules, _) = await self.contracts.read_many(
            [
                ("Beacon", "seed", (epoch,)),
                ("Beacon", "activeCount", (max(0, epoch - 1),)),
                ("Directory", "rulesAt", (epoch,)),
            ]
        )
        return Drawing(epoch, seed, active, rules_of_word(rules).committee) if seeded else None

    async def quality_records(
        self, providers: Sequence[MemberId], first: Epoch, end: Epoch
    ) -> dict[MemberId, tuple[QualityRecord | None, ...]]:
        """Each provider's median record of every epoch in [first, end); None where there is none."""
        pages = [(p, start) for p in providers for start in range(first, end, RECORDS_PAGE)]
        answers = await self.contracts.read_many(
            [("Quality", "recordsOf", (p, start, min(end, start + RECORDS_PAGE))) for p, start in pages]
        )
        records: dict[MemberId, tuple[QualityRecord | None, ...]] = {provider: () for provider in providers}
        for (provider, _), answer in zip(pages, answers, strict=True):
            records[provider] += tuple(quality_record_of(raw) for raw in answer)
        return records

    async def probe_reports(self, provider: MemberId) -> tuple[Epoch, tuple[ProbeReport, ...]]:
        """The newest epoch with reports on a provider, and these, in the order of their coming; (0, ()) for none."""
        epoch, raws = await self.contracts.read("Quality", "reportsOn", provider)
        return Epoch(epoch), tuple(probe_report_of(raw) for raw in raws)

    # --- money and heads ---

    async def balance(self, member: MemberId) -> int:
        """Free micro-credits in the member's clearing account."""
        return int(await self.contracts.read("Clearing", "balanceOf", member))

    async def dockets_of(self, id: AgreementId) -> tuple[Docket, ...]:
        """The agreement's contested penalties, open and closed, by their numbers from 0 on."""
        return tuple(docket_of(raw) for raw in await self.contracts.read("Clearing", "docketsOf", id))

    async def anchor_of(self, member: MemberId, repository: int) -> Anchor:
        """The newest anchored head of a repository; number 0 if there is none."""
        number, head, epoch = await self.contracts.read("Anchors", "latest", member, repository)
        return Anchor(number, head, Epoch(epoch))


def chain_time(params: Params, block: int, timestamp_s: int) -> ChainTime:
    """The chain's clock as a block shows it. Epoch 0 also covers all time before genesis."""
    epoch = max(0, timestamp_s - params.genesis_time_s) // params.epoch_s
    return ChainTime(
        block=block,
        timestamp_s=timestamp_s,
        epoch=Epoch(epoch),
        epoch_start_s=params.genesis_time_s + epoch * params.epoch_s,
        epoch_s=params.epoch_s,
    )
