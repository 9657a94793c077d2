"""After the stripes: index, head, revisions, anchor. What the chain cannot take now is queued and sent later, once.

The order is the guarantee. Stripes and index packs are stored before the head that names them, the head is stored
with the providers before the revisions that hold it are co-signed, and the anchor is sent when they are: so whatever is
anchored can be restored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha256

import msgspec

from peerage.errors import PeerError
from peerage.flow import traffic
from peerage.flow.context import NodeContext, Report, warn
from peerage.flow.objects import sync_objects
from peerage.flow.room import HEAD_RESERVE, Room
from peerage.flow.stripe import StripeWriter
from peerage.model import LEAF_SIZE, AgreementId, BlobKind, Epoch, MemberId, ObjectKind, PackKind, ShardRoot
from peerage.pack.writer import PackWriter
from peerage.seal.blob import compress
from peerage.shard.tree import AgreementTree, object_tree
from peerage.snapshot.head import Head, padded, seal_head
from peerage.snapshot.index import encode_segments
from peerage.snapshot.snapshot import SnapshotSummary, decode_summary, encode_summary
from peerage.store.catalogue import Catalogue, LocalAgreement, QueuedRevision, StoredObject
from peerage_chain import typed
from peerage_chain.errors import ChainUnavailable, Reverted
from peerage_chain.types import AgreementInfo, Revision

REVISION_LIFE_EPOCHS = 8
"""A revision that is not recorded in so many epochs is void, and its number may be used again."""

Edit = Callable[[list[SnapshotSummary]], list[SnapshotSummary]]
"""The snapshots, oldest first, to those that a head is to list: fewer of them, or changed ones, in the same order."""

_encode_revision = msgspec.msgpack.Encoder().encode
_decode_revision = msgspec.msgpack.Decoder(Revision).decode


async def publish(
    context: NodeContext, room: Room, stripes: StripeWriter, report: Report, edit: Edit | None = None
) -> list[str]:
    """Store what the catalogue has gained as index packs and a new head, then record it all.

    edit: what else changes in the list of snapshots; the catalogue follows when the head is stored, in one step.
    Returns what still waits for the chain, one line each (empty: the head is anchored). Raises TooFewProviders when
    the head cannot be stored at enough providers.
    """
    async with context.publishing:
        superseded = await _put_index(context, stripes)
        await _put_head(context, room, report, edit, superseded)
    return await record(context, report)


async def _put_index(context: NodeContext, stripes: StripeWriter) -> list[int]:
    """Store what no index pack says yet, or all of it anew when packs were dropped; returns the index packs that are
    superseded then."""
    catalogue = context.catalogue
    fresh, moved, superseded = catalogue.unindexed(), catalogue.moved(), []
    if catalogue.counter("reindex"):
        superseded = catalogue.pack_numbers(PackKind.INDEX)
        fresh, moved = [*catalogue.pack_numbers(PackKind.DATA), *catalogue.pack_numbers(PackKind.META)], []
    whole = set(fresh)
    segments = encode_segments(catalogue.pack(no, blobs=no in whole) for no in [*fresh, *moved])

    def next_pack() -> PackWriter:
        writer = PackWriter(context.key, PackKind.INDEX, context.entropy(32))
        for segment in segments:
            writer.add(context.key.chunk_id(segment), BlobKind.INDEX, len(segment), compress(segment))
            if writer.full:
                break
        return writer

    while (writer := await context.in_worker(next_pack)).entries:
        await stripes.put(writer)
    catalogue.mark_indexed([*fresh, *moved])
    return superseded


async def _put_head(
    context: NodeContext, room: Room, report: Report, edit: Edit | None, superseded: Sequence[int]
) -> None:
    """Seal the next head and leave a copy with every provider."""
    catalogue = context.catalogue
    newest = catalogue.newest_head()
    anchored = await _anchored_number(context)
    if newest is None and anchored:
        raise PeerError("the catalogue is empty though snapshots were made: run 'peerage rebuild' first")
    number = max(newest[0] if newest else 0, catalogue.counter("head"), anchored) + 1
    before = [decode_summary(s) for s in catalogue.snapshots()]
    after = edit(before) if edit is not None else before
    old = set(superseded)
    head = Head(
        member=context.member,
        repository=context.repository,
        number=number,
        previous=newest[1] if newest else bytes(32),
        time_ns=context.clock_ns(),
        generation=context.key.generation,
        index_packs=[catalogue.pack(no) for no in catalogue.pack_numbers(PackKind.INDEX) if no not in old],
        snapshots=after,
    )

    def sign(digest: bytes) -> bytes:
        signed = typed.head_digest(context.member, context.repository, number, digest, context.domain)
        return typed.sign(context.node_key, signed)

    body = seal_head(head, context.key, context.wrapped_keys, context.entropy(32), sign)
    data = padded(body)
    root = ShardRoot(object_tree(data).root)
    if len(data) > HEAD_RESERVE:
        warn(report, f"the head has grown to {len(data)} bytes: forget old snapshots")

    async def leave(provider: MemberId, agreement: AgreementId) -> AgreementId | None:
        try:
            await context.peers.put_object(provider, agreement, root, data, ObjectKind.HEAD, context.repository, number)
        except PeerError as error:
            warn(report, f"member {provider} did not take the head: {error}")
            return None
        return agreement

    kept = [a for a in await asyncio.gather(*(leave(s.provider, s.agreement) for s in room.heads())) if a is not None]
    needed = room.code.m + 1
    if len(kept) < needed:
        raise PeerError(f"only {len(kept)} providers took the head, {needed} are needed: wait until more are up")
    catalogue.add_objects((a, root, len(data) // LEAF_SIZE, ObjectKind.HEAD) for a in kept)
    left = {s.id: s for s in after}
    changed = [(s.id, encode_summary(left[s.id])) for s in before if s.id in left and left[s.id] != s]
    forgotten = [s.id for s in before if s.id not in left]
    catalogue.add_head(number, sha256(body).digest(), body, forgotten, changed, superseded)
    catalogue.set_counter("head", number)


async def _anchored_number(context: NodeContext) -> int:
    """The number of the anchored head: at a power loss the catalogue may forget that it made it."""
    try:
        return (await context.ledger.anchor_of(context.member, context.repository)).number
    except ChainUnavailable:
        return 0


async def record(context: NodeContext, report: Report) -> list[str]:
    """Co-sign revisions for what was stored, record them and anchor the newest head.

    Safe to call at any time and again: everything is queued durably first. Returns what still waits, one line each.
    """
    async with context.publishing:
        waiting: list[str] = []
        agreements = {a.id: a for a in context.catalogue.agreements()}
        busy = {r.agreement for r in context.catalogue.queued_revisions()}
        ids = busy | set(context.catalogue.agreements_to_revise()) | traffic.to_sign(context.catalogue)
        results = await asyncio.gather(*(_revise(context, agreements[id], report) for id in ids if id in agreements))
        waiting.extend(r for r in results if isinstance(r, str))
        # Co-signed is as good as recorded for whoever must keep it: the anchor need not wait for another block.
        submitted = [_submitted(context, r, agreements[r.agreement]) for r in results if isinstance(r, QueuedRevision)]
        for late in await asyncio.gather(_anchor(context), *submitted):
            waiting.extend(late)
        return waiting


def waiting(catalogue: Catalogue) -> int:
    """How many records `record` has still to make: agreements whose newest data is not on chain, and the anchor."""
    newest = catalogue.newest_head()
    behind = {r.agreement for r in catalogue.queued_revisions()} | set(catalogue.agreements_to_revise())
    return len(behind) + (newest is not None and not newest[3])


async def _revise(context: NodeContext, agreement: LocalAgreement, report: Report) -> QueuedRevision | str | None:
    """Record what is queued for one agreement and co-sign what is new: the revision to record, or what waits for the
    chain, or None."""
    try:
        for queued in context.catalogue.queued_revisions():
            if queued.agreement == agreement.id:
                await submit(context, queued)
        info = await _refresh(context, agreement)
        return await _cosign(context, info) if info.is_live else None
    except PeerError as error:
        warn(report, f"member {agreement.provider} did not co-sign: {error}")
    except ChainUnavailable:
        return _waits(agreement)
    return None


async def _submitted(context: NodeContext, queued: QueuedRevision, agreement: LocalAgreement) -> list[str]:
    try:
        await submit(context, queued)
    except ChainUnavailable:
        return [_waits(agreement)]
    return []


def _waits(agreement: LocalAgreement) -> str:
    return f"a revision of the agreement with member {agreement.provider}"


async def _refresh(context: NodeContext, agreement: LocalAgreement) -> AgreementInfo:
    info = await context.ledger.agreement(agreement.id)
    terms = info.terms
    context.catalogue.set_agreement(
        info.id, terms.provider, terms.capacity, terms.end_epoch, info.is_live, info.sequence, info.revision
    )
    return info


async def _cosign(context: NodeContext, info: AgreementInfo) -> QueuedRevision | None:
    objects = await recorded_objects(context, info)
    fresh = [o.root for o in objects if o.sequence is None]
    if not fresh and traffic.bytes_down(context.catalogue, info) < info.bytes_down + traffic.SIGN_FROM_BYTES:
        return None
    return await sign_revision(context, info, objects, fresh)


async def recorded_objects(context: NodeContext, info: AgreementInfo) -> list[StoredObject]:
    """An agreement's objects; the recorded ones among them are those of the chain's tree. Raises PeerError,
    IntegrityError when they cannot be made so."""
    objects = await context.in_worker(context.catalogue.objects, info.id)
    recorded = [o.under(info.sequence) for o in objects if o.sequence is not None]
    if (await context.in_worker(_tree_root, recorded)) != (info.root, info.leaves):
        # Our list is not the one that was recorded (a rebuilt catalogue): the provider has it.
        await sync_objects(context, info)
        objects = await context.in_worker(context.catalogue.objects, info.id)
    return objects


async def sign_revision(
    context: NodeContext,
    info: AgreementInfo,
    objects: Sequence[StoredObject],
    appended: Sequence[ShardRoot],
    removed: Sequence[ShardRoot] = (),
) -> QueuedRevision:
    """The next revision of an agreement, co-signed and queued. objects: all, appended ones last. Raises PeerError."""
    time = await context.ledger.now()
    gone = set(removed)
    tree = [(ShardRoot(bytes(32)), 0) if o.root in gone else o.under(info.sequence) for o in objects]
    root, leaves = await context.in_worker(_tree_root, tree)
    revision = Revision(
        agreement=info.id,
        sequence=info.sequence + 1,
        previous=info.revision,
        root=root,
        leaves=leaves,
        # What is recorded never shrinks, though objects are removed, and a recovered node counts from zero.
        bytes_up=max(info.bytes_up, sum(o.leaves for o in objects) * LEAF_SIZE),
        bytes_down=traffic.bytes_down(context.catalogue, info),
        expires=Epoch(time.epoch + REVISION_LIFE_EPOCHS),
    )
    own = typed.sign(context.node_key, typed.revision_digest(revision, context.domain))
    theirs = await context.peers.cosign(info.terms.provider, revision, appended, own, removed)
    queued = QueuedRevision(info.id, revision.sequence, _encode_revision(revision), own, theirs)
    await context.in_worker(context.catalogue.queue_revision, queued, appended, removed)
    return queued


def _tree_root(objects: Sequence[tuple[ShardRoot, int]]) -> tuple[bytes, int]:
    root = AgreementTree(objects).root if objects else None
    return (root.hash, root.leaves) if root else (bytes(32), 0)


async def submit(context: NodeContext, queued: QueuedRevision) -> None:
    """Record a co-signed revision; one that is on chain already, or can never be, leaves the queue."""
    revision = _decode_revision(queued.body)
    recorded = True
    try:
        await context.ledger.revise(revision, queued.client_signature, queued.provider_signature)
    except Reverted:
        # Refused: it was recorded before (a lost receipt), or its time is over. The chain says which.
        info = await context.ledger.agreement(queued.agreement)
        recorded = info.revision == typed.revision_digest(revision, context.domain) or info.sequence > queued.sequence
    context.catalogue.drop_revision(queued.agreement, queued.sequence, recorded)


async def _anchor(context: NodeContext) -> list[str]:
    newest = context.catalogue.newest_head()
    if newest is None or newest[3]:
        return []
    number, hash = newest[0], newest[1]
    try:
        await context.ledger.anchor(context.repository, number, hash)
    except ChainUnavailable:
        return [f"the anchor of head {number}"]
    except Reverted:
        anchored = await context.ledger.anchor_of(context.member, context.repository)
        if (anchored.number, anchored.head) != (number, hash):
            raise
    context.catalogue.mark_anchored(number)
    return []
