"""Lost shards are rebuilt and put elsewhere, as soon as the loss is certain enough.

Certain at once: the agreement failed or lapsed, or the provider serves bytes that do not match what it signed for.
Certain after PATIENCE missed proofs in a row: a provider that cannot be reached. One reboot moves nothing.
"""

from __future__ import annotations

from peerage.errors import IntegrityError, PeerError, TooFewProviders, TooFewShards
from peerage.flow.context import NodeContext, Report, note, warn
from peerage.flow.fetch import Fetcher
from peerage.flow.publish import publish
from peerage.flow.room import Room
from peerage.flow.stripe import StripeWriter
from peerage.model import LEAF_SIZE, AgreementId, MemberId, ObjectKind, PackRecord, ShardLocation
from peerage.ports import Buffer
from peerage.shard.code import coder
from peerage.shard.tree import object_tree
from peerage.store.catalogue import LocalAgreement

PATIENCE = 3
"""Missed proofs in a row after which an unreachable provider's shards count as lost."""


async def repair(context: NodeContext, report: Report) -> int:
    """Repair every stripe that lost a shard, as far as there are members to take it; returns shards put elsewhere.

    Safe to interrupt: a shard moves in the catalogue only after its new provider's receipt. Raises nothing for a
    single stripe that cannot be repaired now: it stays degraded and is tried again.
    """
    lost = await lost_agreements(context, report)
    stripes = [
        no
        for no, _, shards in context.catalogue.stripes()
        if any(not provider or agreement in lost for _, _, provider, agreement in shards)
    ]
    if not stripes:
        return 0
    for id, reason in lost.items():
        note(report, f"shards under agreement {id.hex()[:16]} count as lost: {reason}")
    room = Room(context, report)
    try:
        for agreement in context.catalogue.agreements():
            if agreement.id in lost:
                room.avoid(agreement.provider)
        await room.open(0, least=1)
    except (TooFewProviders, PeerError) as error:
        warn(report, f"{len(stripes)} stripes wait for repair: {error}")
        return 0
    fetcher = Fetcher(context)
    repaired = 0
    for no in stripes:
        pack = context.catalogue.pack(no)
        try:
            repaired += await _repair_stripe(context, room, fetcher, no, pack, lost, report)
        except (TooFewShards, PeerError, IntegrityError) as error:
            warn(report, f"a stripe cannot be repaired now: {error}")
    if repaired:
        context.catalogue.add_to_counter("repaired-shards", repaired)
        await publish(context, room, StripeWriter(context, room, report), report)
    return repaired


async def lost_agreements(context: NodeContext, report: Report) -> dict[AgreementId, str]:
    """Agreements whose shards count as lost, with the reason."""
    lost: dict[AgreementId, str] = {}
    holding = context.catalogue.agreements_of_stripes()
    for agreement in context.catalogue.agreements():
        if agreement.id not in holding:
            continue
        if not agreement.live:
            lost[agreement.id] = "the agreement is over"
            continue
        checks = context.catalogue.checks(agreement.id, PATIENCE)
        if not checks or checks[0].proven:
            continue
        found = await _spot_check(context, agreement)
        if found == "damaged":
            lost[agreement.id] = f"member {agreement.provider} missed a proof and serves damaged bytes"
        elif len(checks) >= PATIENCE and not any(c.proven for c in checks):
            lost[agreement.id] = f"member {agreement.provider} missed {PATIENCE} proofs in a row"
        else:
            warn(report, f"member {agreement.provider} missed its last proof ({found}): watching")
    return lost


async def _spot_check(context: NodeContext, agreement: LocalAgreement) -> str:
    """Read one random object in full and check its root: 'good', 'damaged' or 'away'."""
    objects = [o for o in context.catalogue.objects(agreement.id) if o.kind is ObjectKind.SHARD]
    if not objects:
        return "away"
    chosen = objects[int.from_bytes(context.entropy(8), "big") % len(objects)]
    try:
        data = await context.peers.get_object(agreement.provider, chosen.root)
    except PeerError:
        return "away"
    if len(data) != chosen.leaves * LEAF_SIZE:
        return "damaged"
    tree = await context.in_worker(object_tree, data)
    return "good" if tree.root == chosen.root else "damaged"


async def _repair_stripe(
    context: NodeContext,
    room: Room,
    fetcher: Fetcher,
    no: int,
    pack: PackRecord,
    lost: dict[AgreementId, str],
    report: Report,
) -> int:
    missing = [s.index for s in pack.shards if not s.provider or s.agreement in lost]
    kept: dict[int, MemberId] = {s.index: s.provider for s in pack.shards if s.index not in missing}
    slots = await room.replace(pack.id, pack.code, pack.shard_length, kept)
    if not slots:
        warn(report, "no member can take a lost shard yet: the stripe stays degraded")
        return 0
    have = await fetcher.good_shards(pack, pack.code.k, skip=missing)
    rebuilt: dict[int, bytearray] = await context.in_worker(coder(pack.code).rebuild, have, sorted(slots))
    repaired = 0
    for index, slot in slots.items():
        data: Buffer = rebuilt[index]
        root = pack.shards[index].root
        if (await context.in_worker(object_tree, data)).root != root:
            raise IntegrityError(f"shard {index} of pack {pack.id.hex()[:16]} was rebuilt wrongly: nothing was stored")
        if context.catalogue.is_removed(slot.agreement, root):
            room.giveback(slot, pack.shard_length)  # what it still holds of this shard is on its way out
            continue
        try:
            await context.peers.put_object(slot.provider, slot.agreement, root, data)
        except PeerError as error:
            room.avoid(slot.provider)
            room.giveback(slot, pack.shard_length)
            warn(report, f"member {slot.provider} did not take a repaired shard: {error}")
            continue
        location = ShardLocation(index, root, slot.provider, slot.agreement)
        context.catalogue.move_shard(no, location, pack.shard_length // LEAF_SIZE)
        repaired += 1
    return repaired
