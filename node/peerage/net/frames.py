"""Frames of the owner's data verbs: kind u8, length u32be, payload. Normative: node/spec/owner-interface.md."""

from __future__ import annotations

from struct import Struct

from peerage.errors import PeerageError

DATA = 0
LAST = 1
"""Its payload is JSON: the result or the error. An answer without it was cut."""
MAX_FRAME = 1 << 20
"""Bytes of a payload at most."""
_HEADER = Struct(">BI")
HEADER_SIZE = _HEADER.size


def header(kind: int, length: int) -> bytes:
    return _HEADER.pack(kind, length)


def read_header(data: bytes) -> tuple[int, int]:
    """(kind, length). Raises PeerageError for what no daemon of ours sends."""
    kind, length = _HEADER.unpack(data)
    if kind not in (DATA, LAST) or length > MAX_FRAME:
        raise PeerageError("the daemon's answer cannot be read: the command and the daemon differ in version")
    return kind, length
