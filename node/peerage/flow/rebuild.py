"""The catalogue anew, from the peers: made beside the old one, and put in its place when it is whole."""

from __future__ import annotations

from dataclasses import dataclass, replace

from peerage.errors import Busy, UserError
from peerage.flow.context import NodeContext, Report
from peerage.flow.recover import find_head, rebuild
from peerage.store.catalogue import Catalogue
from peerage.store.database import remove_database


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """What was found, as --json shows it."""

    head: int
    anchor: int
    snapshots: int
    packs: int


async def rebuild_catalogue(context: NodeContext, report: Report) -> RebuildResult:
    """Replace the catalogue by what the newest head and the providers say. No backup or prune may run meanwhile.

    Interrupted anywhere, the old one is as it was. File states are not kept by peers, so the next backup reads all
    files and sends nothing again. Raises UserError when there is nothing to rebuild from, Busy when another head was
    made meanwhile, PeerError, IntegrityError.
    """
    ledger = context.ledger
    agreements = [a for a in await ledger.agreements_of(context.member) if a.terms.client == context.member]
    anchor = await ledger.anchor_of(context.member, context.repository)
    if not agreements or not anchor.number:
        raise UserError("nothing was ever backed up on this chain: there is no catalogue to rebuild")
    member = next(m for m in await ledger.roster() if m.id == context.member)
    path = context.catalogue.path.with_suffix(".rebuilding")
    remove_database(path)
    fresh = Catalogue(path)
    try:
        found = await find_head(
            context.peers,
            agreements,
            member,
            context.domain,
            anchor.number,
            anchor.head,
            lambda _: context.ring,
            report,
        )
        await rebuild(replace(context, catalogue=fresh), found, agreements, anchor.number, report)
        result = RebuildResult(found.head.number, anchor.number, len(found.head.snapshots), len(fresh.pack_numbers()))
    finally:
        fresh.close()
    async with context.publishing:
        newest = context.catalogue.newest_head()
        if newest is not None and newest[0] > result.head:
            remove_database(path)
            raise Busy(f"head {newest[0]} was made meanwhile (by a hold or a forget): rebuild again")
        context.catalogue.replace_by(path)
    return result


async def is_lost(context: NodeContext) -> bool:
    """Whether the catalogue is empty although the chain anchors a head of ours. Raises ChainUnavailable."""
    if context.catalogue.newest_head() is not None:
        return False
    return (await context.ledger.anchor_of(context.member, context.repository)).number > 0
