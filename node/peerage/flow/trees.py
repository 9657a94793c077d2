"""The trees over agreements' objects, as a provider needs them: to open leaves, and to check what it is to sign."""

from __future__ import annotations

from threading import Lock
from typing import NamedTuple

from peerage.model import AgreementId
from peerage.shard.tree import AgreementTree
from peerage.store.objects import ObjectStore

KEPT = 3
"""Trees of one agreement: of the revision that proofs are over, of the newest, and of one between. They share nodes."""


class _Known(NamedTuple):
    sequence: int
    tree: AgreementTree


class Trees:
    """Remembers the trees asked for last: hashes only, never leaves. Any thread.

    Most revisions only append: with a backup an epoch, making each tree anew would cost more than the proofs.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._known: dict[AgreementId, list[_Known]] = {}
        self._lock = Lock()

    def under(self, agreement: AgreementId, sequence: int, root: bytes, leaves: int) -> AgreementTree:
        """The tree that the revision of that number stands for. root, leaves: as it says.

        Raises RevisionConflict if it is not held here. What is not held as it says gives a tree of another root.
        """
        with self._lock:
            known = self._known.get(agreement, [])
        same = next((k for k in known if k.tree.root == (root, leaves)), None)
        tree = same.tree if same else self._extended(agreement, sequence, known)
        if tree is None or tree.root != (root, leaves):
            tree = AgreementTree(self._store.objects_at(agreement, sequence, root))
        with self._lock:
            others = [k for k in self._known.get(agreement, []) if k.tree.root != tree.root]
            self._known[agreement] = [*others, _Known(sequence, tree)][-KEPT:]
        return tree

    def forget(self, agreement: AgreementId) -> None:
        with self._lock:
            self._known.pop(agreement, None)

    def _extended(self, agreement: AgreementId, sequence: int, known: list[_Known]) -> AgreementTree | None:
        before = max((k for k in known if k.sequence < sequence), key=lambda k: k.sequence, default=None)
        if before is None:
            return None
        appended = self._store.revisions.appended_since(agreement, before.sequence, sequence)
        return AgreementTree(appended, before.tree) if appended else None
