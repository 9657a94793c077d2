"""The provider looks after its disk: every object is read again and again, slowly, and what is damaged is reported.

A loss that its provider reports costs a part of what misses would, and the client repairs those shards at once
(node/spec/object-store.md, proofs.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from peerage.flow.context import Report, note, warn
from peerage.model import KIB, AgreementId, Epoch, MemberId, ShardRoot
from peerage.ports import Ledger
from peerage.store.objects import ObjectStore
from peerage.store.refusals import RevisionConflict
from peerage_chain.errors import Reverted
from peerage_chain.types import AgreementInfo, Loss

PAUSE_S = 60.0
"""Between two rounds, and while nothing is stored."""


class Scrubber:
    """Reads one object after the other and compares it with its root. Where it is outlasts a restart."""

    def __init__(
        self,
        store: ObjectStore,
        place: Path,
        rate_kib_s: Callable[[], int],
        in_worker: Callable[..., Awaitable[Any]],
        report: Report,
    ) -> None:
        """place: a file that keeps how far it is. rate_kib_s: how fast to read at most; 0 stops it for now."""
        self._store, self._place, self._rate, self._in_worker = store, place, rate_kib_s, in_worker
        self._report = report
        self._last = _number_in(place)

    async def run(self) -> None:
        """Never returns."""
        while True:
            rate = self._rate()
            if rate == 0 or not await self.look(rate):
                await asyncio.sleep(PAUSE_S)

    async def look(self, rate_kib_s: int) -> bool:
        """One object, and the pause after it; False at the end of a round."""
        found = await self._in_worker(self._store.object_after, self._last)
        self._last = found[0] if found else 0
        self._place.write_text(f"{self._last}\n")
        if found is None:
            return False
        _, agreement, root, size = found
        if not await self._in_worker(self._store.is_sound, agreement, root):
            warn(self._report, f"object {root.hex()[:16]} of agreement {agreement.hex()[:16]} is damaged on this disk")
        await asyncio.sleep(size / (rate_kib_s * KIB))
        return True


def _number_in(place: Path) -> int:
    """0 if the file is not there or says nothing of use: a round is begun anew then."""
    try:
        return int(place.read_text())
    except (OSError, ValueError):
        return 0


async def report_damage(
    ledger: Ledger,
    member: MemberId,
    store: ObjectStore,
    epoch: Epoch,
    in_worker: Callable[..., Awaitable[Any]],
    report: Report,
) -> int:
    """Report damaged objects on chain, a run of neighbours of each agreement at a time, and those that are sound again.

    Returns how many reports were sent. Raises ChainUnavailable.
    """
    sent = 0
    damaged: dict[AgreementId, set[ShardRoot]] = {}
    for id, root in await in_worker(store.damaged):
        damaged.setdefault(id, set()).add(root)
    for info in await ledger.agreements_of(member):
        if info.terms.provider != member or not info.is_live or not info.leaves:
            continue
        loss = await ledger.loss_of(info.id)
        if info.id not in damaged and (loss is None or loss.restored or epoch >= loss.until):
            continue
        try:
            sent += await _tell(ledger, store, info, damaged.get(info.id, set()), loss, epoch, report)
        except (Reverted, RevisionConflict) as error:
            warn(report, f"the damage under agreement {info.id.hex()[:16]} cannot be reported: {error}")
    return sent


async def _tell(
    ledger: Ledger,
    store: ObjectStore,
    info: AgreementInfo,
    damaged: set[ShardRoot],
    loss: Loss | None,
    epoch: Epoch,
    report: Report,
) -> int:
    objects = store.objects_at(info.id, info.sequence, info.root)
    after = loss.start + loss.leaves if loss is not None else 0
    run = first_run(objects, damaged, after) or first_run(objects, damaged)  # each has its turn
    if loss is not None and not loss.restored and epoch < loss.until:
        end, start = loss.start + loss.leaves, 0
        for root, leaves in objects:
            if root in damaged and start < end and loss.start < start + leaves:
                return 0  # it stands, and rightly so
            start += leaves
        await ledger.report_restored(info.id)
        note(report, f"what was lost under agreement {info.id.hex()[:16]} is there again: reported")
        return 1
    if run is None or (loss is not None and epoch < loss.until):
        return 0
    await ledger.report_loss(info.id, *run)
    note(report, f"{run[1]} damaged leaves under agreement {info.id.hex()[:16]} are reported lost")
    return 1


def first_run(
    objects: Sequence[tuple[ShardRoot, int]], damaged: set[ShardRoot], after: int = 0
) -> tuple[int, int] | None:
    """(first leaf, leaves) of the first damaged objects that lie side by side, from leaf `after` on; None for none."""
    start, begin, length = 0, 0, 0
    for root, leaves in objects:
        if root in damaged and leaves and start >= after:
            if not length:
                begin = start
            length += leaves
        elif length and leaves:
            break
        start += leaves
    return (begin, length) if length else None
