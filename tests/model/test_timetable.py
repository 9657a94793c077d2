"""When repeated things are due, over the two nights on which the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.model.timetable import At, Every, time_of_day

PARIS = ZoneInfo("Europe/Paris")
ALL = frozenset(range(7))


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text + "Z").timestamp())


def due(at: str, after: str, days: frozenset[int] = ALL) -> str:
    moment = At(time_of_day(at), days).after(utc(after), PARIS)
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")


def test_every_so_often() -> None:
    assert Every.parse("15m").after(1000, PARIS) == 1900
    assert Every.parse("2w").seconds == 14 * 86_400


@pytest.mark.parametrize("text", ["", "1M", "1y", "0m", "1h30m", "soon"])
def test_what_is_no_every(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Every.parse(text)


@pytest.mark.parametrize("text", ["", "2:30", "24:00", "02:60", "02:30:00", "noon"])
def test_what_is_no_time_of_day(text: str) -> None:
    with pytest.raises(ValueError, match="time of day"):
        time_of_day(text)


@pytest.mark.parametrize(
    ("at", "after", "expected"),
    [
        ("02:30", "2026-01-10T00:00", "2026-01-10 01:30"),
        ("02:30", "2026-01-10T01:30", "2026-01-11 01:30"),
        ("00:00", "2026-01-10T22:59", "2026-01-10 23:00"),
        # 29 March: there is no 02:30, it is 03:30 summer time; the day after all is as usual
        ("02:30", "2026-03-28T12:00", "2026-03-29 01:30"),
        ("02:30", "2026-03-29T01:30", "2026-03-30 00:30"),
        # 25 October: 02:30 comes twice, and counts once
        ("02:30", "2026-10-24T12:00", "2026-10-25 00:30"),
        ("02:30", "2026-10-25T00:30", "2026-10-26 01:30"),
    ],
)
def test_at_a_time_of_day(at: str, after: str, expected: str) -> None:
    assert due(at, after) == expected


def test_on_weekdays() -> None:
    assert due("03:00", "2026-01-07T12:00", frozenset([6])) == "2026-01-11 02:00"  # a Sunday
    assert due("03:00", "2026-01-11T02:00", frozenset([6])) == "2026-01-18 02:00"


@given(st.integers(0, 4_000_000_000), st.times(), st.sets(st.integers(0, 6), min_size=1))
def test_it_is_later_and_within_eight_days(now: int, at: object, days: set[int]) -> None:
    when = At(at.replace(second=0, microsecond=0, tzinfo=None), frozenset(days))  # type: ignore[attr-defined]
    moment = when.after(now, PARIS)
    assert now < moment <= now + 8 * 86_400
    assert datetime.fromtimestamp(moment, PARIS).weekday() in days or at.hour == 23  # type: ignore[attr-defined]
    assert when.after(moment, PARIS) >= moment + 22 * 3600
