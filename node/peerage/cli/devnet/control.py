"""The devnet's control socket: one JSON request a connection, one JSON answer. Only who started it can connect.

{"verb": "status" | "kill" | "start" | "join" | "down", "node": NAME}
→ {"result": {…}} or {"error": {"kind", "message", "exit_code"}}
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from peerage.errors import LocalFault, PeerageError, UserError
from peerage.net.local import RemoteError, short_path

SOCKET = "control.sock"
MAX_MESSAGE = 1 << 20  # bytes of one request or answer
ANSWER_TIMEOUT_S = 90.0  # `down` waits for every process to end

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def serve(directory: Path, handler: Handler) -> asyncio.Server:
    """Listen; a socket file that an earlier run left behind is replaced (the caller holds the devnet's lock)."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                request = json.loads(await reader.readline())
            answer: dict[str, Any] = {"result": await handler(request)}
        except PeerageError as error:
            answer = {"error": {"kind": error.kind, "message": str(error), "exit_code": error.exit_code}}
        except (ValueError, TimeoutError, OSError):
            answer = {"error": {"kind": "LocalFault", "message": "the request could not be read", "exit_code": 1}}
        writer.write(json.dumps(answer).encode() + b"\n")
        try:
            await writer.drain()
        except OSError:
            pass  # the caller left before its answer
        finally:
            writer.close()

    (directory / SOCKET).unlink(missing_ok=True)
    with short_path(directory / SOCKET) as path:
        server = await asyncio.start_unix_server(one, path, limit=MAX_MESSAGE)
    (directory / SOCKET).chmod(0o600)
    return server


def ask(directory: Path, verb: str, **parameters: str) -> dict[str, Any]:
    """Ask the running supervisor. Raises UserError when none runs, else what it raised."""
    answer = b""
    try:
        with short_path(directory / SOCKET) as path, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_TIMEOUT_S)
            connection.connect(path)
            connection.sendall(json.dumps({"verb": verb, **parameters}).encode() + b"\n")
            while chunk := connection.recv(65536):
                answer += chunk
                if len(answer) > MAX_MESSAGE:
                    raise LocalFault("the devnet's answer is too long")
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise UserError(
            f"no devnet runs on {directory}: start it with 'peerage devnet up --home {directory}'"
        ) from None
    except TimeoutError:
        raise LocalFault(f"the devnet on {directory} did not answer in {ANSWER_TIMEOUT_S:.0f} s: see its log") from None
    except OSError as error:
        raise LocalFault(f"cannot talk to the devnet on {directory}: {error.strerror}") from None
    try:
        message = json.loads(answer)
    except ValueError:
        raise LocalFault(f"the devnet on {directory} ended without an answer: see its log") from None
    if failure := message.get("error"):
        raise RemoteError(failure["message"], failure["kind"], int(failure["exit_code"]))
    result: dict[str, Any] = message["result"]
    return result
