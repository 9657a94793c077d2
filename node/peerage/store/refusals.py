"""Why the object store says no. `code` is the stable name of the reason, as node/spec/wire.md sends it to the peer."""

from __future__ import annotations

from peerage.errors import LocalFault, PeerageError


class StoreRefusal(PeerageError):
    """A request that the store will not carry out; nothing has changed."""

    code = "refused"


class UnknownAgreement(StoreRefusal):
    """The store was never told of this agreement, or the caller is not its client."""

    code = "unknown-agreement"


class UnknownObject(StoreRefusal):
    """Not kept here for this owner; or it was dropped before it was co-signed: put it again."""

    code = "unknown-object"


class OverCapacity(StoreRefusal):
    """The object does not fit what the agreement's signed capacity leaves."""

    code = "over-capacity"


class BadObject(StoreRefusal):
    """The bytes are not what was announced: too many, too few, or another root."""

    code = "bad-object"


class RevisionConflict(StoreRefusal):
    """The revision does not follow what this store holds: wrong sequence or predecessor, or an object listed twice."""

    code = "revision-conflict"


class DiskFull(LocalFault):
    """The disk has no room for the whole object; what was half written is gone again."""

    code = "disk-full"
