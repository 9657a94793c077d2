"""Why a node says no: stable codes, each with its HTTP status.

A client acts on the code, a person reads the message.
"""

from __future__ import annotations

from enum import StrEnum

from peerage.errors import PeerageError


class RefusalCode(StrEnum):
    """The stable refusal codes of node/spec/wire.md; a code is never given a new meaning."""

    MALFORMED = "malformed"
    UNKNOWN_VERSION = "unknown_version"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    LENGTH_REQUIRED = "length_required"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    TRUNCATED = "truncated"
    BAD_RANGE = "bad_range"
    NOT_A_MEMBER = "not_a_member"
    SUSPENDED = "suspended"
    BUSY = "busy"
    NO_SUCH_AGREEMENT = "no_such_agreement"
    AGREEMENT_NOT_LIVE = "agreement_not_live"
    NO_SUCH_OBJECT = "no_such_object"
    OVER_CAPACITY = "over_capacity"
    DISK_FULL = "disk_full"
    BAD_ROOT = "bad_root"
    BAD_TERMS = "bad_terms"
    POLICY_REFUSED = "policy_refused"
    BAD_SIGNATURE = "bad_signature"
    BAD_REVISION = "bad_revision"
    STALE_REVISION = "stale_revision"
    CHAIN_UNAVAILABLE = "chain_unavailable"
    DAMAGED = "damaged"
    INTERNAL = "internal"


STATUS: dict[RefusalCode, int] = {
    RefusalCode.MALFORMED: 400,
    RefusalCode.UNKNOWN_VERSION: 400,
    RefusalCode.NOT_FOUND: 404,
    RefusalCode.METHOD_NOT_ALLOWED: 405,
    RefusalCode.LENGTH_REQUIRED: 411,
    RefusalCode.TOO_LARGE: 413,
    RefusalCode.TOO_SLOW: 408,
    RefusalCode.TRUNCATED: 400,
    RefusalCode.BAD_RANGE: 416,
    RefusalCode.NOT_A_MEMBER: 403,
    RefusalCode.SUSPENDED: 403,
    RefusalCode.BUSY: 429,
    RefusalCode.NO_SUCH_AGREEMENT: 404,
    RefusalCode.AGREEMENT_NOT_LIVE: 409,
    RefusalCode.NO_SUCH_OBJECT: 404,
    RefusalCode.OVER_CAPACITY: 507,
    RefusalCode.DISK_FULL: 507,
    RefusalCode.BAD_ROOT: 422,
    RefusalCode.BAD_TERMS: 422,
    RefusalCode.POLICY_REFUSED: 409,
    RefusalCode.BAD_SIGNATURE: 422,
    RefusalCode.BAD_REVISION: 422,
    RefusalCode.STALE_REVISION: 409,
    RefusalCode.CHAIN_UNAVAILABLE: 503,
    RefusalCode.DAMAGED: 500,
    RefusalCode.INTERNAL: 500,
}

TRANSIENT = frozenset({RefusalCode.BUSY, RefusalCode.CHAIN_UNAVAILABLE, RefusalCode.TOO_SLOW, RefusalCode.TRUNCATED})
"""The same request may succeed a moment later."""


class Refusal(PeerageError):
    """This node refuses a peer's request. The message goes to the peer: it names what is wrong, never a path or key."""

    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        return STATUS[self.code]
