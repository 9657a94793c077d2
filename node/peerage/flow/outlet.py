"""Between the threads that fill packs and the loop that sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import BoundedSemaphore
from typing import Protocol

from peerage.flow.context import NodeContext
from peerage.flow.packer import Packer
from peerage.flow.stripe import StripeWriter
from peerage.model import ChunkId, PackKind, PackRecord
from peerage.pack.writer import PackWriter

PACKS_IN_FLIGHT = 3
"""Packs being coded and sent at once; with the two being filled this bounds memory at about 250 MB."""


class Stoppable(Protocol):
    """What fills packs, and gives up soon when it is told to."""

    def stop(self) -> None: ...


class Outlet:
    """Between the threads that fill packs and the loop that sends them: bounded, and the first error stops all."""

    def __init__(self, stripes: StripeWriter) -> None:
        self._loop = asyncio.get_running_loop()
        self._stripes = stripes
        self._slots = BoundedSemaphore(PACKS_IN_FLIGHT)
        self._flying: set[Future[PackRecord]] = set()
        self.error: BaseException | None = None
        self.on_error: list[Stoppable] = []
        self.packer: Packer

    def emit(self, writer: PackWriter) -> None:
        """Called in a worker thread; blocks while PACKS_IN_FLIGHT packs are on their way."""
        self._slots.acquire()
        if self.error is not None:
            self._slots.release()
            return
        future = asyncio.run_coroutine_threadsafe(self._stripes.put(writer), self._loop)
        self._flying.add(future)
        future.add_done_callback(self._done)

    def _done(self, future: Future[PackRecord]) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None and self.error is None:
            self.error = error
            for archiver in self.on_error:
                archiver.stop()
        if error is None and not future.cancelled():
            self.packer.committed([blob.id for blob in future.result().blobs])
        self._flying.discard(future)
        self._slots.release()

    async def drain(self, context: NodeContext) -> None:
        """Flush what is left and wait until all is stored; raises the first error."""
        await context.in_worker(self.packer.flush)
        while self._flying:
            await asyncio.wait([asyncio.wrap_future(f) for f in list(self._flying)])
            await asyncio.sleep(0)
        if self.error is not None:
            raise self.error

    def cancel(self) -> None:
        for future in list(self._flying):
            future.cancel()


def open_outlet(
    context: NodeContext, kind: PackKind, stripes: StripeWriter, known: Callable[[ChunkId], bool] | None = None
) -> Outlet:
    """known: what need not be stored; by default, what the catalogue has."""
    outlet = Outlet(stripes)
    outlet.packer = Packer(context.key, kind, known or context.catalogue.has_chunk, outlet.emit, context.entropy)
    return outlet
