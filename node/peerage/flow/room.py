"""Room at the providers: which agreements can take another shard, and getting more when they cannot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from peerage.deal.decision import Decision
from peerage.deal.ranking import Ranking, permits, rank
from peerage.errors import PeerError, TooFewProviders
from peerage.flow.agree import agree, is_replaced
from peerage.flow.context import NodeContext, Report, warn
from peerage.flow.feasible import MIN_CAPACITY, possible
from peerage.flow.losses import ends_soon
from peerage.flow.offers import prospect, refresh_promised
from peerage.flow.quality import below_since, quality_of
from peerage.model import MIB, AgreementId, Code, Epoch, MemberId, PackId
from peerage.place import Candidate, commit_threshold, place, smaller_code
from peerage_chain.errors import ChainUnavailable
from peerage_chain.types import MemberInfo

SPARES = 2
"""Agreements beyond what a stripe needs: a failed provider is replaced at once, and the head is at more places."""
HEAD_RESERVE = 4 * MIB
"""Kept free in every agreement, so that a head always fits after the data."""


@dataclass(slots=True)
class Slot:
    agreement: AgreementId
    provider: MemberId
    free: int


class Room:
    """Capacity under the member's live agreements, reserved as shards are assigned.

    `expect(n)` says how many bytes (after coding) are still to come, so that new agreements are sized well.
    Providers that failed in this run get nothing new (`avoid`). Those whose last proof is missing, or whose
    measured quality is below the policy's floor, get something only when no stripe could commit without them: a chain
    or a machine that was slow makes everybody miss a proof.
    """

    def __init__(self, context: NodeContext, report: Report) -> None:
        self._context = context
        self._report = report
        self._slots: list[Slot] = []
        self._members: dict[MemberId, MemberInfo] = {}
        self._allowed: set[MemberId] = set()
        self._numbers = ""
        self._avoid: set[MemberId] = set()
        self._doubted: set[MemberId] = set()
        self._filled: set[MemberId] = set()
        self._lock = asyncio.Lock()
        self._expected = 0
        self._said_degraded = False
        self.code = Code(1, 1)

    async def open(self, expected: int, least: int | None = None) -> None:
        """Read members and agreements, choose the code, and make sure that a stripe fits (or `least` shards of one).

        expected: bytes that are about to come, before coding. Raises TooFewProviders; ChainUnavailable when the chain
        is away and the agreements that are there do not suffice.
        """
        context = self._context
        self._members = {
            info.id: info
            for info in await _members(context)
            if info.id != context.member and info.status.promises and info.nodes
        }
        policy = context.policy()
        self._allowed = {m for m, info in self._members.items() if permits(info, policy)}
        found = possible(context, self._members.values())
        self._numbers = found.numbers
        self.code = found.code
        self._expected = expected * self.code.n // self.code.k
        self._slots = [
            Slot(a.id, a.provider, a.capacity - a.used)
            for a in context.catalogue.agreements()
            if a.live
            and a.provider in self._allowed
            and not is_replaced(context.catalogue, a.id)
            and not ends_soon(context, a, self._members[a.provider])
        ]
        self._doubted = {m for m in self._allowed if below_since(context.catalogue, m)}
        for slot in self._slots:
            last = context.catalogue.checks(slot.agreement, 1)
            if last and not last[0].proven:
                self._doubted.add(slot.provider)
        async with self._lock:
            while True:
                try:
                    return await self._ensure(MIB, least)
                except (TooFewProviders, ChainUnavailable):
                    if least is not None or not self.step_down(MIB):
                        raise

    def expect(self, n_bytes: int) -> None:
        """So many more bytes are about to come, before coding."""
        self._expected = n_bytes * self.code.n // self.code.k

    def step_down(self, shard_length: int) -> bool:
        """Go on with a smaller code, for as many providers as can take such a shard; False when the policy names the
        code, or there are too few for any. A backup with a smaller margin is better than none, and says so.
        """
        usable = sum(free >= shard_length for free in self._free().values())
        smaller = smaller_code(self.code, usable)
        if smaller is None or self._context.policy().take.wanted_code() is not None:
            return False
        warn(self._report, f"{usable} providers can take a shard: new stripes are {smaller}, not {self.code}, for now")
        self.code = smaller
        return True

    def avoid(self, member: MemberId) -> None:
        """Give this member nothing more in this run."""
        self._avoid.add(member)

    def full(self, slot: Slot) -> None:
        """The provider says that nothing more fits under this agreement; another one with it may be opened, once."""
        slot.free = 0
        if slot.provider in self._filled:
            self.avoid(slot.provider)
        self._filled.add(slot.provider)

    def _free(self) -> dict[MemberId, int]:
        """The largest free stretch at each usable member, bytes."""
        free: dict[MemberId, int] = {}
        for slot in self._slots:
            if slot.provider not in self._avoid | self._doubted:
                free[slot.provider] = max(free.get(slot.provider, 0), slot.free - HEAD_RESERVE)
        return free

    async def _ensure(self, shard_length: int, wanted: int | None = None, without: Collection[MemberId] = ()) -> None:
        """Try to have `wanted` usable members (by default the code's n) with room for a shard.

        Raises TooFewProviders below `wanted`, or without it below what a stripe needs to commit.
        """
        usable = {m for m, free in self._free().items() if free >= shard_length}
        needed = self.code.n if wanted is None else wanted
        if len(usable - set(without)) >= needed:
            return
        policy = self._context.policy()
        left_out = usable | self._avoid | self._doubted | set(without)
        share = self._expected * 5 // 4 // max(1, needed)
        capacity = max(MIN_CAPACITY, share + HEAD_RESERVE + shard_length)
        with contextlib.suppress(ChainUnavailable):  # then as it was at the last look
            await refresh_promised(self._context, self._members.values())
        ranking = rank(
            (prospect(self._context, info) for m, info in self._members.items() if m not in left_out),
            policy,
            capacity,
        )
        await self._refused(ranking, capacity)
        queue = [p.member for p in ranking.suited]
        reasons: list[str] = []
        away: ChainUnavailable | None = None
        while queue and away is None and (short := needed - len(usable - set(without))) > 0:
            asked = short + SPARES if wanted is None else short
            batch, queue = queue[:asked], queue[asked:]
            results = await asyncio.gather(
                *(agree(self._context, m, capacity, self._report, ranking.standing(m.id)) for m in batch),
                return_exceptions=True,
            )
            for info, result in zip(batch, results, strict=True):
                if isinstance(result, ChainUnavailable):
                    away = result
                elif isinstance(result, PeerError):
                    self._avoid.add(info.id)
                    reasons.append(f"{info.id}: {result}")
                    warn(self._report, f"no agreement with member {info.id}: {result}")
                elif isinstance(result, BaseException):
                    raise result
                else:
                    self._slots.append(Slot(result.id, info.id, result.capacity))
            usable = {m for m, free in self._free().items() if free >= shard_length}
        usable = {m for m, free in self._free().items() if free >= shard_length} - set(without)
        least = commit_threshold(self.code) if wanted is None else wanted
        if len(usable) < least and self._doubted:
            missed = ", ".join(str(m) for m in sorted(self._doubted))
            warn(
                self._report,
                f"too few providers without members {missed}, who missed a proof or are too slow: using them",
            )
            self._doubted.clear()
            usable = {m for m, free in self._free().items() if free >= shard_length} - set(without)
        if least <= len(usable) < needed and not self._said_degraded:
            self._said_degraded = True
            warn(self._report, f"{len(usable)} of {needed} providers can take a shard: stripes start out degraded")
        if len(usable) < least:
            if away is not None:
                raise away
            detail = f" ({'; '.join(reasons)})" if reasons else ""
            raise TooFewProviders(
                f"{len(usable)} providers can take a shard, but {least} are needed for {self.code.k}+{self.code.m}:"
                f" {self._numbers}; wait until more members are up, or loosen the policy{detail}"
            )

    async def _refused(self, ranking: Ranking, capacity: int) -> None:
        """Take down whom the policy leaves out, and why."""
        epoch = (await self._context.ledger.now()).epoch if ranking.refused else Epoch(0)
        for member, verdict in ranking.refused:
            self._context.decided(
                Decision("client", member, "ask", False, verdict.rule, verdict.reason, epoch, capacity)
            )

    async def assign(self, pack: PackId, shard_length: int, code: Code) -> dict[int, Slot]:
        """A slot for each shard of a new stripe, or for as many as it needs to commit; the bytes are reserved."""
        async with self._lock:
            await self._ensure(shard_length)
            least = commit_threshold(code)
            chosen = place(code, self._candidates(), shard_length, seed=pack, least=least)
            self._expected = max(0, self._expected - code.n * shard_length)
            return {index: self._reserve(member, shard_length) for index, member in chosen.shards.items()}

    async def replace(
        self, pack: PackId, code: Code, shard_length: int, kept: Mapping[int, MemberId]
    ) -> dict[int, Slot]:
        """Slots for the shards of a stripe that `kept` does not hold, at members that hold none of it; as many as there
        are members for."""
        async with self._lock:
            missing = code.n - len(kept)
            with contextlib.suppress(TooFewProviders, ChainUnavailable):  # it may stay a debt
                await self._ensure(shard_length, missing, set(kept.values()))
            domains = [Candidate(m, i.legal_entity, _site(i)) for m, i in self._members.items()]
            chosen = place(
                code, self._candidates(), shard_length, already=kept, seed=pack, least=len(kept), domains=domains
            )
            return {index: self._reserve(member, shard_length) for index, member in chosen.shards.items()}

    def giveback(self, slot: Slot, shard_length: int) -> None:
        slot.free += shard_length

    def heads(self) -> list[Slot]:
        """One slot at every member with an agreement, the roomiest, for a copy of the head."""
        best: dict[MemberId, Slot] = {}
        for slot in self._slots:
            if slot.provider not in best or slot.free > best[slot.provider].free:
                best[slot.provider] = slot
        return list(best.values())

    def _reserve(self, member: MemberId, shard_length: int) -> Slot:
        slot = max((s for s in self._slots if s.provider == member), key=lambda s: s.free)
        slot.free -= shard_length
        return slot

    def _candidates(self) -> list[Candidate]:
        known = self._context.catalogue
        return [
            Candidate(m, self._members[m].legal_entity, _site(self._members[m]), free, quality_of(known, m))
            for m, free in sorted(self._free().items())
        ]


async def _members(context: NodeContext) -> Sequence[MemberInfo]:
    """The members, or those of the last reading while the chain is away: the agreements with them go on."""
    try:
        return await context.ledger.roster()
    except ChainUnavailable:
        if known := context.ledger.known_roster():
            return known
        raise


def _site(info: MemberInfo) -> str:
    return info.nodes[-1].site
