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


Rate = Callable[[], int | None]
"""Bytes/s now, or None where there is no limit; asked for each piece."""


def unlimited() -> None:
    """The rate where there is no limit."""


@dataclass(slots=True, eq=False)
class _Line:
    """free_at_s: when the last piece that was let through will have had its time, seconds."""

    rate: Rate
    free_at_s: float = 0.0


class Bucket:
    """One direction. lines: other buckets' too, to share their rates."""

    def __init__(
        self,
        rate: Rate,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        lines: tuple[_Line, ...] = (),
    ) -> None:
        self._now_s = now_s
        self._sleep = sleep
        self._lines = (*lines, _Line(rate))
        self._moving = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def beside(self, rate: Rate = unlimited) -> Bucket:
        """Another queue of turns for the same line: who waits there holds nobody up here, and the rate covers both.
        rate: of its own besides."""
        return Bucket(rate, self._now_s, self._sleep, self._lines)

    def at_once(self) -> Pace:
        """The pace of a body so small that it needs no turn."""
        return self._pace()

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
        try:
            yield self._pace()
        finally:
            self._leave()

    def _pace(self) -> Pace:
        """Of a body that begins now."""
        begun = [(line, rate) for line in self._lines if (rate := line.rate()) is not None]

        async def pace(size: int) -> None:
            now_s = self._now_s()
            for line, begun_at in begun:
                # Never slower than when it began: more bodies may be on their way than the limit of now has room for.
                rate = max(line.rate() or begun_at, begun_at)
                line.free_at_s = max(now_s, line.free_at_s) + size / rate
            await self._sleep(max(line.free_at_s for line, _ in begun) - now_s)

        return pace if begun else full_speed

    def _has_room(self) -> bool:
        rate = min((rate for line in self._lines if (rate := line.rate()) is not None), default=None)
        return rate is None or self._moving < max(1, rate // _PER_BODY)

    def _leave(self) -> None:
        self._moving -= 1
        while self._waiting and self._has_room():
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._moving += 1


class Throttle:
    """Both directions."""

    def __init__(self, up: Rate = unlimited, down: Rate = unlimited) -> None:
        self.up = Bucket(up)
        self.down = Bucket(down)

    def beside(self, up: Rate = unlimited, down: Rate = unlimited) -> Throttle:
        """The same limits for what this node serves, and those of its own: see Bucket.beside."""
        other = Throttle()
        other.up, other.down = self.up.beside(up), self.down.beside(down)
        return other
