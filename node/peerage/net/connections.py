"""Accepts the connections of peers: bounded in number, from one address, and by member, before a handshake costs much.

An own accept loop, since asyncio's servers begin a TLS handshake for whoever calls: nobody could be refused before it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from peerage.model import MIB, MemberId
from peerage.net.strikes import Strikes
from peerage.wire import limits
from peerage.wire.refusals import Refusal, RefusalCode

log = logging.getLogger(__name__)

Refused = Callable[[web.BaseRequest, Refusal], web.StreamResponse]


class Handler(RequestHandler):
    """aiohttp's protocol; what is no HTTP is refused as everything else, nothing of it repeated to caller or log."""

    __slots__ = ("refused",)
    refused: Refused

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        log.debug("a request could not be read", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun: no other can be given")
        what = "this is no request of HTTP/1.1, or a line of it is too long"
        code = RefusalCode.MALFORMED if status < 500 else RefusalCode.INTERNAL
        response = self.refused(request, Refusal(code, what if status < 500 else "this node failed"))
        response.force_close()
        return response


class HttpServer(web.Server):
    """aiohttp's server of Handlers."""

    def __init__(self, handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], refused: Refused) -> None:
        super().__init__(handle)
        self._refused = refused
        self._options: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": limits.KEEP_ALIVE_S,
            "max_line_size": 1024,
            "max_field_size": 1024,
            "auto_decompress": False,
            "read_bufsize": READ_BUFFER,
            "lingering_time": limits.GOODBYE_S,
        }

    def __call__(self) -> Handler:
        handler = Handler(self, loop=asyncio.get_running_loop(), **self._options)
        handler.refused = self._refused
        return handler


READ_BUFFER = MIB // 4
_NO_DESCRIPTORS_S = 0.1
"""Between attempts to accept when this process has no file descriptor left."""


class Connections:
    """Listens and hands each connection to aiohttp's protocol. start() and close() once each."""

    def __init__(
        self, server: HttpServer, context: ssl.SSLContext, idle_s: float, handshake_s: float = limits.CONNECT_S
    ) -> None:
        self._server = server
        self._context = context
        self._idle_s = idle_s
        self._handshake_s = handshake_s
        self._silent: set[RequestHandler] = set()  # each leaves when it asks, or when its time is up
        self._members: dict[MemberId, set[RequestHandler]] = {}
        self._handshakes: Counter[str] = Counter()  # by address
        self._strikes = Strikes()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners: list[socket.socket] = []

    async def start(self, host: str, port: int) -> int:
        """Returns the port. Raises OSError if it cannot be had."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            listener = socket.create_server((str(address[0]), port), family=family, backlog=limits.BACKLOG)
            listener.setblocking(False)
            self._listeners.append(listener)
            self._run(self._accept(listener))
        return int(self._listeners[0].getsockname()[1])

    async def stop_listening(self) -> None:
        """Take nobody new, and break off handshakes."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener in self._listeners:
            listener.close()

    def heard(self, request: web.BaseRequest) -> None:
        """A whole request head has come; from here on aiohttp's keep-alive time-out and ours for bodies hold."""
        self._silent.discard(request.protocol)

    def admit(self, request: web.BaseRequest, member: MemberId) -> None:
        """Count a connection as the member's. Raises Refusal(busy) beyond the bound; then it is closed."""
        known = self._members.setdefault(member, set())
        self._strikes.hear(request.remote or "", asyncio.get_running_loop().time())
        if request.protocol in known:
            return
        known &= set(self._server.connections)
        if len(known) >= limits.CONNECTIONS_PER_MEMBER:
            request.protocol.close()  # once this is answered
            raise Refusal(RefusalCode.BUSY, "too many connections: close some")
        known.add(request.protocol)

    def strange(self, request: web.BaseRequest) -> None:
        """The certificate of a connection is nobody's: its address is struck."""
        self._strikes.fail(request.remote or "", asyncio.get_running_loop().time())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError as error:
                log.warning("cannot accept a connection: %s", error.strerror)
                await asyncio.sleep(_NO_DESCRIPTORS_S)
                continue
            host = str(address[0])
            if self._full(host) or self._strikes.refuses(host, loop.time()):
                connection.close()
                continue
            self._handshakes[host] += 1
            self._run(self._greet(connection, host))

    def _full(self, host: str) -> bool:
        return (
            len(self._server.connections) + self._handshakes.total() >= limits.CONNECTIONS
            or self._handshakes.total() >= limits.HANDSHAKES
            or self._handshakes[host] >= limits.HANDSHAKES_PER_ADDRESS
        )

    async def _greet(self, connection: socket.socket, host: str) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._handler,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=limits.GOODBYE_S,
            )
        except (OSError, TimeoutError) as error:  # ssl's errors are OSErrors
            log.debug("a handshake failed: %s", error)
            self._strikes.fail(host, asyncio.get_running_loop().time())
        finally:
            self._handshakes -= Counter((host,))

    def _handler(self) -> RequestHandler:
        handler = self._server()
        self._silent.add(handler)
        asyncio.get_running_loop().call_later(self._idle_s, self._hang_up, handler)
        return handler

    def _hang_up(self, handler: RequestHandler) -> None:
        # aiohttp has no time-out for the first request's head: a peer dribbling it would hold a connection for ever.
        if handler in self._silent:
            self._silent.discard(handler)
            handler.force_close()
