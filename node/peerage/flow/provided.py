"""The agreements in which this node is the provider: as the chain shows them, remembered for when it is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from peerage.model import AgreementId, MemberId
from peerage.ports import Ledger
from peerage.store.objects import ObjectStore
from peerage.store.refusals import RevisionConflict
from peerage.wire.refusals import Refusal, RefusalCode
from peerage_chain.errors import ChainFault, Reverted
from peerage_chain.types import LIVE_STATES, ZERO32, AgreementInfo, AgreementState, ChainTime, Epoch

T = TypeVar("T")

FRESH_S = 5.0
"""What the chain said is believed for so long without asking again."""
TIME_FRESH_S = 0.5
UNKNOWN_FRESH_S = 1.0
UNKNOWN_MAX = 1_000
PATIENCE_S = 2.0
"""An answer that is remembered is used when the chain does not give a newer one within this."""
AWAY_S = 5.0
"""Then the chain is not asked again for so long."""


@dataclass(slots=True)
class _Kept:
    info: AgreementInfo
    at_s: float


class ProvidedAgreements:
    """Reads agreements from the chain and keeps the object store in step with them. One event loop."""

    def __init__(self, member: MemberId, ledger: Ledger, store: ObjectStore) -> None:
        self._member = member
        self._ledger = ledger
        self._store = store
        self._kept: dict[AgreementId, _Kept] = {}
        self._unknown: dict[AgreementId, float] = {}
        self._asking: dict[AgreementId, asyncio.Lock] = {}
        self._time: ChainTime | None = None
        self._time_at_s = 0.0
        self._asking_time = asyncio.Lock()
        self._away_until_s = 0.0

    def remember(self, time: ChainTime, infos: Sequence[AgreementInfo]) -> None:
        """Take in what was seen before this process began, for as long as the chain is away."""
        self._time, self._time_at_s = time, float("-inf")
        self._kept = {info.id: _Kept(info, float("-inf")) for info in infos}

    def known(self) -> tuple[AgreementInfo, ...]:
        """The agreements as they were seen last, for another process to `remember`."""
        return tuple(kept.info for kept in self._kept.values())

    async def time(self) -> ChainTime:
        """The chain's time; the last known when it is away. Raises Refusal(chain_unavailable) if none is."""
        async with self._asking_time:
            if self._time is None or time.monotonic() - self._time_at_s > TIME_FRESH_S:
                newest = await self._from_chain(self._ledger.now, self._time is not None)
                self._time = newest or self._time
                self._time_at_s = time.monotonic()
        assert self._time is not None
        return self._time

    async def _from_chain(self, ask: Callable[[], Awaitable[T]], remembered: bool) -> T | None:
        """What the chain says; None if it is away and something is remembered. Raises Reverted, Refusal."""
        if remembered and time.monotonic() < self._away_until_s:
            return None  # an endpoint that hangs must not slow down what works without it
        try:
            async with asyncio.timeout(PATIENCE_S if remembered else None):
                return await ask()
        except Reverted:
            raise
        except (ChainFault, TimeoutError) as error:
            self._away_until_s = time.monotonic() + AWAY_S
            if remembered:
                return None
            raise Refusal(
                RefusalCode.CHAIN_UNAVAILABLE, "this node cannot reach the chain now: try again later"
            ) from error

    async def get(self, id: AgreementId, fresh: bool = False) -> AgreementInfo:
        """An agreement in which this node is the provider.

        fresh: as the chain shows it now, nothing remembered. Raises Refusal: no_such_agreement; chain_unavailable if it
        cannot be asked and is not remembered, or must be fresh.
        """
        kept = self._kept.get(id)
        if not fresh and kept is not None and time.monotonic() - kept.at_s < FRESH_S:
            return kept.info
        async with self._asking.setdefault(id, asyncio.Lock()):
            again = self._kept.get(id)
            if not fresh and again is not None and again is not kept:
                return again.info  # asked by another task meanwhile
            try:
                return await self._ask(id, None if fresh else kept)
            finally:
                if id not in self._kept:
                    self._asking.pop(id, None)  # a stranger's guesses are not remembered

    async def _ask(self, id: AgreementId, kept: _Kept | None) -> AgreementInfo:
        # Guessed ids must not become a load on the chain: a no is believed for a while too.
        if time.monotonic() - self._unknown.get(id, -FRESH_S) < UNKNOWN_FRESH_S:
            raise _no_agreement()
        try:
            info = await self._from_chain(lambda: self._ledger.agreement(id), kept is not None)
        except Reverted as error:
            self._remember_unknown(id)
            raise _no_agreement() from error
        if info is None:
            assert kept is not None
            kept.at_s = time.monotonic()
            return kept.info
        if info.state == AgreementState.NONE or info.terms.provider != self._member:
            self._remember_unknown(id)
            raise _no_agreement()
        await self.take_in(info)
        return info

    def _remember_unknown(self, id: AgreementId) -> None:
        if len(self._unknown) >= UNKNOWN_MAX:
            self._unknown.clear()
        self._unknown[id] = time.monotonic()

    async def all(self) -> list[AgreementInfo]:
        """Every agreement that the chain shows with this node as provider, fresh. Raises what the ledger raises."""
        infos = [a for a in await self._ledger.agreements_of(self._member) if a.terms.provider == self._member]
        for info in infos:
            await self.take_in(info)
        return infos

    async def take_in(self, info: AgreementInfo) -> None:
        """Remember it, and bring the store in step: room for it, and which revision the chain recorded."""
        before = self._kept.get(info.id)
        if before is None or before.info != info:
            await asyncio.to_thread(self._step, before.info if before else None, info)
        self._kept[info.id] = _Kept(info, time.monotonic())

    def _step(self, before: AgreementInfo | None, info: AgreementInfo) -> None:
        store = self._store
        grown = before is None or before.terms.capacity != info.terms.capacity
        if grown and info.state in LIVE_STATES:
            store.set_agreement(info.id, info.terms.client, info.terms.capacity)
        if info.revision != ZERO32 and (before is None or before.revision != info.revision):
            held = store.revisions.get(info.id, info.revision)
            if held is not None and not held.recorded:
                try:
                    store.mark_recorded(info.id, info.revision)
                except RevisionConflict:
                    return  # a predecessor is missing: cosign refuses what would build on it, by name

    def room_needed(self, infos: list[AgreementInfo]) -> int:
        """Bytes promised in those agreements that are live."""
        return sum(info.terms.capacity for info in infos if info.state in LIVE_STATES)

    def is_over(self, info: AgreementInfo, now: Epoch) -> bool:
        """Whether nothing binds this node to keep the data: ended one way or another, and its retention has passed."""
        return info.state not in LIVE_STATES and now > info.terms.end_epoch + info.terms.min_retention_epochs


def _no_agreement() -> Refusal:
    return Refusal(RefusalCode.NO_SUCH_AGREEMENT, "no such agreement of yours with this node")
