"""The list of objects under an agreement, as its provider keeps it."""

from __future__ import annotations

from collections.abc import Sequence

from peerage.errors import IntegrityError
from peerage.flow.context import NodeContext
from peerage.model import ShardRoot
from peerage.shard.tree import AgreementTree
from peerage_chain.types import AgreementInfo


async def sync_objects(context: NodeContext, info: AgreementInfo) -> None:
    """Take the list of an agreement's objects from its provider; what the chain recorded must be its beginning."""
    listed = await context.peers.list_objects(info.terms.provider, info.id)
    recorded = await context.in_worker(_recorded_prefix, listed, info.root, info.leaves)
    # What is not recorded and belongs to no stripe is a leftover of a run that was cut short: its provider drops it.
    wanted = context.catalogue.roots_of_stripes(info.id)
    context.catalogue.replace_objects(
        info.id,
        [
            (root, leaves, info.sequence if i < recorded else None)
            for i, (root, leaves) in enumerate(listed)
            if i < recorded or root in wanted
        ],
    )


def _recorded_prefix(objects: Sequence[tuple[ShardRoot, int]], root: bytes, leaves: int) -> int:
    """How many of the objects the recorded revision covers. Raises IntegrityError if none of the prefixes matches."""
    if not leaves and not any(root):
        return 0
    total = 0
    for count, (_, n) in enumerate(objects, 1):
        total += n
        # Removed objects have no leaves, so several prefixes may have as many.
        if total == leaves and AgreementTree(objects[:count]).root.hash == root:
            return count
        if total > leaves:
            break
    raise IntegrityError("its list of objects does not match what the chain recorded")
