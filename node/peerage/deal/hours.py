"""How much of the line a node gives to others, by the hour. Pure; local times in, KiB/s out. Spec: home.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any, NamedTuple

import msgspec

from peerage.model.timetable import WEEKDAYS, PartOfDay, time_of_day

__all__ = ["Rates", "Span", "Spans", "next_change", "parse_spans", "rates_at", "slowest"]

_MINUTE_S = 60
_WEEK_MINUTES = 7 * 24 * 60
_RATES = {"up": "up_kib_s", "down": "down_kib_s"}

# Peers give up what comes at half of the least rate (node/spec/wire.md): nothing would be served below it.
Rate = Annotated[int, msgspec.Meta(ge=64, lt=1 << 32)] | None


class Rates(NamedTuple):
    """KiB/s that others get from this node (up) and send to it (down); None where nothing is limited."""

    up_kib_s: int | None
    down_kib_s: int | None

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {'no limit' if rate is None else f'{rate} KiB/s'}" for name, rate in zip(_RATES, self, strict=True)
        )


class Span(
    msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename={"from_": "from"}
):
    """From one local time until another, over midnight too, on these weekdays (by the one it begins on), else on all.
    A direction without a rate is not limited."""

    from_: str
    to: str
    on: tuple[str, ...] = ()
    up_kib_s: Rate = None
    down_kib_s: Rate = None

    def __post_init__(self) -> None:
        if time_of_day(self.from_) == time_of_day(self.to):
            raise ValueError("a span has two different times, `from` and `to`")
        for day in self.on:
            if day not in WEEKDAYS:
                raise ValueError(f"{day[:20]!r} is no weekday: they are {', '.join(WEEKDAYS)}")
        if self.up_kib_s is None and self.down_kib_s is None:
            raise ValueError(f"the span {self.from_}-{self.to} needs up_kib_s or down_kib_s")

    def __str__(self) -> str:
        days = f" on {'+'.join(self.on)}" if self.on else ""
        return f"{self.from_}-{self.to}{days}"

    def covers(self, moment: datetime) -> bool:
        weekdays = frozenset(WEEKDAYS.index(day) for day in self.on or WEEKDAYS)
        return PartOfDay(time_of_day(self.from_), time_of_day(self.to), weekdays).covers(moment)


Spans = Annotated[tuple[Span, ...], msgspec.Meta(max_length=32)]


def parse_spans(text: str) -> list[dict[str, Any]]:
    """Plain values of spans, as in "08:00-18:00 on=mon+fri up=512 down=2048, 22:00-06:00 up=99". Raises ValueError."""
    return [_parse(part.split()) for part in text.split(",") if part.strip()]


def _parse(words: Sequence[str]) -> dict[str, Any]:
    start, _, end = words[0].partition("-")
    span: dict[str, Any] = {"from": start, "to": end}
    for word in words[1:]:
        key, _, value = word.partition("=")
        if key == "on":
            span["on"] = value.lower().split("+")
        elif key in _RATES and value.isascii() and value.isdigit() and len(value) <= 10:
            span[_RATES[key]] = int(value)
        else:
            raise ValueError(f"{word[:40]!r} is not understood: write 08:00-18:00 on=mon+tue up=512 down=2048 (KiB/s)")
    return span


def rates_at(spans: Iterable[Span], moment: datetime) -> Rates:
    """At a local time: the lowest of those that cover it."""
    now = [span for span in spans if span.covers(moment)]
    up = [span.up_kib_s for span in now if span.up_kib_s is not None]
    down = [span.down_kib_s for span in now if span.down_kib_s is not None]
    return Rates(min(up, default=None), min(down, default=None))


def next_change(spans: Sequence[Span], time_s: int, zone: tzinfo) -> tuple[int, Rates] | None:
    """When the rates change next (seconds since 1970) and to what; None if they do not within a week.

    Minute by minute: times of day and what zones do to them (an hour twice, an hour left out) are whole minutes.
    """
    if not spans:
        return None
    now = _at(spans, time_s, zone)
    minute = time_s // _MINUTE_S
    for later in range(minute + 1, minute + _WEEK_MINUTES + 2):
        if (rates := _at(spans, later * _MINUTE_S, zone)) != now:
            return later * _MINUTE_S, rates
    return None


def slowest(spans: Iterable[Span]) -> int | None:
    """The lowest rate of any span in any direction, KiB/s: more than this is not always there."""
    return min((rate for s in spans for rate in (s.up_kib_s, s.down_kib_s) if rate is not None), default=None)


def _at(spans: Iterable[Span], time_s: int, zone: tzinfo) -> Rates:
    return rates_at(spans, datetime.fromtimestamp(time_s, UTC).astimezone(zone))
