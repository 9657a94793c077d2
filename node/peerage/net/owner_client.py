"""The owner's side of a node's own interface: one verb, a stream of events, one result.

The daemon listens on a Unix socket inside its home, which only the owner can open. A request is
POST /v1/{verb} with JSON parameters; the answer is one JSON object a line (node/spec/owner-interface.md). Data comes
from POST /v1/data/{verb} in frames, of which the last is the result: a stream that was cut never looks whole.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from peerage.errors import PeerageError, UserError
from peerage.net import frames
from peerage.net.local import RemoteError, short_path

SOCKET = Path("run") / "owner.sock"
_LINE_LIMIT = 64 << 20


def call(
    home: Path,
    verb: str,
    params: dict[str, Any],
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Ask the daemon of `home`; return its result. Raises what the daemon raised, UserError if none is running."""
    return asyncio.run(acall(home, verb, params, on_event))


async def acall(
    home: Path,
    verb: str,
    params: dict[str, Any],
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    async with _post(home, verb, params) as response:
        return await _read(response, on_event)


def call_data(home: Path, verb: str, params: dict[str, Any], on_data: Callable[[bytes], object]) -> dict[str, Any]:
    """Ask for data: each piece goes to `on_data`, and the result is returned at the end. Raises as `call` does."""
    return asyncio.run(acall_data(home, verb, params, on_data))


async def acall_data(
    home: Path, verb: str, params: dict[str, Any], on_data: Callable[[bytes], object]
) -> dict[str, Any]:
    async with _post(home, f"data/{verb}", params, frames.MAX_FRAME) as response:
        return await _read_data(response, on_data)


def call_stream(
    home: Path,
    verb: str,
    params: dict[str, Any],
    pieces: AsyncIterator[bytes],
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Ask for work on what `pieces` gives; a PeerageError that it raises ends the work. Raises as `call` does."""

    async def ask() -> dict[str, Any]:
        body = frames.outgoing(json.dumps(params), pieces)
        async with _post(home, f"stream/{verb}", body) as response:
            return await _read(response, on_event)

    return asyncio.run(ask())


@asynccontextmanager
async def _post(
    home: Path, path: str, params: dict[str, Any] | AsyncIterator[bytes], buffer: int = _LINE_LIMIT
) -> AsyncIterator[aiohttp.ClientResponse]:
    body = json.dumps(params) if isinstance(params, dict) else params
    with short_path(home / SOCKET) as socket, _failures(home):
        async with (
            _session(socket, buffer) as http,
            http.post(f"http://owner/v1/{path}", data=body) as response,
        ):
            yield response


def _session(socket: str, buffer: int) -> aiohttp.ClientSession:
    """A client of the owner's interface at this path of its socket. buffer: bytes of an answer read ahead."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    return aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=socket), timeout=timeout, read_bufsize=buffer)


@contextmanager
def _failures(home: Path) -> Iterator[None]:
    """What goes wrong on the socket, as an error that says what to do."""
    try:
        yield
    except (aiohttp.ClientConnectorError, FileNotFoundError) as error:
        raise UserError(f"no daemon runs on {home}: start it with `peerage --home {home} up`") from error
    except (aiohttp.ClientError, ConnectionResetError) as error:
        raise PeerageError(f"the daemon of {home} went away while it worked: see its log and try again") from error


async def _read_data(response: aiohttp.ClientResponse, on_data: Callable[[bytes], object]) -> dict[str, Any]:
    """Read the frames of a data verb. Raises what the daemon raised, PeerageError when the stream was cut."""
    cut = PeerageError("the daemon closed the connection before all was read: see its log and try again")
    try:
        while True:
            kind, length = frames.read_header(await response.content.readexactly(frames.HEADER_SIZE))
            payload = await response.content.readexactly(length)
            if kind == frames.LAST:
                return _result(json.loads(payload))
            on_data(payload)
    except asyncio.IncompleteReadError:
        raise cut from None


def _result(event: dict[str, Any]) -> dict[str, Any]:
    if event["event"] == "error":
        raise RemoteError(event["message"], event["kind"], int(event["exit_code"]))
    result: dict[str, Any] = event["result"]
    return result


async def _read(response: aiohttp.ClientResponse, on_event: Callable[[dict[str, Any]], None] | None) -> dict[str, Any]:
    async for line in response.content:
        event = json.loads(line)
        match event.get("event"):
            case "result" | "error":
                return _result(event)
            case _ if on_event is not None:
                on_event(event)
    raise PeerageError("the daemon closed the connection without a result: see its log")


__all__ = ["SOCKET", "RemoteError", "acall", "acall_data", "call", "call_data", "call_stream"]
