"""What stands between a caller and a server, and passes on every byte."""

from __future__ import annotations

import asyncio
import queue
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connect: Connect) -> None:
    """Between a caller and what `connect` opens, until either side ends. Raises OSError if it cannot be opened."""
    try:
        up_reader, up_writer = await connect()
    except OSError:
        writer.close()  # or the caller would wait for an answer
        raise
    await asyncio.gather(_pump(reader, up_writer), _pump(up_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


@contextmanager
def relay(connect: Connect) -> Iterator[str]:
    """A plain HTTP address in front of what `connect` opens, in a thread of its own. What it raises ends the call."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():  # the loop itself keeps no hold of it
            serving.add(task)
        with suppress(OSError):
            await pass_on(reader, writer, connect)

    serving: set[asyncio.Task[None]] = set()

    async def run() -> None:
        over = asyncio.Event()
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            started.put((asyncio.get_running_loop(), over, server.sockets[0].getsockname()[1]))
            await over.wait()

    started: queue.Queue[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = queue.Queue()
    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    loop, over, port = started.get(timeout=10)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
