"""Which protocol two nodes speak: the newest that both do (node/spec/wire.md, Versions).

The client names a version in a header. A provider that lacks it refuses, and names all that it speaks in another
header; the client takes the newest common one from then on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from peerage.wire.refusals import Refusal, RefusalCode

HEADER = "peerage-protocol"
OFFER_HEADER = "peerage-protocols"
CURRENT = 1
KNOWN: tuple[int, ...] = (1,)
"""Versions that this release speaks, in either role."""
_OFFER = re.compile(r"[1-9][0-9]{0,4}(?:, ?[1-9][0-9]{0,4}){0,15}")


def check(header: str | None, known: Sequence[int] = KNOWN) -> int:
    """The version of a request. Raises Refusal(unknown_version) naming what was asked for and what is known."""
    spoken = offer(known)
    if header is None:
        raise Refusal(RefusalCode.UNKNOWN_VERSION, f"the header {HEADER} is missing; this node speaks {spoken}")
    if not (header.isascii() and header.isdigit() and len(header) <= 5 and header[0] != "0" and int(header) in known):
        shown = "".join(c for c in header[:20] if c.isascii() and c.isprintable())
        raise Refusal(
            RefusalCode.UNKNOWN_VERSION, f"protocol version {shown!r} is not known here; this node speaks {spoken}"
        )
    return int(header)


def offer(known: Sequence[int] = KNOWN) -> str:
    """What a refusal names."""
    return ", ".join(str(version) for version in known)


def newest_common(offered: str | None, known: Sequence[int] = KNOWN) -> int | None:
    """The newest version of an offer that is known, too; None if there is none, or if it is not an offer."""
    if offered is None or not _OFFER.fullmatch(offered):
        return None
    return max({int(number) for number in offered.split(",")} & set(known), default=None)
