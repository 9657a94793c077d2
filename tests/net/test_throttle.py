"""Bandwidth limits by a clock that only waiting moves: the rate, turns, fairness, and bodies that end early."""

from __future__ import annotations

import asyncio
import heapq
import os
import time

import pytest
from tests.fakes import DOMAIN, Network

from peerage.errors import PeerRefused
from peerage.model import KIB, MIB, ShardRoot
from peerage.net.client import PeerClient
from peerage.net.throttle import Bucket, Throttle
from peerage.shard.tree import object_tree


class FakeClock:
    """Time passes when everybody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = 0

    def now_s(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._number += 1
        heapq.heappush(self._sleepers, (self.now + max(0.0, seconds), self._number, future))
        await future

    async def run(self, work: list[asyncio.Task[None]]) -> None:
        while not all(task.done() for task in work):
            for _ in range(20):
                await asyncio.sleep(0)
            while self._sleepers and self._sleepers[0][2].done():
                heapq.heappop(self._sleepers)
            if self._sleepers:
                at, _, future = heapq.heappop(self._sleepers)
                self.now = max(self.now, at)
                future.set_result(None)
        await asyncio.gather(*work)


class World:
    def __init__(self, rate: int | None) -> None:
        self.clock = FakeClock()
        self.rate = rate
        self.bucket = Bucket(lambda: self.rate, self.clock.now_s, self.clock.sleep)
        self.log: list[tuple[str, float]] = []
        self.moving = self.most = 0

    async def body(self, name: str, size: int, piece: int = 256 * KIB) -> None:
        async with self.bucket.turn() as pace:
            self.moving += 1
            self.most = max(self.most, self.moving)
            try:
                for _ in range(0, size, piece):
                    await pace(piece)
                    self.log.append((name, self.clock.now))
            finally:
                self.moving -= 1

    def start(self, **sizes: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.body(name, size)) for name, size in sizes.items()]


async def test_bodies_together_take_their_time() -> None:
    world = World(2 * MIB)
    await world.clock.run(world.start(a=4 * MIB, b=4 * MIB, c=2 * MIB))
    assert world.clock.now == pytest.approx(5.0)


async def test_without_a_limit_nobody_waits() -> None:
    world = World(None)
    await world.clock.run(world.start(**{f"b{i}": 64 * MIB for i in range(40)}))
    assert world.clock.now == 0.0
    assert world.bucket._moving == 0


async def test_a_slow_line_takes_one_body_at_a_time_first_come_first_served() -> None:
    world = World(64 * KIB)
    await world.clock.run(world.start(a=MIB, b=MIB, c=MIB))
    assert world.most == 1
    assert [name for name, _ in world.log] == ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    assert world.clock.now == pytest.approx(48.0)


async def test_a_fast_line_takes_as_many_as_each_can_have_its_share() -> None:
    world = World(8 * MIB)
    await world.clock.run(world.start(**{f"b{i:02}": 4 * MIB for i in range(20)}))
    assert world.most == 8
    assert world.clock.now == pytest.approx(10.0)
    ends = {name: at for name, at in world.log}
    first = [ends[f"b{i:02}"] for i in range(8)]
    assert max(first) - min(first) < 0.5  # the eight that began together end together


async def test_a_lower_limit_lets_what_moves_end_at_its_speed() -> None:
    world = World(8 * MIB)
    work = world.start(**{f"b{i}": 4 * MIB for i in range(8)})
    for _ in range(20):
        await asyncio.sleep(0)
    world.rate = MIB
    late = world.start(late=MIB)
    await world.clock.run(work + late)
    ends = {name: at for name, at in world.log}
    assert max(ends[f"b{i}"] for i in range(8)) == pytest.approx(4.0)
    assert ends["late"] == pytest.approx(5.0)


async def test_when_the_limit_goes_the_next_ones_are_free() -> None:
    world = World(MIB)
    work = world.start(a=2 * MIB, b=8 * MIB, c=8 * MIB)
    for _ in range(20):
        await asyncio.sleep(0)
    world.rate = None
    await world.clock.run(work)
    assert world.clock.now == pytest.approx(2.0)


async def test_a_body_that_is_given_up_makes_room() -> None:
    world = World(MIB)
    first, waiting, last = world.start(a=8 * MIB, b=8 * MIB, c=MIB)
    for _ in range(20):
        await asyncio.sleep(0)
    waiting.cancel()
    first.cancel()
    await asyncio.gather(first, waiting, return_exceptions=True)
    await world.clock.run([last])
    assert [name for name, _ in world.log] == ["c"] * 4
    assert world.bucket._moving == 0
    assert not world.bucket._waiting


async def test_objects_go_and_come_at_the_limit(network: Network) -> None:
    client, provider, agreement = await network.pair()
    throttle = Throttle(lambda: 2 * MIB, lambda: 4 * MIB)
    ledger = network.ledger
    async with PeerClient(client.identity, ledger.newest_roster, ledger.now_s, DOMAIN, throttle=throttle) as peers:
        data = os.urandom(2 * MIB)
        root = ShardRoot(object_tree(data).root)
        began = time.monotonic()
        await peers.put_object(provider.member, agreement, root, data)
        put_s, began = time.monotonic() - began, time.monotonic()
        assert await peers.get_object(provider.member, root) == data
        got_s = time.monotonic() - began
    assert 0.95 < put_s < 5
    assert 0.45 < got_s < 4


async def test_what_a_node_serves_keeps_to_its_limits(network: Network) -> None:
    rate = 2 * MIB
    client, provider, agreement = await network.pair(throttle=Throttle(lambda: rate, lambda: rate))
    assert client.client is not None
    data = os.urandom(MIB)
    root = object_tree(data).root
    begun_s = time.monotonic()
    await client.client.put_object(provider.member, agreement, root, data)
    put_s = time.monotonic() - begun_s
    whole = asyncio.create_task(client.client.get_object(provider.member, root))
    await asyncio.sleep(0.1)
    begun_s = time.monotonic()
    await client.client.get_object(provider.member, root, 0, KIB)
    leaf_s = time.monotonic() - begun_s
    assert await whole == data
    get_s = time.monotonic() - begun_s + 0.1
    assert 0.4 < put_s < 1.0
    assert 0.4 < get_s < 1.0
    assert leaf_s < 0.4, "a small read does not wait for a large one to end"


async def test_a_caller_is_told_that_the_line_is_full(network: Network) -> None:
    client, provider, agreement = await network.pair(idle_s=1.0, throttle=Throttle(lambda: 256 * KIB, lambda: None))
    assert client.client is not None
    data = os.urandom(4 * MIB)
    root = object_tree(data).root
    await client.client.put_object(provider.member, agreement, root, data)
    whole = asyncio.create_task(client.client.get_object(provider.member, root))
    await asyncio.sleep(0.1)
    with pytest.raises(PeerRefused) as caught:
        await client.client.get_object(provider.member, root, 0, MIB)
    assert caught.value.code == "busy"
    whole.cancel()
    await asyncio.gather(whole, return_exceptions=True)


async def test_what_is_served_and_what_is_sent_share_the_rate() -> None:
    world = World(4 * MIB)
    other = world.bucket.beside()

    async def body(bucket: Bucket) -> None:
        async with bucket.turn() as pace:
            for _ in range(16):
                await pace(256 * KIB)

    await world.clock.run([asyncio.create_task(body(b)) for b in (world.bucket, other)])
    assert world.clock.now == pytest.approx(2.0)


async def test_what_is_served_has_a_rate_of_its_own_besides() -> None:
    world = World(4 * MIB)
    other = world.bucket.beside(lambda: MIB)
    ends: dict[Bucket, float] = {}

    async def body(bucket: Bucket) -> None:
        async with bucket.turn() as pace:
            for _ in range(16):
                await pace(256 * KIB)
        ends[bucket] = world.clock.now

    await world.clock.run([asyncio.create_task(body(b)) for b in (world.bucket, other)])
    assert ends[other] == pytest.approx(4.0, abs=0.3), "4 MiB at its own 1 MiB/s"
    assert ends[world.bucket] == pytest.approx(1.25, abs=0.3), "our own has what is left of the line"
