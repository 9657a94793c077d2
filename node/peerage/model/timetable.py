"""When something that repeats is due: every so often, or at a time of day. Pure; seconds since 1970 in and out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from peerage.model.calendar import Period

__all__ = ["WEEKDAYS", "At", "Every", "PartOfDay", "time_of_day"]

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class Every:
    """Every so many seconds, counted from the last time."""

    seconds: int

    @classmethod
    def parse(cls, text: str) -> Every:
        """As in 15m, 1h, 1d, 2w. Raises ValueError that says what is understood."""
        period = Period.parse(text)
        if period.unit not in _SECONDS:
            raise ValueError(f"{text!r} has no fixed length: use m, h, d or w, or a time of day with `at`")
        return cls(period.every * _SECONDS[period.unit])

    def after(self, time_s: int, _zone: tzinfo) -> int:
        return time_s + self.seconds


@dataclass(frozen=True, slots=True)
class At:
    """At a time of day, once on each of these weekdays (0: Monday)."""

    time: time
    weekdays: frozenset[int]

    def after(self, time_s: int, zone: tzinfo) -> int:
        """The first such moment after `time_s`. A time that the clocks jump over comes as much later as they jump; of
        one that comes twice, the first counts."""
        first = datetime.fromtimestamp(time_s, UTC).astimezone(zone).date()
        for days in range(9):
            moment = self._on(first + timedelta(days=days), zone)
            if moment is not None and moment > time_s:
                return moment
        raise AssertionError("there is a weekday in nine days")

    def _on(self, day: date, zone: tzinfo) -> int | None:
        if day.weekday() not in self.weekdays:
            return None
        return int(datetime.combine(day, self.time, zone).timestamp())


@dataclass(frozen=True, slots=True)
class PartOfDay:
    """From one time of day until another, over midnight too; it belongs to the weekday on which it begins."""

    start: time
    end: time
    weekdays: frozenset[int] = frozenset(range(7))

    def covers(self, moment: datetime) -> bool:
        """moment: local time."""
        now, day = moment.time(), moment.weekday()
        if self.start < self.end:
            return day in self.weekdays and self.start <= now < self.end
        return (now >= self.start and day in self.weekdays) or (now < self.end and (day - 1) % 7 in self.weekdays)


def time_of_day(text: str) -> time:
    """As in 02:30. Raises ValueError."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:20]!r} is no time of day: write it as in 02:30")
    return time(int(match[1]), int(match[2]))
