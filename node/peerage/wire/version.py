"""Which protocol two nodes speak: the client names a version in a header; a provider that lacks it says what it has."""

from __future__ import annotations

from peerage.wire.refusals import Refusal, RefusalCode

HEADER = "peerage-protocol"
CURRENT = 1
KNOWN = (1,)
"""Versions that this release answers. Named in every answer's header, so a client can fall back to a common one."""
KNOWN_TEXT = ", ".join(str(version) for version in KNOWN)


def check(header: str | None) -> int:
    """The version of a request. Raises Refusal(unknown_version) naming what was asked for and what is known."""
    if header is None:
        raise Refusal(RefusalCode.UNKNOWN_VERSION, f"the header {HEADER} is missing; this node speaks {KNOWN_TEXT}")
    if not (header.isascii() and header.isdigit() and len(header) <= 5 and int(header) in KNOWN):
        shown = "".join(c for c in header[:20] if c.isascii() and c.isprintable())
        raise Refusal(
            RefusalCode.UNKNOWN_VERSION, f"protocol version {shown!r} is not known here; this node speaks {KNOWN_TEXT}"
        )
    return int(header)
