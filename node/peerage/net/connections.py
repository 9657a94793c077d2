"""Makes the protocol object of each connection, bounds their number, and hangs up on those that never ask anything."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

MAX_CONNECTIONS = 1024


class _Full(asyncio.Protocol):
    """Hangs up at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class Connections:
    """A protocol factory over aiohttp's."""

    def __init__(self, server: web.Server, idle_s: float) -> None:
        self._server = server
        self._idle_s = idle_s
        self._silent: set[RequestHandler] = set()  # each leaves when it asks, or when its time is up

    def __call__(self) -> asyncio.Protocol:
        if len(self._server.connections) >= MAX_CONNECTIONS:
            return _Full()
        handler = self._server()
        self._silent.add(handler)
        asyncio.get_running_loop().call_later(self._idle_s, self._hang_up, handler)
        return handler

    def heard(self, request: web.BaseRequest) -> None:
        """A whole request head has come; from here on aiohttp's keep-alive time-out and ours for bodies hold."""
        self._silent.discard(request.protocol)

    def _hang_up(self, handler: RequestHandler) -> None:
        # aiohttp has no time-out for the first request's head: a peer dribbling it would hold a connection for ever.
        if handler in self._silent:
            self._silent.discard(handler)
            handler.force_close()
