"""The schedule: what is due when, what is made up, what is tried again, and what a restart remembers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from peerage.daemon import schedule
from peerage.daemon.schedule import Scheduler
from peerage.errors import Busy, TooFewProviders, UserError
from peerage.flow.context import Report, silent
from peerage.store.catalogue import Catalogue
from peerage.store.config_tables import Job
from peerage_chain.errors import ChainUnavailable

HOUR, DAY = 3600, 86_400
MONDAY = 1_767_571_200  # 2026-01-05 00:00 UTC


class World:
    """A clock that only waiting moves, and verbs that remember when they were asked."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = float(MONDAY)
        self.jobs: list[Job] = []
        self.ran: list[tuple[int, str, dict[str, Any]]] = []
        self.fails: list[Exception] = []
        self.result: dict[str, Any] = {}
        self.takes_s = 0
        self.catalogue = Catalogue(path)
        self.end = 0.0
        self._real_sleep = asyncio.sleep
        monkeypatch.setattr(schedule.asyncio, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now > self.end:
            raise asyncio.CancelledError
        await self._real_sleep(0)

    async def verb(self, params: dict[str, Any], report: Report) -> dict[str, Any]:
        self.ran.append((int(self.now) - MONDAY, "verb", params))
        self.now += self.takes_s
        if self.fails:
            raise self.fails.pop(0)
        return self.result

    def scheduler(self) -> Scheduler:
        """A new one, as after a restart."""
        verbs = {"backup": self.verb, "forget": self.verb}
        zone = ZoneInfo("Europe/Paris")
        return Scheduler(lambda: self.jobs, verbs, self.catalogue, zone, "seed", silent, lambda: self.now)

    async def run(self, seconds: float, scheduler: Scheduler | None = None) -> list[int]:
        """Let so much time pass; returns when verbs ran, in seconds since the start of all."""
        before = len(self.ran)
        self.end = self.now + seconds
        scheduler = scheduler or self.scheduler()
        scheduler.start()
        with contextlib.suppress(asyncio.CancelledError):
            await scheduler.run()
        return [at for at, _, _ in self.ran[before:]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(tmp_path / "catalogue.sqlite", monkeypatch)
    yield world
    world.catalogue.close()


async def test_every_fifteen_minutes(world: World) -> None:
    world.jobs = [Job(do="backup", every="15m", params={"paths": ["/srv"]})]
    assert await world.run(HOUR) == [0, 900, 1800, 2700, 3600]
    assert world.ran[0][2] == {"paths": ["/srv"]}
    assert await world.run(HOUR) == [4500, 5400, 6300, 7200]  # a restart repeats nothing


async def test_work_that_takes_longer_than_its_period_follows_itself(world: World) -> None:
    world.jobs, world.takes_s = [Job(do="backup", every="15m")], 1000
    assert await world.run(2500) == [0, 1000, 2000]


async def test_a_missed_time_is_made_up_once(world: World) -> None:
    world.jobs = [Job(do="backup", every="15m"), Job(do="forget", at="02:30")]
    await world.run(HOUR)
    world.now += 3 * DAY + 10 * HOUR  # the node was down
    back = int(world.now) - MONDAY
    assert [at for at in await world.run(600)] == [back, back]


async def test_a_time_of_day_before_the_job_was_there_was_not_missed(world: World) -> None:
    world.jobs = [Job(do="backup", at="02:30")]
    world.now += 5 * HOUR
    ran = await world.run(2 * DAY)
    assert [(at - 5400) // DAY for at in ran] == [1, 2]
    assert all(at % DAY - 5400 < schedule.LOOK_S for at in ran)


async def test_on_sundays_only(world: World) -> None:
    world.jobs = [Job(do="forget", at="00:00", on=["sun"])]
    ran = await world.run(15 * DAY)
    assert [at // DAY for at in ran] == [5, 12]  # Saturday 23:00 UTC


async def test_jitter_delays_and_stays_the_same(world: World) -> None:
    world.jobs = [Job(do="backup", at="02:30", jitter="1h")]
    ran = await world.run(10 * DAY)
    late = [at % DAY - 5400 for at in ran]
    assert len(ran) == 10
    assert all(0 <= s < HOUR + schedule.LOOK_S for s in late)
    assert len(set(late)) > 5


async def test_a_clock_that_was_set_back_puts_nothing_off(world: World) -> None:
    world.jobs = [Job(do="backup", every="1h")]
    await world.run(60)
    world.now -= 400 * DAY
    assert len(await world.run(2 * HOUR)) == 2


async def test_what_met_another_is_tried_again_soon(world: World) -> None:
    world.jobs, world.fails = [Job(do="backup", every="1d")], [Busy("a backup is running"), Busy("still")]
    assert await world.run(HOUR) == [0, 20, 40]
    assert world.scheduler().rows()[0]["code"] == 0


@pytest.mark.parametrize("error", [TooFewProviders("nobody is up"), ChainUnavailable("no chain")])
async def test_what_failed_for_others_sake_is_tried_again(world: World, error: Exception) -> None:
    world.jobs, world.fails = [Job(do="backup", every="1d")], [error] * 3
    assert await world.run(DAY + HOUR) == [0, 600, 1200, 1200 + DAY]


async def test_what_failed_by_itself_waits_for_its_next_time(world: World) -> None:
    world.jobs, world.fails = [Job(do="backup", every="1h")], [UserError("the hook failed"), RuntimeError("a bug")]
    scheduler = world.scheduler()
    assert await world.run(600, scheduler) == [0]
    row = scheduler.rows()[0]
    assert (row["code"], row["message"], row["running"]) == (5, "the hook failed", False)
    assert (row["last_ns"], row["next_ns"]) == (str(MONDAY * 10**9), str((MONDAY + HOUR) * 10**9))
    assert await world.run(2 * HOUR, scheduler) == [HOUR, 2 * HOUR]
    assert scheduler.rows()[0]["code"] == 0
    assert world.scheduler().rows()[0]["last_ns"] == str((MONDAY + 2 * HOUR) * 10**9)


@pytest.mark.parametrize(
    ("result", "code"),
    [({"unreadable": ["x"]}, 3), ({"records_waiting": ["x"]}, 4), ({"unread": ["x"]}, 6), ({"damage": ["x"]}, 8)],
)
async def test_results_have_the_codes_of_the_command_line(world: World, result: dict[str, Any], code: int) -> None:
    world.jobs, world.result = [Job(do="backup", every="1h")], result
    assert await world.run(60) == [0]
    assert world.scheduler().rows()[0]["code"] == code


async def test_a_verb_that_there_is_not(world: World) -> None:
    world.jobs = [Job(name="typo", do="bakcup", every="1h"), Job(name="loop", do="schedule.run", every="1h")]
    scheduler = world.scheduler()
    await world.run(60, scheduler)
    assert [(row["code"], "no verb" in row["message"]) for row in scheduler.rows()] == [(5, True), (5, True)]


async def test_by_hand(world: World) -> None:
    world.jobs, world.result = [Job(name="docs", do="backup", at="02:30", params={"a": 1})], {"snapshot_id": "x"}
    scheduler = world.scheduler()
    assert await scheduler.run_now("docs", silent) == {"snapshot_id": "x"}
    assert world.ran == [(0, "verb", {"a": 1})]
    with pytest.raises(UserError, match="peerage schedule"):
        await scheduler.run_now("other", silent)
    world.fails = [UserError("not today")]
    with pytest.raises(UserError, match="not today"):
        await scheduler.run_now("docs", silent)
    assert scheduler.rows()[0]["message"] == "not today"


async def test_one_at_a_time(world: World) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_params: dict[str, Any], _report: Report) -> dict[str, Any]:
        started.set()
        await go_on.wait()
        return {}

    world.jobs = [Job(do="backup", every="1h"), Job(do="forget", every="1h")]
    verbs = {"backup": slow, "forget": world.verb}
    scheduler = Scheduler(lambda: world.jobs, verbs, world.catalogue, ZoneInfo("UTC"), "", silent, lambda: world.now)
    first = asyncio.create_task(scheduler.run_now("backup", silent))
    await started.wait()
    assert scheduler.rows()[0]["running"] is True
    with pytest.raises(Busy, match="backup is running"):
        await scheduler.run_now("forget", silent)
    go_on.set()
    await first
    await scheduler.run_now("forget", silent)


async def test_a_configuration_that_breaks_leaves_the_last_one_in_force(world: World) -> None:
    world.jobs = [Job(do="backup", every="15m")]
    broken = False

    def read() -> list[Job]:
        if broken:
            raise UserError("config.toml: line 3")
        return world.jobs

    scheduler = Scheduler(read, {"backup": world.verb}, world.catalogue, ZoneInfo("UTC"), "", silent, lambda: world.now)
    await world.run(60, scheduler)
    broken = True
    assert len(await world.run(HOUR, scheduler)) == 4
    broken, world.jobs = False, []
    assert await world.run(HOUR, scheduler) == []


async def test_nothing_begins_before_the_node_has_joined(world: World) -> None:
    world.jobs = [Job(do="backup", every="15m")]
    running = asyncio.create_task(world.scheduler().run())
    for _ in range(5):
        await world._real_sleep(0)
    assert world.ran == []
    running.cancel()
