"""The owner's side of a node's own interface: one verb, a stream of events, one result.

The daemon listens on a Unix socket inside its home, which only the owner can open. A request is
POST /v1/{verb} with JSON parameters; the answer is one JSON object a line (node/spec/owner-interface.md).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from peerage.errors import PeerageError, UserError
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
    not_running = UserError(f"no daemon runs on {home}: start it with `peerage --home {home} up`")
    if not (home / SOCKET).exists():
        raise not_running
    with short_path(home / SOCKET) as path:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        connector = aiohttp.UnixConnector(path=path)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=_LINE_LIMIT) as session,
                session.post(f"http://owner/v1/{verb}", data=json.dumps(params)) as response,
            ):
                return await _read(response, on_event)
        except aiohttp.ClientConnectorError as error:
            raise not_running from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise PeerageError(f"the daemon of {home} went away while it worked: see its log and try again") from error


async def _read(response: aiohttp.ClientResponse, on_event: Callable[[dict[str, Any]], None] | None) -> dict[str, Any]:
    async for line in response.content:
        event = json.loads(line)
        match event.get("event"):
            case "result":
                result: dict[str, Any] = event["result"]
                return result
            case "error":
                raise RemoteError(event["message"], event["kind"], int(event["exit_code"]))
            case _ if on_event is not None:
                on_event(event)
    raise PeerageError("the daemon closed the connection without a result: see its log")


__all__ = ["SOCKET", "RemoteError", "acall", "call"]
