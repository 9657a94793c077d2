"""Bandwidth limits on the bodies of objects: turns for bodies, and pauses between their pieces.

A peer gives up a body that comes too slowly (node/spec/wire.md), so under a limit only as many bodies move at once as
can move fast enough; the others wait for their turn before they ask, first come, first served. The pieces of those that
move take turns too, so each gets the same share.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from peerage.model import MIB

__all__ = ["Bucket", "Pace", "Throttle", "full_speed"]

_PER_BODY = MIB
"""Bytes/s that a limit has for each body that moves at once, but for the only one."""

Pace = Callable[[int], Awaitable[None]]
"""Waits until so many bytes have had their time."""


async def full_speed(_size: int) -> None:
    """The pace of a body that nothing limits."""


@dataclass(slots=True)
class _Line:
    """When the last piece that was let through will have had its time, seconds."""

    free_at_s: float = 0.0


class Bucket:
    """One direction. rate: bytes/s now, or None; asked for each piece. line: another bucket's, to share its rate."""

    def __init__(
        self,
        rate: Callable[[], int | None],
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        line: _Line | None = None,
    ) -> None:
        self._rate = rate
        self._now_s = now_s
        self._sleep = sleep
        self._line = line or _Line()
        self._moving = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def beside(self) -> Bucket:
        """Another queue of turns for the same line: who waits there holds nobody up here, and the rate covers both."""
        return Bucket(self._rate, self._now_s, self._sleep, self._line)

    def at_once(self) -> Pace:
        """The pace of a body so small that it needs no turn."""
        begun_at = self._rate()
        return self._pace(begun_at) if begun_at is not None else full_speed

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Pace]:
        """Wait for a body's turn; gives the pace of its pieces until the turn is over."""
        if self._waiting or not self._has_room():
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place  # whoever lets us in counts us as moving
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._leave()
                elif place in self._waiting:
                    self._waiting.remove(place)
                raise
        else:
            self._moving += 1
        begun_at = self._rate()
        try:
            yield self._pace(begun_at) if begun_at is not None else full_speed
        finally:
            self._leave()

    def _pace(self, begun_at: int) -> Pace:
        async def pace(size: int) -> None:
            # Never slower than when it began: more bodies may be on their way than the limit of now has room for.
            rate = max(self._rate() or begun_at, begun_at)
            now_s = self._now_s()
            start_s = max(now_s, self._line.free_at_s)
            self._line.free_at_s = start_s + size / rate
            await self._sleep(self._line.free_at_s - now_s)

        return pace

    def _has_room(self) -> bool:
        rate = self._rate()
        return rate is None or self._moving < max(1, rate // _PER_BODY)

    def _leave(self) -> None:
        self._moving -= 1
        while self._waiting and self._has_room():
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._moving += 1


def unlimited() -> None:
    """The rate where there is no limit."""


class Throttle:
    """Both directions. up, down: bytes/s now, or None."""

    def __init__(self, up: Callable[[], int | None] = unlimited, down: Callable[[], int | None] = unlimited) -> None:
        self.up = Bucket(up)
        self.down = Bucket(down)

    def beside(self) -> Throttle:
        """The same limits for what this node serves: see Bucket.beside."""
        other = Throttle()
        other.up, other.down = self.up.beside(), self.down.beside()
        return other
