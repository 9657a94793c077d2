"""Bodies on the provider's side: streamed in pieces of about 1 MiB, while worker threads hash, write and read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import ClientError, web

from peerage.model import MIB
from peerage.net import requests
from peerage.net.service import Reading, Reception
from peerage.net.throttle import Pace, full_speed
from peerage.ports import Buffer
from peerage.wire import version
from peerage.wire.limits import body_total_s
from peerage.wire.refusals import Refusal, RefusalCode

BATCH_BYTES = MIB
"""Handed to a worker at a time: a hop between threads costs about 0.1 ms, hashing and writing 1 MiB about 2 ms."""
WRITE_BYTES = MIB // 4
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


PROTOCOL = web.RequestKey("protocol", int)
"""Under this key a request carries the version of the protocol that it is spoken in."""


def spoken(request: web.BaseRequest) -> dict[str, str]:
    """The header of every answer; the newest version where the request has not named one that is known."""
    return {version.HEADER: str(request.get(PROTOCOL, version.CURRENT))}


class InWorker(Protocol):
    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Awaitable[Any]: ...


async def invite(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to send the body: everything was checked that could be."""
    expect = request.headers.get("Expect")
    if expect is None:
        return
    if expect.lower() != "100-continue":
        raise Refusal(RefusalCode.MALFORMED, "the only expectation understood is 100-continue")
    await request.writer.write(CONTINUE)
    request.writer.output_size = 0


async def read_small(request: web.BaseRequest, limit: int, idle_s: float) -> bytes:
    """A whole small body. Raises Refusal: length_required, too_large, too_slow, truncated."""
    requests.only(request.query, set())
    size = requests.body_length(request.headers, limit)
    await invite(request)
    body = bytearray()
    clock = _BodyClock(size, idle_s)
    while len(body) < size:
        body += await clock.next(request)
    return bytes(body)


async def receive_object(
    request: web.BaseRequest,
    reception: Reception,
    size: int,
    in_worker: InWorker,
    idle_s: float,
    pace: Pace = full_speed,
) -> None:
    """Stream exactly `size` bytes into the reception; one batch is absorbed while the next one arrives.

    On return or raise no worker is busy with it any more. Raises Refusal: too_slow, truncated, and absorb's own.
    """
    await invite(request)
    clock = _BodyClock(size, idle_s)
    absorbing: asyncio.Future[Any] | None = None
    received = 0
    try:
        while received < size:
            batch: list[Buffer] = []
            batched = 0
            while batched < BATCH_BYTES and received < size:
                piece = await clock.next(request)
                await pace(len(piece))
                batch.append(piece)
                batched += len(piece)
                received += len(piece)
            if absorbing is not None:
                await absorbing
            absorbing = asyncio.ensure_future(in_worker(reception.absorb, batch))
        if absorbing is not None:
            await absorbing
    finally:
        if absorbing is not None and not absorbing.done():
            # The reception serves one thread at a time, and abort() comes next.
            await asyncio.wait([absorbing])


class _BodyClock:
    """Reads pieces of a body; too long a silence, or too long in all, ends it."""

    def __init__(self, size: int, idle_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle_s = idle_s
        self._deadline = self._loop.time() + min(idle_s, body_total_s(0)) + body_total_s(size) - body_total_s(0)

    async def next(self, request: web.BaseRequest) -> bytes:
        try:
            async with asyncio.timeout_at(min(self._loop.time() + self._idle_s, self._deadline)):
                piece = await request.content.readany()
        except TimeoutError:
            raise Refusal(RefusalCode.TOO_SLOW, "the body came too slowly") from None
        except (ClientError, web.RequestPayloadError, ConnectionError) as error:
            raise Refusal(RefusalCode.TRUNCATED, "the body ended early") from error
        if not piece:
            raise Refusal(RefusalCode.TRUNCATED, "the body ended early")
        return piece


async def send_object(
    request: web.BaseRequest,
    reading: Reading,
    offset: int,
    length: int,
    in_worker: InWorker,
    idle_s: float,
    pace: Pace = full_speed,
) -> web.StreamResponse:
    """Stream a range; the next piece is read from disk while one is sent."""
    whole = length == reading.size
    response = web.StreamResponse(status=200 if whole else 206, headers=spoken(request))
    response.content_type = "application/octet-stream"
    response.content_length = length
    if not whole:
        response.headers["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{reading.size}"
    end = offset + length
    # Before the head goes out, so that a damaged object is still refused by name.
    piece = await in_worker(reading.read, offset, min(BATCH_BYTES, length))
    coming: asyncio.Future[Any] | None = None
    try:
        async with asyncio.timeout(idle_s):
            await response.prepare(request)
        while True:
            offset += len(piece)
            if offset < end:
                coming = asyncio.ensure_future(in_worker(reading.read, offset, min(BATCH_BYTES, end - offset)))
            view = memoryview(piece)
            for start in range(0, len(view), WRITE_BYTES):
                part = view[start : start + WRITE_BYTES]
                await pace(len(part))
                async with asyncio.timeout(idle_s):
                    await response.write(part)
            if offset >= end:
                break
            assert coming is not None
            piece = await coming
        async with asyncio.timeout(idle_s):
            await response.write_eof()
    except (Refusal, ConnectionError, TimeoutError):
        # The head is out: only a broken connection can still say that the body is not whole.
        hang_up(request)
    finally:
        if coming is not None and not coming.done():
            await asyncio.wait([coming])  # reading is closed next
    return response


def hang_up(request: web.BaseRequest) -> None:
    """Break the connection without a word more."""
    if request.transport is not None:
        request.transport.abort()
