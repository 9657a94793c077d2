"""Rows of the catalogue, as the flows see them (node/spec/catalogue.md)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from peerage.model import AgreementId, MemberId, ObjectKind, ShardRoot

__all__ = [
    "Check",
    "FileState",
    "LocalAgreement",
    "LocalRemoval",
    "Opening",
    "QueuedRevision",
    "StoredObject",
    "placed",
]


class FileState(NamedTuple):
    """What a file looked like when it was last read, and what it held. Times are nanoseconds since 1970."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    depth: int
    content: bytes
    run: int

    def is_current(self, facts: tuple[int, int, int, int, int], untrusted: Collection[int]) -> bool:
        """Whether the file is still what was read. facts: as source.read has them. untrusted: runs that never ended."""
        return self[:5] == facts and self.run not in untrusted


class LocalAgreement(NamedTuple):
    """One of this member's agreements as client, as last seen on chain. used: bytes stored under it."""

    id: AgreementId
    provider: MemberId
    capacity: int
    end_epoch: int
    live: bool
    sequence: int
    revision: bytes
    used: int


class QueuedRevision(NamedTuple):
    agreement: AgreementId
    sequence: int
    body: bytes
    client_signature: bytes
    provider_signature: bytes


class Opening(NamedTuple):
    """Terms that both signed, by which an agreement was opened. open_by: the last epoch in which that is possible."""

    agreement: AgreementId
    open_by: int
    body: bytes
    client_signature: bytes
    provider_signature: bytes


class StoredObject(NamedTuple):
    """An object under an agreement. sequence: the revision that first holds it, None before it is co-signed. removed:
    the revision that removes it, if one does."""

    root: ShardRoot
    leaves: int
    kind: ObjectKind
    sequence: int | None
    removed: int | None = None

    def under(self, sequence: int) -> tuple[ShardRoot, int]:
        """What stands for it in the tree of a revision that comes after it: a removed one is dead."""
        dead = self.removed is not None and self.removed <= sequence
        return (ShardRoot(bytes(32)), 0) if dead else (self.root, self.leaves)


def placed(objects: Iterable[StoredObject], sequence: int) -> Iterator[tuple[StoredObject, int]]:
    """Each object that the tree of a revision holds, with its first leaf there. objects: all, in the tree's order."""
    start = 0
    for item in objects:
        if item.sequence is None or item.sequence > sequence:
            continue
        _, leaves = item.under(sequence)
        if leaves:
            yield item, start
        start += leaves


class LocalRemoval(NamedTuple):
    """Objects whose removal from an agreement was announced. ready: the epoch from which they may be removed."""

    agreement: AgreementId
    ready: int
    roots: tuple[ShardRoot, ...]


class Check(NamedTuple):
    """What the chain said of one agreement in one epoch in which a proof was due."""

    epoch: int
    sequence: int
    proven: bool
