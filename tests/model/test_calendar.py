"""Lengths of time and periods, over summer time and months of every length."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.model.calendar import LocalZone, Period, Span

PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90m", Span(seconds=5400)),
        ("7d", Span(days=7)),
        ("2w", Span(days=14)),
        ("6M", Span(months=6)),
        ("1y6M2d3h", Span(months=18, days=2, seconds=10800)),
    ],
)
def test_spans(text: str, span: Span) -> None:
    assert Span.parse(text) == span
    assert Span.parse(str(span)) == span


@pytest.mark.parametrize("text", ["", "7", "d", "7 d", "-1d", "1.5d", "0d", "7x", "2000y", "1d,", "9999999d"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Span.parse(text)


@pytest.mark.parametrize("text", ["", "1", "0h", "1h30m", "3s", "-1d"])
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(ValueError, match="no period"):
        Period.parse(text)


def test_months_have_their_own_lengths() -> None:
    end = datetime(2026, 3, 31, 12, tzinfo=PARIS)
    assert Span.parse("1M").before(end) == datetime(2026, 2, 28, 12, tzinfo=PARIS)
    assert Span.parse("1y1M").before(end) == datetime(2025, 2, 28, 12, tzinfo=PARIS)
    # Summer time began on the 29th: a day before is the same time of day, 24 hours before is not.
    assert Span.parse("2d").before(end).hour == 12
    assert Span.parse("72h").before(end).hour == 11


def test_periods_of_the_calendar() -> None:
    sunday, monday = datetime(2026, 1, 4, 23, 59, tzinfo=PARIS), datetime(2026, 1, 5, tzinfo=PARIS)
    assert Period(1, "w").of(sunday) != Period(1, "w").of(monday)
    assert Period(1, "M").of(sunday) == Period(1, "M").of(monday)
    new_year = datetime(2026, 1, 1, tzinfo=PARIS)
    assert Period(1, "w").of(new_year) == Period(1, "w").of(new_year - timedelta(days=3))
    assert Period(1, "y").of(new_year) != Period(1, "y").of(new_year - timedelta(days=3))
    quarter = Period(15, "m")
    assert quarter.of(new_year) == quarter.of(new_year.replace(minute=14)) != quarter.of(new_year.replace(minute=15))


def test_the_hour_that_autumn_repeats_is_two() -> None:
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).astimezone(PARIS)
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC).astimezone(PARIS)
    assert (first.hour, second.hour) == (2, 2)
    assert Period(1, "h").of(first) != Period(1, "h").of(second)
    assert Period(1, "d").of(first) == Period(1, "d").of(second)


@given(st.integers(631_152_000, 2_114_380_800))
def test_the_machines_zone_is_that_of_its_library(seconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Paris")
        time.tzset()
        try:
            here = moment.astimezone(LocalZone())
            there = moment.astimezone(PARIS)
            assert here.replace(tzinfo=None) == there.replace(tzinfo=None)
            assert (here.fold, here.utcoffset()) == (there.fold, there.utcoffset())
            assert here.astimezone(UTC) == moment
        finally:
            patch.undo()
            time.tzset()
