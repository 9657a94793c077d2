"""How much of its offer each member has left, as the chain shows it: offered, less promised in agreements in force."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from peerage.deal.ranking import Prospect
from peerage.flow.context import NodeContext
from peerage.flow.quality import known_quality
from peerage_chain.types import MemberInfo

_COUNTER = "promised:"
_AT_ONCE = 16


async def refresh_promised(context: NodeContext, members: Iterable[MemberInfo]) -> None:
    """Read what they have promised, and note it in the catalogue. Raises ChainUnavailable."""
    others = [m.id for m in members if m.id != context.member and m.nodes]
    for start in range(0, len(others), _AT_ONCE):
        some = others[start : start + _AT_ONCE]
        promised = await asyncio.gather(*(context.ledger.promised(m) for m in some))
        for member, promised_bytes in zip(some, promised, strict=True):
            if context.catalogue.counter(f"{_COUNTER}{member}") != promised_bytes:
                context.catalogue.set_counter(f"{_COUNTER}{member}", promised_bytes)


def prospect(context: NodeContext, member: MemberInfo) -> Prospect:
    """A member as a possible provider, with what was measured of it and what it has left, at the last look."""
    left = member.offer.capacity - context.catalogue.counter(f"{_COUNTER}{member.id}")
    return Prospect(member, max(0, left), known_quality(context.catalogue, member.id))
