"""The chain's clock inside a node: polled once, waited for by many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from peerage_chain.errors import ChainFault
from peerage_chain.types import ChainTime

log = structlog.get_logger()


class Clock:
    """Polls the newest block. `time` is None until the chain was reached once; `reachable` says whether it still is."""

    def __init__(self, now: Callable[[], Awaitable[ChainTime]], epoch_s: int) -> None:
        self._now = now
        self._every_s = max(0.25, min(5.0, epoch_s / 12))
        self._changed = asyncio.Condition()
        self.time: ChainTime | None = None
        self.reachable = False

    async def run(self) -> None:
        """Poll for ever."""
        while True:
            try:
                self.time = await self._now()
                if not self.reachable:
                    log.info("chain reached", epoch=self.time.epoch, block=self.time.block)
                self.reachable = True
            except ChainFault as error:
                if self.reachable:
                    log.warning("chain lost", reason=str(error))
                self.reachable = False
            async with self._changed:
                self._changed.notify_all()
            await asyncio.sleep(self._every_s)

    async def until(self, ready: Callable[[ChainTime], bool]) -> ChainTime:
        """Wait until the chain is reachable and its time is `ready`."""
        async with self._changed:
            while True:
                if self.reachable and self.time is not None and ready(self.time):
                    return self.time
                await self._changed.wait()

    async def next_epoch(self, after: int) -> ChainTime:
        return await self.until(lambda time: time.epoch > after)

    async def block(self, at_least: int) -> ChainTime:
        return await self.until(lambda time: time.block >= at_least)
