"""Lost shards are rebuilt and put elsewhere, those that a provider reported back in their place; those of a provider
that leaves are copied while it still serves.

What counts as lost, and when: losses.py. node/spec/repair.md.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from peerage.errors import IntegrityError, PeerError, TooFewProviders, TooFewShards
from peerage.flow.context import NodeContext, Report, note, warn
from peerage.flow.fetch import Fetcher
from peerage.flow.losses import Losses, find_losses
from peerage.flow.publish import publish
from peerage.flow.removal import head_root
from peerage.flow.room import Room, Slot
from peerage.flow.stripe import StripeWriter
from peerage.model import KIB, LEAF_SIZE, MemberId, ObjectKind, PackRecord, ShardLocation, ShardRoot
from peerage.ports import Buffer
from peerage.shard.code import coder
from peerage.shard.tree import object_tree
from peerage.snapshot.head import padded
from peerage.store.rows import LocalAgreement

REPAIRED, MOVED, LEAST = "repaired-shards", "repair-bytes", "repair-bytes-least"
"""Counters of the catalogue: shards made good; bytes that repair read and wrote; the least that they could be."""


async def repair(context: NodeContext, report: Report) -> int:
    """Repair every stripe that lost a shard, as far as there are members to take it; returns shards made good.

    After an epoch's time it returns, and goes on when it is called again.
    Safe to interrupt: a shard moves in the catalogue only after its new provider's receipt. Raises nothing for a
    single stripe that cannot be repaired now: it stays degraded and is tried again. Raises ChainUnavailable.
    """
    losses = await find_losses(context, report)
    await _put_heads_back(context, losses, report)
    troubled = losses.over.keys() | losses.leaving.keys()
    stripes = [
        no
        for no, _, shards in context.catalogue.stripes()
        if any(not provider or agreement in troubled for _, _, provider, agreement in shards)
    ]
    if not stripes:
        return 0
    for id, reason in (losses.over | losses.leaving).items():
        note(report, f"shards under agreement {id.hex()[:16]} are put elsewhere: {reason}")
    epoch_s = (await context.ledger.now()).epoch_s
    room = Room(context, report)
    try:
        for agreement in context.catalogue.agreements():
            if agreement.id in troubled:
                room.avoid(agreement.provider)
        for member in losses.doubtful:
            room.avoid(member)
        await room.open(0, least=1)
    except (TooFewProviders, PeerError) as error:
        warn(report, f"{len(stripes)} stripes wait for repair: {error}")
        return 0
    fetcher = Fetcher(context)
    repaired, begun_s, moved_before = 0, monotonic(), context.catalogue.counter(MOVED)
    for done, no in enumerate(stripes):
        if rate := context.policy().take.repair_kib_s:
            moved = context.catalogue.counter(MOVED) - moved_before
            await asyncio.sleep(min(epoch_s, moved / (rate * KIB) - (monotonic() - begun_s)))
        if monotonic() - begun_s >= epoch_s:
            note(report, f"{len(stripes) - done} stripes are left for the next epoch")
            break
        pack = context.catalogue.pack(no)
        try:
            repaired += await _repair_stripe(context, room, fetcher, no, pack, losses, report)
        except (TooFewShards, PeerError, IntegrityError) as error:
            warn(report, f"a stripe cannot be repaired now: {error}")
    if repaired:
        context.catalogue.add_to_counter(REPAIRED, repaired)
        await publish(context, room, StripeWriter(context, room, report), report)
    return repaired


async def _repair_stripe(
    context: NodeContext, room: Room, fetcher: Fetcher, no: int, pack: PackRecord, losses: Losses, report: Report
) -> int:
    """Returns how many shards were made good. A member that refuses one gets none any more; another is asked."""
    gone = {s.index for s in pack.shards if not s.provider or s.agreement in losses.over}
    leaving = {s.index for s in pack.shards if s.provider and s.agreement in losses.leaving} - gone
    kept: dict[int, MemberId] = {s.index: s.provider for s in pack.shards if s.index not in gone | leaving}
    homes = {i: Slot(a.id, a.provider, 0) for i, a in _homes(pack, gone, kept, losses).items()}
    read_before, written, copied, rebuilt = fetcher.bytes_fetched, 0, 0, 0
    ready: dict[int, Buffer] = {}
    while True:
        taken = kept | {i: slot.provider for i, slot in homes.items()}
        slots = homes | await room.replace(pack.id, pack.code, pack.shard_length, taken)
        ready |= await _copies(fetcher, pack, sorted((slots.keys() & leaving) - ready.keys()))
        if missing := sorted(slots.keys() - ready.keys()):
            have = await fetcher.good_shards(pack, pack.code.k, skip=gone)
            made: dict[int, bytearray] = await context.in_worker(coder(pack.code).rebuild, have, missing)
            ready |= made
        refused = False
        for index, slot in slots.items():
            root = pack.shards[index].root
            if index not in homes and context.catalogue.is_removed(slot.agreement, root):
                room.giveback(slot, pack.shard_length)  # what it still holds of this shard is on its way out
                continue
            if not await _put(context, slot, index, root, ready[index], report):
                refused = True
                room.avoid(slot.provider)
                if index not in homes:
                    room.giveback(slot, pack.shard_length)
                continue
            location = ShardLocation(index, root, slot.provider, slot.agreement)
            context.catalogue.move_shard(no, location, pack.shard_length // LEAF_SIZE)
            kept[index] = slot.provider
            written += pack.shard_length
            copied, rebuilt = copied + (index in leaving), rebuilt + (index in gone)
        homes = {}
        if not refused:
            break
    if left := gone - kept.keys():
        warn(report, f"no member can take {len(left)} lost shards of a stripe yet: it stays as it is")
    context.catalogue.add_to_counter(MOVED, fetcher.bytes_fetched - read_before + written)
    least = 2 * copied + (pack.code.k + rebuilt if rebuilt else 0)
    context.catalogue.add_to_counter(LEAST, least * pack.shard_length)
    return copied + rebuilt


async def _put(context: NodeContext, slot: Slot, index: int, root: ShardRoot, data: Buffer, report: Report) -> bool:
    """Store a shard; whether it was taken. Raises IntegrityError if it is not the one that was recorded."""
    if (await context.in_worker(object_tree, data)).root != root:
        raise IntegrityError(f"shard {index} {root.hex()[:16]} was rebuilt wrongly: not stored")
    try:
        await context.peers.put_object(slot.provider, slot.agreement, root, data)
    except PeerError as error:
        warn(report, f"member {slot.provider} did not take a repaired shard: {error}")
        return False
    return True


def _homes(pack: PackRecord, gone: set[int], kept: dict[int, MemberId], losses: Losses) -> dict[int, LocalAgreement]:
    """Where shards go back to that their own provider reported lost: the agreement lists them still, so it is whole
    again then, and nothing moves. One that the provider does not take goes elsewhere at once."""
    found: dict[int, LocalAgreement] = {}
    for index in sorted(gone):
        agreement = losses.reported.get(pack.shards[index].root)
        if agreement is None or agreement.id in losses.over or agreement.id in losses.leaving:
            continue
        if agreement.provider not in {*kept.values(), *(a.provider for a in found.values())}:
            found[index] = agreement
    return found


async def _put_heads_back(context: NodeContext, losses: Losses, report: Report) -> None:
    """Copies of the newest heads that their provider reported lost."""
    if not losses.reported:
        return
    for number, body in context.catalogue.heads():
        root = await context.in_worker(head_root, body)
        if (agreement := losses.reported.get(root)) is None or agreement.id in losses.over:
            continue
        try:
            await context.peers.put_object(
                agreement.provider, agreement.id, root, padded(body), ObjectKind.HEAD, context.repository, number
            )
        except PeerError as error:
            warn(report, f"member {agreement.provider} did not take a head back: {error}")


async def _copies(fetcher: Fetcher, pack: PackRecord, indices: list[int]) -> dict[int, Buffer]:
    """Those of the shards that their own provider still serves, sound."""
    found: dict[int, Buffer] = {}
    for index in indices:
        data = await fetcher.shard(pack, index)
        if data is not None:
            found[index] = data
    return found
