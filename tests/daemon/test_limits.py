"""Which limit holds: by the time of day, and by a backup's own."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from peerage.daemon import limits
from peerage.daemon.limits import Limits, Sharing
from peerage.deal.policy import Policy
from peerage.errors import UserError
from peerage.store.config_tables import Limit

MB = 10**6


class World:
    def __init__(self, *wanted: Limit) -> None:
        self.wanted = list(wanted)
        self.broken = False
        self.now = 0.0
        self.steady = 0.0
        self.limits = Limits(self._read, ZoneInfo("Europe/Paris"), lambda: self.now, lambda: self.steady)

    def _read(self) -> list[Limit]:
        if self.broken:
            raise UserError("config.toml: line 3")
        return self.wanted

    def at(self, clock: str) -> tuple[int | None, int | None]:
        """(up, down) at this time of a winter's day in Paris."""
        self.now = datetime.fromisoformat(f"2026-01-15T{clock}+01:00").astimezone(UTC).timestamp()
        self.steady += limits.LOOK_S
        return self.limits.up(), self.limits.down()


def test_by_the_time_of_day() -> None:
    world = World(
        Limit(from_="08:00", to="18:00", up="2MB/s", down="10MB/s"),
        Limit(from_="22:00", to="06:30", up="5MB/s"),
    )
    assert world.at("07:59:59") == (None, None)
    assert world.at("08:00") == world.at("17:59:59") == (2 * MB, 10 * MB)
    assert world.at("18:00") == (None, None)
    assert world.at("23:00") == world.at("00:00") == world.at("06:29") == (5 * MB, None)
    assert world.at("06:30") == (None, None)


def test_of_several_the_lowest() -> None:
    world = World(Limit(up="3MB/s"), Limit(from_="08:00", to="18:00", up="1MB/s", down="1MB/s"))
    assert world.at("03:00") == (3 * MB, None)
    assert world.at("12:00") == (MB, MB)


def test_a_backups_own_limit_counts_besides() -> None:
    world = World(Limit(from_="08:00", to="18:00", up="2MB/s"))
    with world.limits.capped(5 * MB):
        assert world.at("03:00") == (5 * MB, None)
        assert world.at("12:00") == (2 * MB, None)
    with world.limits.capped(None):
        assert world.at("03:00") == (None, None)


def test_the_file_is_looked_at_now_and_then_and_may_break() -> None:
    world = World(Limit(up="2MB/s"))
    assert world.at("03:00")[0] == 2 * MB
    world.wanted = [Limit(up="3MB/s")]
    assert world.limits.up() == 2 * MB
    assert world.at("03:00")[0] == 3 * MB
    world.broken = True
    assert world.at("03:00")[0] == 3 * MB


def test_the_policy_says_what_others_get_and_a_new_one_counts_at_once() -> None:
    policy = Policy().set("give.time_zone", "Europe/Paris").set("give.hours", "08:00-18:00 up=512")
    now = datetime.fromisoformat("2026-01-15T12:00+01:00").timestamp()
    steady = 0.0
    sharing = Sharing(lambda: policy.give, lambda: now, lambda: steady)
    assert (sharing.up(), sharing.down()) == (512 * 1024, None)
    policy = policy.set("give.hours", "08:00-18:00 up=256 down=64")
    assert (sharing.up(), sharing.down()) == (256 * 1024, 64 * 1024)
    now += 7 * 3600
    assert sharing.up() == 256 * 1024, "the time is not looked at for each piece"
    steady += limits.LOOK_S
    assert (sharing.up(), sharing.down()) == (None, None)


@pytest.mark.parametrize(
    "fields",
    [
        {"from_": "08:00", "up": "2MB/s"},
        {"from_": "08:00", "to": "08:00", "up": "2MB/s"},
        {"from_": "8", "to": "18:00", "up": "2MB/s"},
        {"up": "fast"},
        {"up": "0"},
        {"down": "63KiB/s"},
    ],
)
def test_what_is_no_limit(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Limit(**fields)
