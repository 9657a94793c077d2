"""An audit's evidence: the past from events, the contracts' views of the same block, and where the two disagree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from peerage_chain.challenge import challenge_indices, word_and_bit
from peerage_chain.codec import agreement_of, member_of, quality_record_of
from peerage_chain.history import AgreementPast, History
from peerage_chain.judge import Verdict
from peerage_chain.quality import drawn
from peerage_chain.reads import AGREEMENTS_PAGE, ROSTER_PAGE, SEEDS_KEPT, ChainReads, chain_time
from peerage_chain.replay import Replay, replay
from peerage_chain.rpc import RpcError
from peerage_chain.told import read_history
from peerage_chain.types import (
    ZERO32,
    AgreementId,
    AgreementInfo,
    ChainTime,
    Epoch,
    MemberId,
    MemberInfo,
)


@dataclass
class Evidence:
    """Everything that a report is made from, all of one block.

    false_epochs: where the contract's verdict or seed is not what the revealed links make. false_agreements: where a
    view, a challenge, a verdict or an amount does not follow from the events. false_records: (provider, epoch) where a
    probe report was not due, or the contract's record is not the median of the reports.
    """

    now: ChainTime
    first: int
    last: int
    members: list[MemberInfo]
    balances: dict[MemberId, int]
    agreements: dict[AgreementId, AgreementInfo]
    history: History
    replays: dict[AgreementId, Replay]
    false_epochs: set[int]
    false_agreements: set[AgreementId]
    false_records: set[tuple[MemberId, int]] = field(default_factory=set)

    @property
    def epochs(self) -> range:
        return range(self.first, self.last + 1)

    def parties(self, member: int | None) -> list[AgreementPast]:
        return [
            past
            for past in self.history.agreements.values()
            if member is None or member in (past.terms.client, past.terms.provider)
        ]

    def within(self, id: AgreementId) -> list[Verdict]:
        return [v for v in self.replays[id].verdicts if self.first <= v.epoch <= self.last]


async def read_evidence(chain: ChainReads, from_epoch: int | None = None, to_epoch: int | None = None) -> Evidence:
    """Read the chain up to its newest block, judge everything anew, and compare.

    from_epoch, to_epoch: the epochs asked for, both included; cut to the closed ones.
    """
    now = await chain.now()
    contracts = chain.contracts
    history = await read_history(contracts, now.block)
    (count,) = await contracts.read_many([("Members", "count", ())], now.block)
    pages = await contracts.read_many(
        [("Members", "roster", (first, ROSTER_PAGE)) for first in range(1, count + 1, ROSTER_PAGE)], now.block
    )
    members = [member_of(raw) for page in pages for raw in page]
    balances = await contracts.read_many([("Clearing", "balanceOf", (m.id,)) for m in members], now.block)
    ids = list(history.agreements)
    views = [
        agreement_of(raw)
        for page in await contracts.read_many(
            [("Agreements", "list", (ids[i : i + AGREEMENTS_PAGE],)) for i in range(0, len(ids), AGREEMENTS_PAGE)],
            now.block,
        )
        for raw in page
    ]
    # An epoch is closed once the beats of the next one are.
    closed_before = now.epoch if not now.beats_open else max(0, now.epoch - 1)
    replays = {id: replay(history, past, closed_before) for id, past in history.agreements.items()}
    evidence = Evidence(
        now=now,
        first=max(0, from_epoch or 0),
        last=min(closed_before - 1, closed_before - 1 if to_epoch is None else to_epoch),
        members=members,
        balances={m.id: balance for m, balance in zip(members, balances, strict=True)},
        agreements={view.id: view for view in views},
        history=history,
        replays=replays,
        false_epochs=set(),
        false_agreements={id for id, view in zip(ids, views, strict=True) if not _same(replays[id], view)},
    )
    await _check_removals(chain, evidence)
    await _check_epochs(chain, evidence)
    await _check_proven(chain, evidence)
    await _check_challenges(chain, evidence)
    await _check_records(chain, evidence)
    return evidence


def _same(done: Replay, view: AgreementInfo) -> bool:
    """Whether an agreement's events follow from each other, and tell the same as its view."""
    past = done.past
    newest = past.revisions[-1] if past.revisions else None
    told = (newest.sequence, newest.root, newest.leaves) if newest else (0, ZERO32, 0)
    return (
        done.agrees
        and not past.lost_unannounced
        and past.state is view.state
        and past.deal == view.terms
        and past.amendments == view.amendments
        and told == (view.sequence, view.root, view.leaves)
        and sum(s.missed for s in past.settlements) == view.misses
        and (done.escrow, done.settled_collateral) == (view.escrow, view.collateral)
    )


async def _check_removals(chain: ChainReads, evidence: Evidence) -> None:
    """Compare each announced removal with the minimum retention, counted from the time of the announcement's block."""
    announced = [
        (past, block, removal, retention)
        for past in evidence.history.agreements.values()
        for block, removal, retention in past.announced
    ]
    blocks = await chain.contracts.rpc.batch([("eth_getBlockByNumber", [hex(b), False]) for _, b, _, _ in announced])
    for (past, number, removal, retention), block in zip(announced, blocks, strict=True):
        if isinstance(block, RpcError):
            raise block
        epoch = chain_time(chain.params, number, int(block["timestamp"], 16)).epoch
        if removal.ready != epoch + retention:
            evidence.false_agreements.add(past.id)


async def _check_epochs(chain: ChainReads, evidence: Evidence) -> None:
    """Compare which epochs are quorate, by the beats, with what the contract says of all of them."""
    around = range(max(0, evidence.first - 1), evidence.last + 2)  # verdicts depend on both neighbours
    words = sorted({word_and_bit(e)[0] for e in around})
    found = await chain.contracts.read_many([("Beacon", "quorateWord", (w,)) for w in words], evidence.now.block)
    quorate = dict(zip(words, found, strict=True))
    for epoch in around:
        word, bit = word_and_bit(epoch)
        if bool(quorate[word] >> bit & 1) != evidence.history.quorate(epoch):
            evidence.false_epochs.add(epoch)


async def _check_proven(chain: ChainReads, evidence: Evidence) -> None:
    """Compare the recorded proofs with the bits that settlements go by."""
    asked = [
        (id, word)
        for id in evidence.replays
        for word in sorted({word_and_bit(v.epoch)[0] for v in evidence.within(id)})
    ]
    words = await chain.contracts.read_many([("Proofs", "provenWord", pair) for pair in asked], evidence.now.block)
    for (id, word), bits in zip(asked, words, strict=True):
        proven = evidence.history.agreements[id].proven
        epochs = [v.epoch for v in evidence.within(id) if word_and_bit(v.epoch)[0] == word]
        if any(bool(bits >> word_and_bit(e)[1] & 1) != (e in proven) for e in epochs):
            evidence.false_agreements.add(id)


async def _check_challenges(chain: ChainReads, evidence: Evidence) -> None:
    """Compare seeds and challenges, made from the revealed links, with the contracts', as long as these keep them."""
    history, block = evidence.history, evidence.now.block
    epochs = [e for e in evidence.epochs if e > evidence.now.epoch - SEEDS_KEPT]
    wanted: dict[int, list[AgreementId]] = {}
    for id in evidence.replays:
        for verdict in evidence.within(id):
            if verdict.epoch in epochs:
                wanted.setdefault(verdict.epoch, []).append(id)
    seeds = await chain.contracts.read_many([("Beacon", "seed", (e,)) for e in epochs], block)
    derived = {epoch: history.seed(epoch) for epoch in epochs}
    for epoch, (value, seeded) in zip(epochs, seeds, strict=True):
        own = derived[epoch]
        if seeded != (own is not None) or (own is not None and own != value):
            evidence.false_epochs.add(epoch)
    asked = [
        (epoch, wanted[epoch][i : i + AGREEMENTS_PAGE])
        for epoch in sorted(wanted)
        for i in range(0, len(wanted[epoch]), AGREEMENTS_PAGE)
    ]
    shown = await chain.contracts.read_many([("Proofs", "challenges", (ids, epoch)) for epoch, ids in asked], block)
    proofs = chain.contracts.addresses["Proofs"]
    for (epoch, ids), views in zip(asked, shown, strict=True):
        for id, view in zip(ids, views, strict=True):
            if not _challenge_follows(chain, history.agreements[id], proofs, Epoch(epoch), derived[epoch], view):
                evidence.false_agreements.add(id)


async def _check_records(chain: ChainReads, evidence: Evidence) -> None:
    """Compare every record of quality with the reports, and the reports with the draws that the links make."""
    history = evidence.history
    asked = sorted(key for key in history.quality.reports if evidence.first <= key[1] <= evidence.last)
    views = await chain.contracts.read_many([("Quality", "recordOf", key) for key in asked], evidence.now.block)
    for key, view in zip(asked, views, strict=True):
        made = history.quality.record(*key)
        if not _reports_were_due(history, *key) or not made == quality_record_of(view) == history.quality.told.get(key):
            evidence.false_records.add(key)


def _reports_were_due(history: History, provider: MemberId, epoch: int) -> bool:
    """Whether every report came from a member that was drawn, one of an entity, and none of the provider's own."""
    reports, seed = history.quality.reports[provider, epoch], history.seed(epoch)
    links, active = history.beats.get(epoch + 1, {}), history.active_count(epoch - 1)
    entities = {history.entities.get(member) for member in (provider, *(r.member for r in reports))}
    return (
        seed is not None
        and len(entities) == len(reports) + 1
        and all(
            r.member in links and drawn(seed, links[r.member], provider, active, history.rules_at(epoch).committee)
            for r in reports
        )
    )


def _challenge_follows(
    chain: ChainReads, past: AgreementPast, proofs: str, epoch: Epoch, seed: bytes | None, view: dict[str, Any]
) -> bool:
    """Whether the contract's view of one challenge is what the recorded revisions, proofs and links make."""
    frozen = past.frozen(epoch)
    if frozen is None or (view["sequence"], view["root"], view["leaves"]) != (
        frozen.sequence,
        frozen.root,
        frozen.leaves,
    ):
        return False
    if view["proven"] != (epoch in past.proven):
        return False
    if not view["due"]:  # no seed, or the agreement is over by now
        return True
    if seed is None or view["seed"] != seed:
        return False
    samples = chain.params.samples
    own = challenge_indices(seed, chain.chain_id, proofs, past.id, past.terms.provider, samples, frozen.leaves)
    return own == tuple(view["indices"])
