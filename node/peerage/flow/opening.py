"""Opening leaves: what a challenge asks for, read from the disk anew each time."""

from __future__ import annotations

from peerage.errors import IntegrityError
from peerage.flow.trees import Trees
from peerage.model import AgreementId, ShardRoot
from peerage.shard.tree import AgreementTree, object_path
from peerage.store.objects import ObjectStore
from peerage.store.refusals import RevisionConflict, UnknownObject
from peerage_chain.types import Challenge, Sample


class LeafOpener:
    """Builds proofs. Any thread."""

    def __init__(self, store: ObjectStore, trees: Trees | None = None) -> None:
        self._store = store
        self._trees = trees or Trees(store)

    def samples_for(self, challenge: Challenge) -> tuple[Sample, ...]:
        """One sample for each index, in order.

        Raises IntegrityError if the bytes on disk are not what was stored, after marking the object as damaged, or if
        the revision is not held here.
        """
        agreement, sequence = challenge.agreement, challenge.sequence
        try:
            tree = self._trees.under(agreement, sequence, challenge.root, challenge.leaves)
        except RevisionConflict as error:
            raise IntegrityError(f"revision {sequence} is on chain but not held here") from error
        if tree.root != (challenge.root, challenge.leaves):
            raise IntegrityError(f"revision {sequence} has another tree here than on chain")
        return tuple(self._open(agreement, tree, index) for index in challenge.indices)

    def _open(self, agreement: AgreementId, tree: AgreementTree, index: int) -> Sample:
        position, leaf_index = tree.locate(index)
        root, leaves = ShardRoot(tree.object(position).hash), tree.object(position).leaves
        try:
            with self._store.open_in(agreement, root) as reader:
                leaf, steps = object_path(reader.read, self._store.subroots(agreement, root), leaves, leaf_index)
        except UnknownObject as error:
            raise IntegrityError(f"object {root.hex()[:16]} is gone") from error
        except IntegrityError:
            self._store.mark_damaged(agreement, root)
            raise
        return Sample(leaf, steps + tree.path(position))
