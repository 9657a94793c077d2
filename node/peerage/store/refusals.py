"""Why the object store says no. What a peer is told for each: node/spec/object-store.md."""

from __future__ import annotations

from peerage.errors import LocalFault, PeerageError


class StoreRefusal(PeerageError):
    """A request that the store will not carry out; nothing has changed."""


class UnknownAgreement(StoreRefusal):
    """The store was never told of this agreement, or the caller is not its client."""


class UnknownObject(StoreRefusal):
    """Not kept here for this owner; or it was dropped before it was co-signed: put it again."""


class OverCapacity(StoreRefusal):
    """The object does not fit what the agreement's signed capacity leaves."""


class BadObject(StoreRefusal):
    """The bytes are not what was announced: too many, too few, or another root."""


class RevisionConflict(StoreRefusal):
    """The revision does not follow what this store holds: wrong sequence or predecessor, or an object listed twice."""


class DiskFull(LocalFault):
    """The disk has no room for the whole object; what was half written is gone again."""
