"""Lengths of time as people write them (15m, 7d, 1y6M), the periods of a calendar, and the machine's own time zone."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

__all__ = ["UNITS", "LocalZone", "Period", "Span", "zone_named"]

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks", "M": "months", "y": "years"}
"""m is minutes and M is months, everywhere."""
MAX_YEARS = 1000
_PART = re.compile(r"([0-9]{1,6})([a-zA-Z])")
_WHOLE = re.compile(r"(?:[0-9]{1,6}[a-zA-Z])+")


class Span(NamedTuple):
    """A length of time by the calendar: months and days as it has them, then seconds."""

    months: int = 0
    days: int = 0
    seconds: int = 0

    @classmethod
    def parse(cls, text: str) -> Span:
        """As in 90m, 7d, 1y6M. Raises ValueError that says what is understood."""
        months = days = seconds = 0
        if not _WHOLE.fullmatch(text):
            raise ValueError(f"{text[:40]!r} is no length of time: write it as in 90m, 12h, 7d, 2w, 6M or 1y6M")
        for digits, unit in _PART.findall(text):
            number = int(digits)
            match unit:
                case "y":
                    months += 12 * number
                case "M":
                    months += number
                case "w":
                    days += 7 * number
                case "d":
                    days += number
                case "h":
                    seconds += 3600 * number
                case "m":
                    seconds += 60 * number
                case _:
                    raise ValueError(f"{unit!r} is no unit of time: there are {_listed()}")
        span = cls(months, days, seconds)
        if span == (0, 0, 0):
            raise ValueError(f"{text!r} is no time at all")
        if months / 12 + days / 365 + seconds / 31_536_000 > MAX_YEARS:
            raise ValueError(f"{text[:40]!r} is longer than {MAX_YEARS} years")
        return span

    def __str__(self) -> str:
        years, months = divmod(self.months, 12)
        hours, minutes = divmod(self.seconds // 60, 60)
        parts = ((years, "y"), (months, "M"), (self.days, "d"), (hours, "h"), (minutes, "m"))
        return "".join(f"{number}{unit}" for number, unit in parts if number)

    def before(self, end: datetime) -> datetime:
        """The time so long before `end`, which has a zone. A day that a month does not have is its last one."""
        months = end.year * 12 + end.month - 1 - self.months
        year, month = divmod(months, 12)
        day = min(end.day, calendar.monthrange(year, month + 1)[1])
        wall = end.replace(year=year, month=month + 1, day=day) - timedelta(days=self.days)
        return (wall.astimezone(UTC) - timedelta(seconds=self.seconds)).astimezone(end.tzinfo)


class Period(NamedTuple):
    """Every so many minutes, hours, days, weeks, months or years of the calendar, counted from its year 1."""

    every: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Period:
        """As in 15m, 1h, 1d, 1w, 1M, 1y. Raises ValueError that says what is understood."""
        match = _PART.fullmatch(text)
        if match is None or match[2] not in UNITS or not int(match[1]):
            raise ValueError(f"{text[:40]!r} is no period: write it as in 15m, 1h, 1d, 1w, 1M or 1y; {_listed()}")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.every}{self.unit}"

    def of(self, time: datetime) -> tuple[int, int]:
        """Which of these periods a local time lies in; the hour that is repeated in autumn counts as another one."""
        day = time.toordinal()
        match self.unit:
            case "m":
                return (day * 1440 + time.hour * 60 + time.minute) // self.every, time.fold
            case "h":
                return (day * 24 + time.hour) // self.every, time.fold
            case "d":
                number = day
            case "w":
                number = (day - 1) // 7  # 0001-01-01 was a Monday, so these are the weeks of ISO 8601
            case "M":
                number = time.year * 12 + time.month - 1
            case _:
                number = time.year
        return number // self.every, 0


class LocalZone(tzinfo):
    """The time zone that this machine is set to, summer time included."""

    def utcoffset(self, time: datetime | None) -> timedelta | None:
        return None if time is None else time.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, _time: datetime | None) -> timedelta | None:
        return None

    def tzname(self, time: datetime | None) -> str | None:
        return None if time is None else time.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, time: datetime) -> datetime:
        local = time.replace(tzinfo=UTC).astimezone()
        wall = local.replace(tzinfo=None)
        fold = int(wall.astimezone().utcoffset() != local.utcoffset())
        return wall.replace(tzinfo=self, fold=fold)


def zone_named(name: str) -> tzinfo:
    """As in Europe/Paris; "" is what this machine is set to. Raises ValueError."""
    if not name:
        return LocalZone()
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(
            f"{name[:40]!r} is no time zone that this machine knows: write it as in Europe/Paris"
        ) from None


def _listed() -> str:
    return ", ".join(f"{unit} ({name})" for unit, name in UNITS.items())
