"""A provider that proves its data and does not serve it is made to: its leaves are demanded on chain.

It publishes them there, or pays a heavy penalty. One leaf at a time: it is the penalty that moves a provider, and
restores have the data from the others meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from peerage.errors import PeerError
from peerage.flow.context import NodeContext, Report, note, warn
from peerage.model import LEAF_SIZE, AgreementId
from peerage.store.rows import StoredObject, placed
from peerage_chain.errors import Reverted
from peerage_chain.types import AgreementInfo, Epoch

DEMAND_EVERY_EPOCHS = 24
"""Between two demands under one agreement: each costs a deposit, which an honest answer earns."""


async def demand_unserved(context: NodeContext, ours: Sequence[AgreementInfo], report: Report) -> int:
    """Ask each provider that proved lately for a leaf; demand it of those that served none for
    `take.demand_after_epochs`. Returns the demands made.

    ours: this member's agreements as client, as the chain shows them. What is known is kept in the catalogue, over
    restarts. While nobody at all serves us, our own line is as likely to be the reason: then nothing is demanded.
    Raises ChainUnavailable.
    """
    now = (await context.ledger.now()).epoch
    asked = [(info, *found) for info in ours if (found := _some_leaf(context, info)) is not None]
    served = await asyncio.gather(*(_serves(context, info, item) for info, item, _ in asked))
    demands = 0
    for (info, _, index), serves in zip(asked, served, strict=True):
        since = f"unserved:{info.id.hex()}"
        if serves:
            context.catalogue.set_counter(since, 0)
        elif any(served):
            if not context.catalogue.counter(since):
                context.catalogue.set_counter(since, now)
            elif now - context.catalogue.counter(since) >= context.policy().take.demand_after_epochs:
                demands += await _demand(context, info, index, now, report)
    return demands


def _some_leaf(context: NodeContext, info: AgreementInfo) -> tuple[StoredObject, int] | None:
    """A recorded object and the index of its first leaf, at random; None if nothing is to be asked for: no data, or no
    recent proof, for which there is a penalty already."""
    checks = context.catalogue.checks(info.id, 1)
    if not info.is_live or not checks or not checks[0].proven:
        return None
    found = [
        (item, start)
        for item, start in placed(context.catalogue.objects(info.id), info.sequence)
        if item.sequence is not None and item.sequence <= checks[0].sequence
    ]
    return found[int.from_bytes(context.entropy(8), "big") % len(found)] if found else None


async def _serves(context: NodeContext, info: AgreementInfo, item: StoredObject) -> bool:
    try:
        return len(await context.peers.get_object(info.terms.provider, item.root, 0, LEAF_SIZE)) == LEAF_SIZE
    except PeerError:
        return False


async def _demand(context: NodeContext, info: AgreementInfo, index: int, now: Epoch, report: Report) -> int:
    last = _last_demand(info.id)
    if context.catalogue.counter(last) and now - context.catalogue.counter(last) < DEMAND_EVERY_EPOCHS:
        return 0
    provider = info.terms.provider
    try:
        await context.ledger.make_demand(info.id, [index])
    except Reverted as error:
        warn(report, f"member {provider} proves and does not serve; a demand was refused: {error}")
        return 0
    context.catalogue.set_counter(last, now)
    note(report, f"member {provider} proves and does not serve: leaf {index} is demanded on chain")
    return 1


def _last_demand(id: AgreementId) -> str:
    return f"demanded:{id.hex()}"
