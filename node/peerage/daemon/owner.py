"""The owner's interface: a Unix socket in the home, one verb a request, events and a result as JSON lines.

Verbs that give data (a file's bytes, long lists) answer in frames instead, as fast as their reader takes them; verbs
that take data are sent frames, as fast as they take them.

Only the owner can open the socket (its directory is 0700), so there is no token. Should the owner forward it to a port,
web pages still get nothing: what a browser sends, or what names another host, is refused. What a verb raises reaches
the caller as an error event with its kind and exit code; what is not one of ours is logged whole and told in one line.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import structlog
from aiohttp import web

from peerage.daemon import openapi
from peerage.errors import EXIT_CHAIN, EXIT_INTERNAL, PeerageError, UserError
from peerage.flow.context import Report
from peerage.net import frames
from peerage.net.local import short_path
from peerage.net.owner_client import HOST, SOCKET
from peerage.ports import Buffer
from peerage_chain.errors import ChainFault

Verb = Callable[[dict[str, Any], Report], Awaitable[dict[str, Any]]]
Write = Callable[[Buffer], Awaitable[None]]
"""Takes the next bytes of an answer; returns when there is room for more."""
DataVerb = Callable[[dict[str, Any], Write], Awaitable[dict[str, Any]]]
Read = Callable[[], Awaitable[bytes]]
"""The next bytes that a caller sends, none at the true end. Raises PeerageError when they broke off."""
StreamVerb = Callable[[dict[str, Any], Report, Read], Awaitable[dict[str, Any]]]
T = TypeVar("T")
MAX_PARAMETERS = 1 << 20  # bytes
_EVENT_QUEUE = 256
_BROWSERS = ("Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Mode")
"""What browsers say and commands do not."""
_HOSTS = re.compile(rf"({HOST}|localhost|127\.0\.0\.1|\[::1\])(:[0-9]{{1,5}})?")
"""What a request may name as its host: a page whose name was bound to this machine's address names itself."""

log = structlog.get_logger()


class OwnerServer:
    """Serves `verbs`, `data_verbs` and `stream_verbs` on <home>/run/owner.sock."""

    def __init__(
        self,
        home: Path,
        verbs: dict[str, Verb],
        data_verbs: dict[str, DataVerb],
        stream_verbs: dict[str, StreamVerb] | None = None,
    ) -> None:
        self._home = home
        self._verbs = verbs
        self._data_verbs = data_verbs
        self._stream_verbs = stream_verbs or {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=MAX_PARAMETERS, middlewares=[_no_pages])
        app.router.add_get("/openapi.json", self._document)
        app.router.add_post("/v1/{verb}", self._handle)
        app.router.add_post("/v1/data/{verb}", self._handle_data)
        app.router.add_post("/v1/stream/{verb}", self._handle_stream)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=2)
        await self._runner.setup()
        socket = self._home / SOCKET
        socket.parent.mkdir(mode=0o700, exist_ok=True)
        socket.unlink(missing_ok=True)
        with short_path(socket) as path:
            await web.UnixSite(self._runner, path).start()
        socket.chmod(0o600)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        (self._home / SOCKET).unlink(missing_ok=True)

    async def _document(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(openapi.document())

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, self._verbs.get(request.match_info["verb"]), request.text)

    async def _handle_stream(self, request: web.Request) -> web.StreamResponse:
        """As a plain verb, but what the caller sends is frames: the parameters, data, an end."""
        incoming = frames.Incoming(request.content)
        verb = self._stream_verbs.get(request.match_info["verb"])

        async def fed(params: dict[str, Any], report: Report) -> dict[str, Any]:
            assert verb is not None
            return await verb(params, report, incoming.read)

        return await self._answer(request, fed if verb is not None else None, incoming.parameters)

    async def _answer(
        self, request: web.Request, verb: Verb | None, parameters: Callable[[], Awaitable[str]]
    ) -> web.StreamResponse:
        name = request.match_info["verb"]
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_EVENT_QUEUE)
        loop = asyncio.get_running_loop()

        def report(event: dict[str, Any]) -> None:
            loop.call_soon_threadsafe(_offer, events, event)

        writer = asyncio.create_task(_write_events(response, events))
        try:
            final = await _run(name, verb, parameters, report)
            await asyncio.sleep(0)  # events reported from other threads arrive first
            _offer(events, final)
            await writer
            await response.write_eof()
        except ConnectionError:
            log.debug("the caller went away", verb=name)
        finally:
            writer.cancel()
        return response

    async def _handle_data(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["verb"]
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        await response.prepare(request)

        async def write(data: Buffer) -> None:
            view = memoryview(data)
            for start in range(0, len(view), frames.MAX_FRAME):
                piece = view[start : start + frames.MAX_FRAME]
                try:
                    await response.write(frames.header(frames.DATA, len(piece)))
                    await response.write(piece)
                except ConnectionError as error:
                    raise _Gone from error

        try:
            verb = self._data_verbs.get(name)
            final = json.dumps(await _run(name, verb, request.text, write), default=str).encode()
            await response.write(frames.header(frames.LAST, len(final)) + final)
            await response.write_eof()
        except (ConnectionError, _Gone):
            log.debug("the caller went away", verb=name)
        return response


@web.middleware
async def _no_pages(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    if any(name in request.headers for name in _BROWSERS) or not _HOSTS.fullmatch(request.headers.get("Host", HOST)):
        raise web.HTTPForbidden(text="this interface is for its owner's commands: no web page is answered\n")
    return await handler(request)


class _Gone(Exception):
    """The reader of a data verb closed the connection: nobody is there to be told."""


async def _run(
    name: str,
    verb: Callable[[dict[str, Any], T], Awaitable[dict[str, Any]]] | None,
    parameters: Callable[[], Awaitable[str]],
    output: T,
) -> dict[str, Any]:
    """What ends the answer: the verb's result, or the error that it raised."""
    try:
        if verb is None:
            raise UserError(f"this node knows no verb {name!r}: the command and the daemon differ in version")
        try:
            params = json.loads(await parameters() or "{}")
        except (ValueError, RecursionError):  # not UTF-8, not JSON, or nested beyond all reason
            raise UserError("the parameters are no JSON") from None
        if not isinstance(params, dict):
            raise UserError("parameters must be a JSON object")
        return {"event": "result", "result": await verb(params, output)}
    except PeerageError as error:
        return _error(str(error), error.kind, error.exit_code)
    except ChainFault as error:
        return _error(str(error), type(error).__name__, EXIT_CHAIN)
    except _Gone:
        raise
    except Exception as error:
        log.exception("verb failed", verb=name)
        message = f"{name} failed inside the daemon ({type(error).__name__}): see its log"
        return _error(message, "Internal", EXIT_INTERNAL)


def _offer(events: asyncio.Queue[dict[str, Any]], event: dict[str, Any]) -> None:
    if events.full():  # a slow reader loses old progress, not the work
        events.get_nowait()
    events.put_nowait(event)


async def _write_events(response: web.StreamResponse, events: asyncio.Queue[dict[str, Any]]) -> None:
    """Write events until the last one: a result or an error."""
    event: dict[str, Any] = {}
    while event.get("event") not in ("result", "error"):
        event = await events.get()
        await response.write(_line(event))


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, default=str, ensure_ascii=True).encode() + b"\n"


def _error(message: str, kind: str, exit_code: int) -> dict[str, Any]:
    return {"event": "error", "message": " ".join(message.split()), "kind": kind, "exit_code": exit_code}
