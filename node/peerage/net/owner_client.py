"""The owner's side of a node's own interface: one verb, a stream of events, one result.

The daemon listens on a Unix socket inside its home, which only the owner can open. A request is
POST /v1/{verb} with JSON parameters; the answer is one JSON object a line (node/spec/owner-interface.md). Data comes
from POST /v1/data/{verb} in frames, of which the last is the result: a stream that was cut never looks whole.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from peerage.errors import PeerageError, UserError
from peerage.net import frames
from peerage.net.local import RemoteError, short_path

SOCKET = Path("run") / "owner.sock"
HOST = "owner"
"""What requests name: no browser can, since it leads nowhere."""
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

    async def ask() -> dict[str, Any]:
        async with Connections(home) as connections:
            return await connections.data(verb, params, on_data)

    return asyncio.run(ask())


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


class Connections:
    """Data verbs over connections that stay open, for who asks often. An async context manager."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        socket = self._stack.enter_context(short_path(self._home / SOCKET))
        self._http = await self._stack.enter_async_context(_session(socket, frames.MAX_FRAME))
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def data(self, verb: str, params: dict[str, Any], on_data: Callable[[bytes], object]) -> dict[str, Any]:
        """As call_data."""
        answered = False

        def take(data: bytes) -> None:
            nonlocal answered
            answered = True
            on_data(data)

        with _failures(self._home):
            try:
                return await self._once(verb, params, take)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if answered:
                    raise
                # The connection was kept, and its daemon has ended since: there may be a new one.
                return await self._once(verb, params, take)

    async def _once(self, verb: str, params: dict[str, Any], take: Callable[[bytes], None]) -> dict[str, Any]:
        async with self._http.post(f"http://{HOST}/v1/data/{verb}", data=json.dumps(params)) as response:
            return await _read_data(response, take)


@asynccontextmanager
async def _post(
    home: Path, path: str, params: dict[str, Any] | AsyncIterator[bytes]
) -> AsyncIterator[aiohttp.ClientResponse]:
    body = json.dumps(params) if isinstance(params, dict) else params
    with short_path(home / SOCKET) as socket, _failures(home):
        async with (
            _session(socket, _LINE_LIMIT) as http,
            http.post(f"http://{HOST}/v1/{path}", data=body) as response,
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


__all__ = ["SOCKET", "Connections", "RemoteError", "acall", "call", "call_data", "call_stream"]
