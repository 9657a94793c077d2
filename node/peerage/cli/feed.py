"""What is backed up instead of files: standard input, or what a command writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence

from peerage.errors import UserError

_PIECE = 1 << 20
_AHEAD = 4  # pieces read and not yet taken
_TERMINATE_S = 5.0


async def standard_input() -> AsyncIterator[bytes]:
    """Standard input to its end. Raises UserError when it is a terminal, or cannot be read."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UserError("nothing is piped in: as in `pg_dump db | peerage backup --stdin`")
    async for piece in _read(sys.stdin.fileno(), "standard input"):
        yield piece


async def output_of(command: Sequence[str]) -> AsyncIterator[bytes]:
    """What the command writes to its standard output; no shell. Raises UserError when it cannot run or fails.

    Left early, the command is ended.
    """
    try:
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    except OSError as error:
        raise UserError(f"{command[0]} cannot be run ({error.strerror}): check the command after --") from None
    assert process.stdout is not None
    try:
        while piece := await process.stdout.read(_PIECE):
            yield piece
        code = await process.wait()
        if code:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise UserError(f"{command[0]} {how}: no snapshot was made")
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _TERMINATE_S)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _read(fd: int, name: str) -> AsyncIterator[bytes]:
    """The bytes of a descriptor, read by a thread that nobody has to wait for: a read may block for ever."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    room = threading.Semaphore(_AHEAD)

    def pump() -> None:
        piece: bytes | OSError = b""
        while True:
            room.acquire()
            try:
                piece = os.read(fd, _PIECE)
            except OSError as error:
                piece = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody takes it any more
                loop.call_soon_threadsafe(pieces.put_nowait, piece)
            if not piece or isinstance(piece, OSError):
                return

    threading.Thread(target=pump, name="feed", daemon=True).start()
    while piece := await pieces.get():
        if isinstance(piece, OSError):
            raise UserError(f"{name} cannot be read ({piece.strerror}): no snapshot was made")
        yield piece
        room.release()
