"""Probing the providers that this member is drawn for, and reporting what was measured (node/spec/quality.md).

A probe is a small backup and a small restore under an agreement of our own, at a moment of the epoch that nobody can
foresee; what it stored no revision ever lists, and it is dropped at the end. Sizes follow the epoch's length, so that a
devnet's epochs of seconds are not filled with probes.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from peerage.errors import PeerError, PeerRefused
from peerage.flow.context import NodeContext, Report, note, warn
from peerage.keys.onion import Onion
from peerage.model import KIB, LEAF_SIZE, MIB, AgreementId, Epoch, MemberId, ShardRoot
from peerage.shard.tree import object_tree
from peerage.store.measures import Measured, Measures
from peerage.wire.refusals import RefusalCode
from peerage_chain.errors import Reverted
from peerage_chain.quality import NO_ANSWER_MS, Drawing, Figures
from peerage_chain.types import ChainTime, MemberInfo

__all__ = ["Prober"]

LEAST_BYTES = 64 * KIB
MOST_BYTES = 4 * MIB
BYTES_PER_EPOCH_SECOND = 16 * KIB
"""So a provider at the slowest limit (node/spec/home.md) takes a quarter of an epoch each way."""
SMALL_READS = 3
WINDOW = 0.6
"""Part of what is left of an epoch in which probes begin."""
TRANSFER = 0.5
"""Part of an epoch that one transfer may take, up to TRANSFER_S."""
TRANSFER_S = 60.0
SMALL_READ_S = 5.0
_OURS = frozenset(
    {
        RefusalCode.OVER_CAPACITY.value,
        RefusalCode.AGREEMENT_NOT_LIVE.value,
        RefusalCode.NO_SUCH_AGREEMENT.value,
        RefusalCode.NOT_A_MEMBER.value,
        RefusalCode.SUSPENDED.value,
    }
)
"""Refusals that say nothing about the provider: there is no report then."""

T = TypeVar("T")


class _NoReportError(Exception):
    """Nothing can be said about the provider."""


@dataclass(slots=True)
class _Tally:
    """Tries of one probe."""

    tries: int = 0
    answered: int = 0

    async def try_(self, call: Awaitable[T], limit_s: float) -> tuple[T | None, float]:
        """(the answer or None, seconds). Raises _NoReportError for a refusal that is no fault of the provider's."""
        self.tries += 1
        begun_s = time.perf_counter()
        try:
            async with asyncio.timeout(limit_s):
                answer = await call
        except PeerRefused as refused:
            if refused.code in _OURS:
                raise _NoReportError(str(refused)) from refused
            return None, 0.0
        except (PeerError, TimeoutError):
            return None, 0.0
        self.answered += 1
        return answer, max(time.perf_counter() - begun_s, 1e-6)


class Prober:
    """One node's. probe() once an epoch after its beat, send() until it says so, in the next epoch; from any task.

    limited: whether a bandwidth limit of our own would be what we measured. busy: whether our line is in use.
    """

    def __init__(
        self,
        context: NodeContext,
        onion: Onion,
        measures: Measures,
        limited: Callable[[], bool],
        busy: Callable[[], bool],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._context = context
        self._onion = onion
        self._measures = measures
        self._limited = limited
        self._busy = busy
        self._sleep = sleep
        self._line = asyncio.Lock()
        self._sending = asyncio.Lock()

    # -- the draw ------------------------------------------------------------------------------------------------------

    async def drawn(self, now: ChainTime) -> list[tuple[MemberId, AgreementId]] | None:
        """Whom we are drawn to probe in this epoch, with an agreement of ours; None while our beat is still to come."""
        context = self._context
        if await context.ledger.last_beat(context.member) != now.epoch:
            return [] if not now.beats_open else None
        tip, effective = await context.ledger.beacon_tip(context.member)
        # A commitment that is not in effect yet will not speak in the next epoch.
        if effective > now.epoch or not self._onion.holds(tip) or not self._onion.remaining(tip):
            return []
        drawing = await context.ledger.drawing(now.epoch)
        if drawing is None:
            return []
        return self._pick(drawing, self._onion.predecessor(tip), await context.ledger.roster())

    def _pick(self, drawing: Drawing, link: bytes, roster: Sequence[MemberInfo]) -> list[tuple[MemberId, AgreementId]]:
        context = self._context
        roomiest: dict[MemberId, tuple[int, AgreementId]] = {}
        for held in context.catalogue.agreements():
            if held.live and held.end_epoch > drawing.epoch + 1:
                free = held.capacity - held.used
                roomiest[held.provider] = max(roomiest.get(held.provider, (-1, held.id)), (free, held.id))
        own = next((m.legal_entity for m in roster if m.id == context.member), None)
        return [
            (m.id, roomiest[m.id][1])
            for m in roster
            if m.id in roomiest and m.legal_entity != own and drawing.draws(link, m.id)
        ]

    # -- probing -------------------------------------------------------------------------------------------------------

    async def probe(self, now: ChainTime, report: Report) -> bool:
        """Probe those that we are drawn for, spread over the epoch; returns whether this epoch is done with."""
        drawn = await self.drawn(now)
        if drawn is None:
            return False
        known = self._measures.due(now.epoch)
        waiting = [(member, agreement) for member, agreement in drawn if member not in known]
        if not waiting or self._limited():
            return True
        left_s = max(0.0, now.epoch_start_s + now.epoch_s - now.timestamp_s)
        measured = await asyncio.gather(
            *(self._later(member, agreement, left_s * WINDOW, now.epoch_s) for member, agreement in waiting)
        )
        found = {m: figures for (m, _), figures in zip(waiting, measured, strict=True) if figures is not None}
        if len(found) > 1 and not any(figures.availability_percent for figures in found.values()):
            warn(report, "no provider answered a probe: nothing is reported, for the fault may be ours")
            return True
        for member, figures in found.items():
            self._measures.add(now.epoch, member, figures)
        return True

    async def _later(self, member: MemberId, agreement: AgreementId, within_s: float, epoch_s: int) -> Measured | None:
        await self._sleep(within_s * int.from_bytes(self._context.entropy(4), "big") / 2**32)
        try:
            return await self._measure(member, agreement, epoch_s)
        except _NoReportError:
            return None

    async def _measure(self, member: MemberId, agreement: AgreementId, epoch_s: int) -> Measured | None:
        context, tally = self._context, _Tally()
        size = max(LEAST_BYTES, min(MOST_BYTES, BYTES_PER_EPOCH_SECOND * epoch_s))
        data = context.entropy(size)
        root = (await context.in_worker(object_tree, data)).root
        limit_s = min(TRANSFER_S, TRANSFER * epoch_s)
        peers = context.peers
        stored = self._stored(agreement, size)
        delays: list[float] = []
        if stored is not None:
            delays = await self._delays(tally, member, stored, SMALL_READS)
        async with self._line:  # one at a time, or they would measure each other
            if self._busy():
                return None
            receipt, up_s = await tally.try_(peers.put_object(member, agreement, root, data), limit_s)
            if stored is None and receipt is not None:
                delays = await self._delays(tally, member, (root, size), SMALL_READS)
            down_s, read = 0.0, None
            if stored is not None or receipt is not None:
                source, length = stored if stored is not None else (root, size)
                read, down_s = await tally.try_(peers.get_object(member, source, 0, min(size, length)), limit_s)
                if read is not None and source == root and read != data:
                    read = None
        if receipt is not None:
            await self._drop(member, agreement, root)
        return Measured(
            down_kib_s=round(len(read) / KIB / down_s) if read is not None else 0,
            up_kib_s=round(size / KIB / up_s) if receipt is not None else 0,
            latency_ms=round(statistics.median(delays) * 1000) if delays else NO_ANSWER_MS,
            availability_percent=100 * tally.answered // tally.tries,
        )

    def _stored(self, agreement: AgreementId, size: int) -> tuple[ShardRoot, int] | None:
        """An object of ours under the agreement, of `size` bytes at least, drawn by lot: reading it is what a restore
        does. None if there is none: then what the probe stores is read back."""
        context = self._context
        found = context.catalogue.recorded_object(agreement, -(-size // LEAF_SIZE), context.entropy(32))
        return None if found is None else (found[0], found[1] * LEAF_SIZE)

    async def _delays(self, tally: _Tally, member: MemberId, of: tuple[ShardRoot, int], count: int) -> list[float]:
        """How long reads of a leaf take. The first one may have to connect, which is not counted as a delay."""
        root, size = of
        delays: list[float] = []
        for number in range(count + 1):
            leaf = int.from_bytes(self._context.entropy(4), "big") % (size // LEAF_SIZE)
            call = self._context.peers.get_object(member, root, leaf * LEAF_SIZE, LEAF_SIZE)
            answer, seconds = await tally.try_(call, SMALL_READ_S)
            if answer is not None and number:
                delays.append(seconds)
        return delays

    async def _drop(self, member: MemberId, agreement: AgreementId, root: ShardRoot) -> None:
        try:
            await self._context.peers.drop_object(member, agreement, root)
        except PeerError:
            return  # the provider drops what no revision lists by itself, later

    # -- reporting -----------------------------------------------------------------------------------------------------

    async def send(self, now: ChainTime, report: Report) -> bool:
        """Report what was measured in the epoch before; returns whether that is done with. Raises ChainUnavailable."""
        async with self._sending:
            return await self._send(now, report)

    async def _send(self, now: ChainTime, report: Report) -> bool:
        probed = Epoch(max(0, now.epoch - 1))
        due = self._measures.due(probed)
        if not due or not now.beats_open:
            return not now.beats_open  # a probe may end a little late
        context = self._context
        if await context.ledger.last_beat(context.member) != now.epoch:
            return False
        probes = [
            (member, Figures(m.down_kib_s, m.up_kib_s, m.latency_ms, m.availability_percent))
            for member, m in due.items()
        ]
        try:
            await context.ledger.report_probes(probed, probes)
            note(report, f"{len(probes)} probes of epoch {probed} reported")
        except Reverted as refused:
            note(report, f"a probe report of epoch {probed} was refused: {refused}")
        self._measures.reported(probed)
        return True
