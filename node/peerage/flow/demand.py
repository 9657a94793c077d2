"""Demands by hand: leaves that a provider does not serve, asked for on chain; and the demands that are open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peerage.errors import UserError
from peerage.flow.context import NodeContext, Report, note
from peerage.flow.published import leaves_of
from peerage.store.rows import placed
from peerage_chain.errors import Reverted
from peerage_chain.types import AgreementId, AgreementInfo, Demand

LEAVES_AT_ONCE = 16
"""What networks allow an agreement and epoch unless their rules say otherwise."""


async def demand(context: NodeContext, name: str, leaves: Sequence[int], report: Report) -> dict[str, Any]:
    """Demand leaves of the agreement whose id begins with `name`: those, or the next ones that were not published yet.

    Returns what `open_demands` does. Raises UserError, ChainUnavailable.
    """
    info = await _named(context, name)
    now = (await context.ledger.now()).epoch
    frozen = await context.ledger.challenge(info.id, now)
    if leaves and max(leaves) >= frozen.leaves:
        raise UserError(f"the agreement has {frozen.leaves} leaves on record: name some below that")
    wanted = sorted(set(leaves)) or await _next_leaves(context, info, frozen.sequence)
    if not wanted:
        raise UserError(
            "nothing is left to demand: all leaves on record are published or demanded (or none is recorded)"
        )
    try:
        await context.ledger.make_demand(info.id, wanted)
    except Reverted as error:
        raise UserError(f"the demand was refused ({error}): nothing was demanded") from error
    note(report, f"{len(wanted)} leaves are demanded of member {info.terms.provider}")
    return await open_demands(context)


async def open_demands(context: NodeContext) -> dict[str, Any]:
    """The demands that wait for an answer, ours and those faced by us, soonest deadline first."""
    now = (await context.ledger.now()).epoch
    agreements = await context.ledger.agreements_of(context.member)
    providers = {a.terms.provider for a in agreements}
    rows = [
        found
        for provider in sorted(providers)
        for found in await context.ledger.open_demands(provider)
        if context.member in (found.client, found.provider)
    ]
    return {"epoch": now, "demands": [_shown(row, now) for row in sorted(rows, key=lambda row: row.until)]}


async def _named(context: NodeContext, name: str) -> AgreementInfo:
    ours = [a for a in await context.ledger.agreements_of(context.member) if a.terms.client == context.member]
    found = [a for a in ours if a.id.hex().startswith(name.lower())]
    if len(found) != 1 or len(name) < 4:
        what = "is the beginning of several" if found else "is none of ours as client"
        raise UserError(f"agreement {name[:64]} {what}: `peerage agreements` lists them")
    if not found[0].is_live:
        raise UserError(f"the agreement is {found[0].state.name.lower()}: nothing can be demanded under it any more")
    return found[0]


async def _next_leaves(context: NodeContext, info: AgreementInfo, sequence: int) -> list[int]:
    """The first leaves, in tree order, of shards that stripes need; without what is published or demanded already."""
    answers = await context.ledger.answered_demands(info.id)
    asked: set[int] = set()
    for found in await context.ledger.open_demands(info.terms.provider):
        if found.agreement == info.id and found.sequence == sequence:
            asked.update(found.indices)
    objects = context.catalogue.objects(info.id)
    needed, published = context.catalogue.roots_of_stripes(info.id), leaves_of(answers, objects)
    wanted: list[int] = []
    for item, start in placed(objects, sequence):
        if item.root not in needed:
            continue
        known = published.get(item.root, {})
        wanted += [start + i for i in range(item.leaves) if i not in known and start + i not in asked]
        if len(wanted) >= LEAVES_AT_ONCE:
            break
    return wanted[:LEAVES_AT_ONCE]


def _shown(found: Demand, now: int) -> dict[str, Any]:
    return {
        "number": found.number,
        "agreement": AgreementId(found.agreement).hex(),
        "client": found.client,
        "provider": found.provider,
        "leaves": list(found.indices),
        "epoch": found.epoch,
        "until_epoch": found.until,
        "epochs_left": max(0, found.until - now + 1),
    }
