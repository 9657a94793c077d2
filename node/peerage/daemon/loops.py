"""The node's loops over the chain's clock: by block, by epoch, or until an epoch's work is done.

An error in a step is logged and the loop goes on: nothing here may take the node down.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from peerage.daemon.clock import Clock
from peerage.errors import PeerageError
from peerage_chain.errors import ChainFault, ChainUnavailable
from peerage_chain.types import ChainTime

log = structlog.get_logger()

Step = Callable[[ChainTime], Awaitable[object]]


class Loops:
    """Loops over one clock; each runs until it is cancelled."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def each_block(self, step: Step, looks: int = 0) -> None:
        """Run `step` with each new block, or about `looks` times an epoch (counting a block a second)."""
        block = 0
        while True:
            now = await self._clock.block(block)
            block = now.block + (max(1, now.epoch_s // looks) if looks else 1)
            await _guard(step, now)

    async def each_epoch(self, step: Step) -> None:
        epoch = -1
        while True:
            now = await self._clock.next_epoch(epoch)
            epoch = now.epoch
            await _guard(step, now)

    async def until_done(self, step: Callable[[ChainTime], Awaitable[bool]]) -> None:
        """Run `step` with each block of an epoch until it returns that the epoch is done with."""
        done = -1

        async def once(now: ChainTime) -> None:
            nonlocal done
            if await step(now):
                done = now.epoch

        while True:
            now = await self._clock.next_epoch(done)
            await _guard(once, now)
            await self._clock.block(now.block + 1)


async def _guard(step: Step, now: ChainTime) -> None:
    try:
        await step(now)
    except ChainUnavailable as error:
        log.warning("the chain is away", reason=str(error))
    except (PeerageError, ChainFault) as error:
        log.warning("a step failed", kind=type(error).__name__, reason=str(error))
    except Exception:
        log.exception("a step failed unexpectedly")
