"""The chain's clock inside a node: polled once, waited for by many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from peerage_chain.errors import ChainFault
from peerage_chain.types import ChainTime

log = structlog.get_logger()

_MOSTLY = 0.8
"""Of an outage's time polls must have failed; the rest is polls that began before it, and blocks that are late."""


class Clock:
    """Polls the newest block. `time` is None until the chain was reached once; `reachable` says whether it still is.

    away: the epochs that passed, whole or in part, the last time that one whole epoch at least went by while every poll
    failed. The time in which the machine slept is no outage of the chain.
    """

    def __init__(self, now: Callable[[], Awaitable[ChainTime]], epoch_s: int) -> None:
        self._now = now
        self._every_s = max(0.25, min(5.0, epoch_s / 12))
        self._changed = asyncio.Condition()
        self.time: ChainTime | None = None
        self.reachable = False
        self.away = range(0)
        self._failed_s = 0.0

    async def run(self) -> None:
        """Poll for ever."""
        loop = asyncio.get_running_loop()
        while True:
            asked_s = loop.time()
            try:
                now = await self._now()
                self._note_outage(now)
                self.time = now
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
            if not self.reachable:
                self._failed_s += loop.time() - asked_s  # of the monotonic clock, which stands still in sleep

    def _note_outage(self, now: ChainTime) -> None:
        before, failed_s, self._failed_s = self.time, self._failed_s, 0.0
        if before is None or now.epoch <= before.epoch + 1:
            return
        if failed_s >= _MOSTLY * (now.timestamp_s - before.timestamp_s):
            self.away = range(before.epoch, now.epoch + 1)

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
