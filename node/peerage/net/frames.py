"""Frames of the owner's data verbs: kind u8, length u32be, payload. Normative: node/spec/owner-interface.md."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from struct import Struct

import aiohttp

from peerage.errors import PeerageError, UserError

DATA = 0
LAST = 1
"""Its payload is JSON: the result or the error. An answer without it was cut."""
PARAMETERS = 2
"""The first frame of what is sent to a verb that takes data: JSON."""
MAX_FRAME = 1 << 20
"""Bytes of a payload at most."""
_HEADER = Struct(">BI")
HEADER_SIZE = _HEADER.size


def header(kind: int, length: int) -> bytes:
    return _HEADER.pack(kind, length)


def read_header(data: bytes) -> tuple[int, int]:
    """(kind, length). Raises PeerageError for what no daemon of ours sends."""
    kind, length = _HEADER.unpack(data)
    if kind not in (DATA, LAST, PARAMETERS) or length > MAX_FRAME:
        raise PeerageError(
            "what came over the owner's socket cannot be read: the command and the daemon differ in version"
        )
    return kind, length


class Incoming:
    """What a caller sends to a verb that takes data: parameters, data, and an end that says how much it was.

    Nothing looks whole that is not: without its end, or with an end that gives a reason, reading raises.
    """

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content
        self._taken = 0
        self._ended = False

    async def parameters(self) -> str:
        """Raises PeerageError when the stream does not begin with them."""
        kind, payload = await self._frame()
        if kind != PARAMETERS:
            raise PeerageError("a stream must begin with its parameters: the command and the daemon differ in version")
        return payload.decode(errors="replace")

    async def read(self) -> bytes:
        """The next bytes; none at the end. Raises UserError with the caller's reason, PeerageError if it was cut."""
        while not self._ended:
            kind, payload = await self._frame()
            if kind == DATA and payload:
                self._taken += len(payload)
                return payload
            if kind == LAST:
                self._end(payload)
        return b""

    def _end(self, payload: bytes) -> None:
        try:
            end = json.loads(payload)
            reason, taken = end.get("error"), end.get("bytes")
        except (ValueError, AttributeError):
            reason, taken = None, None
        if isinstance(reason, str):
            raise UserError(reason)
        if taken != self._taken:
            raise PeerageError(f"the stream ended after {self._taken} bytes, which is not what was sent: try again")
        self._ended = True

    async def _frame(self) -> tuple[int, bytes]:
        try:
            kind, length = read_header(await self._content.readexactly(HEADER_SIZE))
            return kind, await self._content.readexactly(length)
        except (asyncio.IncompleteReadError, aiohttp.ClientError, ConnectionError):
            raise PeerageError("the stream broke off before its end: nothing was backed up") from None


async def outgoing(parameters: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The frames of a stream for Incoming; a PeerageError of `pieces` becomes its reason to end."""
    raw = parameters.encode()
    if len(raw) > MAX_FRAME:
        raise UserError(f"these parameters take more than {MAX_FRAME} bytes: give fewer")
    yield header(PARAMETERS, len(raw)) + raw
    sent = 0
    end: dict[str, object]
    try:
        async for piece in pieces:
            for start in range(0, len(piece), MAX_FRAME):
                part = piece[start : start + MAX_FRAME]
                yield header(DATA, len(part)) + part
                sent += len(part)
        end = {"bytes": sent}
    except PeerageError as error:
        end = {"error": str(error)}
    last = json.dumps(end).encode()
    yield header(LAST, len(last)) + last
