"""Opening leaves: what a challenge asks for, read from the disk anew each time."""

from __future__ import annotations

from threading import Lock

from peerage.errors import IntegrityError
from peerage.model import AgreementId, ShardRoot
from peerage.shard.tree import AgreementTree, object_path
from peerage.store.objects import ObjectStore
from peerage.store.refusals import RevisionConflict, UnknownObject
from peerage_chain.types import Challenge, Sample

Objects = list[tuple[ShardRoot, int]]


class LeafOpener:
    """Builds proofs. Keeps each agreement's newest tree, which holds hashes only, never leaves. Any thread."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._trees: dict[AgreementId, tuple[bytes, Objects, AgreementTree]] = {}
        self._lock = Lock()

    def samples_for(self, challenge: Challenge) -> tuple[Sample, ...]:
        """One sample for each index, in order.

        Raises IntegrityError if the bytes on disk are not what was stored, after marking the object as damaged, or if
        the revision is not held here.
        """
        objects, tree = self._tree(challenge)
        return tuple(self._open(challenge.agreement, objects, tree, index) for index in challenge.indices)

    def _tree(self, challenge: Challenge) -> tuple[Objects, AgreementTree]:
        with self._lock:
            cached = self._trees.get(challenge.agreement)
        if cached is not None and cached[0] == challenge.root:
            return cached[1], cached[2]
        try:
            objects = self._store.objects_at(challenge.agreement, challenge.sequence, challenge.root)
        except RevisionConflict as error:
            raise IntegrityError(f"revision {challenge.sequence} is on chain but not held here") from error
        tree = AgreementTree(objects)
        if tree.root != (challenge.root, challenge.leaves):
            raise IntegrityError(f"revision {challenge.sequence} has another tree here than on chain")
        with self._lock:
            self._trees[challenge.agreement] = (challenge.root, objects, tree)
        return objects, tree

    def _open(self, agreement: AgreementId, objects: Objects, tree: AgreementTree, index: int) -> Sample:
        position, leaf_index = tree.locate(index)
        root, leaves = objects[position]
        try:
            with self._store.open_in(agreement, root) as reader:
                leaf, steps = object_path(reader.read, self._store.subroots(agreement, root), leaves, leaf_index)
        except UnknownObject as error:
            raise IntegrityError(f"object {root.hex()[:16]} is gone") from error
        except IntegrityError:
            self._store.mark_damaged(agreement, root)
            raise
        return Sample(leaf, steps + tree.path(position))
