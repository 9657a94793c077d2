"""Shards out of what the chain has of them: leaves that providers published because they were demanded.

The last resort: it is a few leaves an epoch, and everybody can read them (they are ciphertext).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from peerage.model import LEAF_SIZE, AgreementId, ShardRoot
from peerage.ports import Ledger
from peerage.store.catalogue import Catalogue
from peerage.store.rows import StoredObject, placed
from peerage_chain.types import Demand

Answer = tuple[Demand, tuple[bytes, ...]]
Leaves = Mapping[ShardRoot, Mapping[int, bytes]]
"""Of objects, by their index within each."""


class Published:
    """What was published under each agreement, asked for and sorted once."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._known: dict[AgreementId, Leaves] = {}

    async def shard(self, agreement: AgreementId, root: ShardRoot, leaves: int) -> bytes | None:
        """All leaves of an object, unchecked; None if one is missing. Raises ChainUnavailable."""
        if agreement not in self._known:
            answers = await self._ledger.answered_demands(agreement)
            objects = self._catalogue.objects(agreement) if answers else ()
            self._known[agreement] = leaves_of(answers, objects)
        found = self._known[agreement].get(root, {})
        return b"".join(found[i] for i in range(leaves)) if len(found) == leaves else None


def leaves_of(answers: Iterable[Answer], objects: Sequence[StoredObject]) -> Leaves:
    """The published leaves. objects: as Catalogue.objects."""
    found: defaultdict[ShardRoot, dict[int, bytes]] = defaultdict(dict)
    for demand, leaves in answers:
        brought = {i: leaf for i, leaf in zip(demand.indices, leaves, strict=False) if len(leaf) == LEAF_SIZE}
        for item, start in placed(objects, demand.sequence):
            for index, leaf in brought.items():
                if start <= index < start + item.leaves:
                    found[item.root][index - start] = leaf
    return found
