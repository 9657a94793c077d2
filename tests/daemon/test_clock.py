"""Which epochs the node could not see the chain in."""

from __future__ import annotations

import asyncio

import pytest

from peerage.daemon.clock import Clock
from peerage_chain.errors import ChainUnavailable
from peerage_chain.types import ChainTime, Epoch


def at(epoch: int) -> ChainTime:
    return ChainTime(epoch, epoch, Epoch(epoch), epoch, 1)


@pytest.mark.parametrize(
    ("failing_s", "epoch", "away"),
    [(3.2, 13, range(10, 14)), (0.0, 13, range(0)), (1.0, 13, range(0)), (1.2, 11, range(0))],
    ids=["cut off", "asleep", "mostly asleep", "less than an epoch"],
)
async def test_only_failed_questions_make_an_outage(failing_s: float, epoch: int, away: range) -> None:
    loop = asyncio.get_running_loop()
    began_s: float | None = None

    async def now() -> ChainTime:
        nonlocal began_s
        if began_s is None:
            began_s = loop.time()
            return at(10)
        if loop.time() - began_s < failing_s:
            raise ChainUnavailable("no chain answers: start it")
        return at(epoch)

    clock = Clock(now, 1)
    task = asyncio.create_task(clock.run())
    try:
        async with asyncio.timeout(10):
            await clock.next_epoch(10)
        assert clock.away == away
    finally:
        task.cancel()
