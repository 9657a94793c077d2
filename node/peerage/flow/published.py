"""Shards out of what the chain has of them: leaves that providers published because they were demanded.

The last resort: it is a few leaves an epoch, and everybody can read them (they are ciphertext).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from peerage.model import LEAF_SIZE, AgreementId, ShardRoot
from peerage.ports import Ledger
from peerage.store.rows import StoredObject
from peerage_chain.types import Demand

Answer = tuple[Demand, tuple[bytes, ...]]


class Published:
    """What was published under each agreement, asked for once. objects: as Catalogue.objects."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._answers: dict[AgreementId, Sequence[Answer]] = {}

    async def shard(self, agreement: AgreementId, objects: Sequence[StoredObject], root: ShardRoot) -> bytes | None:
        """All leaves of an object, unchecked; None if one is missing. Raises ChainUnavailable."""
        if agreement not in self._answers:
            self._answers[agreement] = await self._ledger.answered_demands(agreement)
        leaves = leaves_of(self._answers[agreement], objects, root)
        wanted = next((item.leaves for item in objects if item.root == root), 0)
        return b"".join(leaves[i] for i in range(wanted)) if wanted and len(leaves) == wanted else None


def leaves_of(answers: Iterable[Answer], objects: Sequence[StoredObject], root: ShardRoot) -> dict[int, bytes]:
    """The published leaves of one object, by their index within it."""
    found: dict[int, bytes] = {}
    for demand, leaves in answers:
        start, count = place(objects, demand.sequence, root)
        for index, leaf in zip(demand.indices, leaves, strict=False):
            if start <= index < start + count and len(leaf) == LEAF_SIZE:
                found[index - start] = leaf
    return found


def place(objects: Sequence[StoredObject], sequence: int, root: ShardRoot) -> tuple[int, int]:
    """(first leaf, leaves) of an object in the tree of a revision; (0, 0) if it is not in it."""
    start = 0
    for item in objects:
        if item.sequence is None or item.sequence > sequence:
            continue
        kept, leaves = item.under(sequence)
        if kept == root:
            return start, leaves
        start += leaves
    return 0, 0
