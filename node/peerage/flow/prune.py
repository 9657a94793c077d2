"""Free what only forgotten snapshots held: find what is needed, rewrite what is mostly waste, drop the rest.

The order is the guarantee. What is needed is stored anew before its old pack is dropped; packs are dropped in the
catalogue before the head that lists them no more; and nothing leaves a provider before that head is anchored, the
removal is announced on chain and the agreement's retention has passed (flow/removal.py). A run that is cut short
anywhere costs space until the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from peerage.errors import IntegrityError
from peerage.flow.context import NodeContext, Report
from peerage.flow.fetch import BlobCache, Fetcher
from peerage.flow.outlet import open_outlet
from peerage.flow.packer import Packer
from peerage.flow.publish import publish
from peerage.flow.reach import Blobs, reach
from peerage.flow.removal import announce_removals
from peerage.flow.room import Room
from peerage.flow.stripe import StripeWriter
from peerage.model import BlobEntry, PackKind
from peerage.pack.layout import TARGET
from peerage.seal.blob import compress
from peerage.snapshot.tree import split_ids

MAX_UNUSED_PERCENT = 5
"""Waste that is left in packs rather than rewritten, of what is needed."""
_SMALL = TARGET // 4
_SMALL_TOGETHER = 8
"""So many packs under a quarter of the usual size are rewritten as few large ones."""
_INDEX_PACKS = 16
"""So many index packs are one too many: each snapshot adds one."""
_FILES_AT_ONCE = 2_000


class Pack(NamedTuple):
    """needed, length: bytes of its blobs that snapshots need, and of the whole pack."""

    no: int
    kind: PackKind
    length: int
    needed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """drop: packs of which nothing is needed. rewrite: packs whose needed part is stored anew first. unused: bytes of
    waste that stay in kept packs."""

    drop: list[Pack]
    rewrite: list[Pack]
    keep: list[Pack]

    @property
    def unused(self) -> int:
        return sum(p.length - p.needed for p in self.keep)


@dataclass(slots=True)
class PruneResult:
    """What a prune did (or would do), as --json shows it. Bytes are of packs, before redundancy, but for
    removal_bytes: what providers keep until epoch removal_epoch and then remove."""

    packs_dropped: int
    packs_rewritten: int
    bytes_freed: int
    bytes_rewritten: int
    bytes_unused: int
    bytes_sent: int
    dry_run: bool
    head: int
    removal_bytes: int = 0
    removal_objects: int = 0
    removal_epoch: int = 0
    records_waiting: list[str] = field(default_factory=list)


async def prune(
    context: NodeContext, report: Report, max_unused_percent: float = MAX_UNUSED_PERCENT, dry_run: bool = False
) -> PruneResult:
    """Free what no snapshot needs. No backup may run meanwhile.

    Raises IntegrityError, before anything is changed, when a snapshot needs what is not there; TooFewShards,
    TooFewProviders, ChainUnavailable.
    """
    catalogue = context.catalogue
    fetcher = Fetcher(context)
    found = await reach(context, BlobCache(context, fetcher), report)
    if found.damage:
        first = found.damage[0]
        raise IntegrityError(
            f"snapshot {first['snapshot'][:16]} is damaged at {first['path']} ({first['reason']}): nothing was pruned;"
            " see `peerage check`, and forget what cannot be had"
        )
    packs = await context.in_worker(lambda: list(_packs(context, found.blobs)))
    plan = plan_of(packs, max_unused_percent)
    result = PruneResult(
        packs_dropped=len(plan.drop) + len(plan.rewrite),
        packs_rewritten=len(plan.rewrite),
        bytes_freed=sum(p.length for p in plan.drop) + sum(p.length - p.needed for p in plan.rewrite),
        bytes_rewritten=sum(p.needed for p in plan.rewrite),
        bytes_unused=plan.unused,
        bytes_sent=0,
        dry_run=dry_run,
        head=catalogue.counter("head"),
    )
    if dry_run:
        return result
    catalogue.forget_dropped()
    if len(catalogue.pack_numbers(PackKind.INDEX)) >= _INDEX_PACKS:
        catalogue.drop_packs([])
    if plan.drop or plan.rewrite or catalogue.counter("reindex"):
        room = Room(context, report)
        stripes = StripeWriter(context, room, report)
        await room.open(result.bytes_rewritten)
        await _rewrite(context, fetcher, plan.rewrite, found.blobs, stripes, report)
        gone = {p.no for p in plan.drop} | {p.no for p in plan.rewrite if _is_spent(context, p.no, found.blobs)}
        await context.in_worker(_forget_file_states, context, gone)
        catalogue.drop_packs(gone)
        result.records_waiting = await publish(context, room, stripes, report)
        result.bytes_sent = stripes.bytes_sent
        result.head = catalogue.counter("head")
    if not result.records_waiting:
        waiting = await announce_removals(context, report)
        result.removal_bytes, result.removal_objects, result.removal_epoch = (
            waiting.bytes,
            waiting.objects,
            waiting.ready,
        )
    return result


def _packs(context: NodeContext, needed: Blobs) -> Iterator[Pack]:
    for kind in (PackKind.DATA, PackKind.META):
        for no in context.catalogue.pack_numbers(kind):
            used = sum(length for ordinal, length in context.catalogue.ordinals(no) if needed.has(no, ordinal))
            yield Pack(no, kind, context.catalogue.pack(no).length, used)


def plan_of(packs: list[Pack], max_unused_percent: float) -> Plan:
    """What to drop and what to rewrite: the most wasteful packs first, until the waste that stays is small enough; and
    small packs, when there are enough of a kind to make it worth the while."""
    drop = [p for p in packs if not p.needed]
    used = sorted((p for p in packs if p.needed), key=lambda p: (p.length - p.needed) / p.length, reverse=True)
    allowed = sum(p.needed for p in used) * max_unused_percent / 100
    unused = sum(p.length - p.needed for p in used)
    rewrite: list[Pack] = []
    for pack in used:
        if unused <= allowed:
            break
        rewrite.append(pack)
        unused -= pack.length - pack.needed
    chosen = set(rewrite)
    for kind in PackKind:
        small = [p for p in used if p.kind is kind and p.length < _SMALL and p not in chosen]
        if len(small) >= _SMALL_TOGETHER:
            chosen.update(small)
    return Plan(drop, [p for p in used if p in chosen], [p for p in used if p not in chosen])


async def _rewrite(
    context: NodeContext, fetcher: Fetcher, packs: list[Pack], needed: Blobs, stripes: StripeWriter, report: Report
) -> None:
    """Store the needed blobs of these packs in new ones; the catalogue then finds them there."""
    # What is stored already is just what is to be stored again.
    outlets = {kind: open_outlet(context, kind, stripes, lambda _: False) for kind in (PackKind.DATA, PackKind.META)}
    done, total = 0, sum(p.needed for p in packs)
    try:
        for pack in packs:
            packer = outlets[pack.kind].packer
            entries = await context.in_worker(
                context.catalogue.entries, pack.no, lambda ordinal, no=pack.no: needed.has(no, ordinal)
            )

            def sink(entry: BlobEntry, raw: bytes, packer: Packer = packer) -> None:
                # Its tag has vouched for id and content; an id made under an older key stays.
                packer.store_payload(entry.kind, entry.id, len(raw), compress(raw))

            await fetcher.read(context.catalogue.pack(pack.no), entries, sink)
            done += pack.needed
            report({"event": "progress", "phase": "rewrite", "bytes": done, "bytes_total": total})
        for outlet in outlets.values():
            await outlet.drain(context)
    except BaseException:
        for outlet in outlets.values():
            outlet.cancel()
        raise


def _is_spent(context: NodeContext, no: int, needed: Blobs) -> bool:
    """Whether all that is needed of a pack is found elsewhere by now."""
    return not any(needed.has(no, ordinal) for ordinal, _ in context.catalogue.ordinals(no))


def _forget_file_states(context: NodeContext, gone: set[int]) -> None:
    """A file that did not change since it was read must not be taken for stored when its chunks are about to go."""
    catalogue, after = context.catalogue, b""
    while gone and (rows := catalogue.file_contents(after, _FILES_AT_ONCE)):
        after = rows[-1][0]
        stale = []
        for path, content in rows:
            places = (catalogue.locate(id) for id in split_ids(content))
            if any(place is None or place[0] in gone for place in places):
                stale.append(path)
        if stale:
            catalogue.drop_file_states(stale)
