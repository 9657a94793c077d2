"""What no snapshot needs any more leaves the providers: announced on chain, and removed when its retention has passed.

What to remove is never remembered but found: every object under an agreement that is neither a shard of a stripe in
use nor a head. So leftovers of repairs and of runs that were cut short go the same way, and a crash forgets nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from peerage.errors import IntegrityError, PeerError
from peerage.flow.context import NodeContext, Report, note, warn
from peerage.flow.publish import recorded_objects, sign_revision, submit
from peerage.model import LEAF_SIZE, AgreementId, ShardRoot
from peerage.shard.tree import object_tree
from peerage.snapshot.head import padded
from peerage.store.catalogue import LocalAgreement, LocalRemoval, StoredObject
from peerage.wire.limits import APPENDED_MAX
from peerage_chain.errors import ChainUnavailable, Reverted

_ALIKE_LEAVES = 32
"""Shards of nothing but padding are all alike, and no longer than this: the next small pack may need them again."""


@dataclass(frozen=True, slots=True)
class Announced:
    """bytes: of the objects announced for removal. ready: the epoch from which the last of them may go; 0 for none."""

    bytes: int = 0
    objects: int = 0
    ready: int = 0


async def announce_removals(context: NodeContext, report: Report) -> Announced:
    """Announce the removal of what nothing needs, wherever none is pending; returns all that is announced then.

    Only once the newest head is anchored: until then an older one may be all that a recovery finds. Raises
    ChainUnavailable.
    """
    catalogue = context.catalogue
    async with context.publishing:
        newest = catalogue.newest_head()
        if newest is None or not newest[3]:
            return Announced()
        heads = [head_root(body) for _, body in catalogue.heads()]
        pending = {r.agreement for r in catalogue.removals()}
        for agreement in catalogue.agreements():
            if agreement.live and agreement.id not in pending:
                garbage = await context.in_worker(garbage_of, context, agreement.id, heads)
                if garbage:
                    await _announce(context, agreement, garbage, report)
    return await context.in_worker(announced, context)


def announced(context: NodeContext) -> Announced:
    """What is announced and not removed yet."""
    removals = context.catalogue.removals()
    sizes = {(r.agreement, o.root): o.leaves for r in removals for o in context.catalogue.objects(r.agreement)}
    return Announced(
        bytes=sum(sizes.get((r.agreement, root), 0) for r in removals for root in r.roots) * LEAF_SIZE,
        objects=sum(len(r.roots) for r in removals),
        ready=max((r.ready for r in removals), default=0),
    )


def garbage_of(context: NodeContext, agreement: AgreementId, heads: list[ShardRoot]) -> list[StoredObject]:
    """Recorded objects that nothing needs, at most as many as one revision may name; unrecorded ones are let go."""
    found = [o for o in context.catalogue.unreferenced(agreement, heads) if o.root not in _alike()]
    context.catalogue.drop_unrecorded(agreement, [o.root for o in found if o.sequence is None])
    return [o for o in found if o.sequence is not None][:APPENDED_MAX]


def head_root(body: bytes) -> ShardRoot:
    """The root of a head as providers keep it."""
    return object_tree(padded(body)).root


@cache
def _alike() -> frozenset[ShardRoot]:
    return frozenset(object_tree(bytes(n * LEAF_SIZE)).root for n in range(1, _ALIKE_LEAVES + 1))


async def _announce(
    context: NodeContext, agreement: LocalAgreement, garbage: list[StoredObject], report: Report
) -> None:
    roots = tuple(sorted(o.root for o in garbage))
    commitment = sha256(b"".join(roots)).digest()
    leaves = sum(o.leaves for o in garbage)
    try:
        shown = await context.ledger.removal_of(agreement.id)
        if shown is not None and shown.objects != commitment:
            # Announced by a run whose list is lost (a rebuilt catalogue): it could never be carried out.
            await context.ledger.cancel_removal(agreement.id)
            shown = None
        if shown is None:
            await context.ledger.announce_removal(agreement.id, commitment, leaves)
            shown = await context.ledger.removal_of(agreement.id)
    except Reverted as error:
        warn(report, f"no removal can be announced to member {agreement.provider} now: {error}")
        return
    if shown is not None:
        context.catalogue.set_removal(LocalRemoval(agreement.id, shown.ready, roots))


async def carry_out_removals(context: NodeContext, report: Report) -> int:
    """Remove what was announced and whose time has come; returns how many objects went. Raises ChainUnavailable.

    An object that is needed again by now saves itself and all that was announced with it, until the next prune.
    """
    if not context.catalogue.removals():
        return 0
    removed = 0
    async with context.publishing:
        now = (await context.ledger.now()).epoch
        heads = [head_root(body) for _, body in context.catalogue.heads()]
        agreements = {a.id: a for a in context.catalogue.agreements()}
        queued = {r.agreement for r in context.catalogue.queued_revisions()}
        for removal in context.catalogue.removals():
            agreement = agreements.get(removal.agreement)
            if agreement is None or not agreement.live:
                context.catalogue.drop_removal(removal.agreement)
            elif removal.ready <= now and removal.agreement not in queued:
                try:
                    removed += await _carry_out(context, agreement, removal, heads, report)
                except ChainUnavailable:
                    raise
                except (PeerError, IntegrityError, Reverted) as error:
                    warn(report, f"member {agreement.provider} does not remove what was announced yet: {error}")
    return removed


async def _carry_out(
    context: NodeContext, agreement: LocalAgreement, removal: LocalRemoval, heads: list[ShardRoot], report: Report
) -> int:
    catalogue = context.catalogue
    unneeded = {o.root for o in await context.in_worker(catalogue.unreferenced, agreement.id, heads)}
    shown = await context.ledger.removal_of(agreement.id)
    if shown is None or not unneeded.issuperset(removal.roots):
        if shown is not None:
            await context.ledger.cancel_removal(agreement.id)
        catalogue.drop_removal(agreement.id)
        note(report, f"the removal announced to member {agreement.provider} is withdrawn")
        return 0
    info = await context.ledger.agreement(agreement.id)
    objects = [o for o in await recorded_objects(context, info) if o.sequence is not None]
    await submit(context, await sign_revision(context, info, objects, [], sorted(removal.roots)))
    return len(removal.roots)


async def cancel_removals(context: NodeContext) -> int:
    """Withdraw every announced removal of this member's data; returns how many. Raises ChainUnavailable."""
    cancelled = 0
    async with context.publishing:
        for agreement in context.catalogue.agreements():
            if agreement.live and await context.ledger.removal_of(agreement.id) is not None:
                await context.ledger.cancel_removal(agreement.id)
                cancelled += 1
            context.catalogue.drop_removal(agreement.id)
    return cancelled
