"""The optional tables of config.toml: hooks, schedule, limits. Spec: home.md."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from peerage.deal.sizes import parse_size
from peerage.model import KIB
from peerage.model.timetable import WEEKDAYS, At, Every, PartOfDay, time_of_day

__all__ = ["MIN_RATE", "Hooks", "Job", "Limit", "parse_rate", "rates_at"]

MIN_RATE = 64 * KIB
"""Bytes/s: the slowest limit; peers give up what comes at half of it."""

Argv = Annotated[list[Annotated[str, msgspec.Meta(min_length=1)]], msgspec.Meta(min_length=1, max_length=256)]
Argvs = Annotated[list[Argv], msgspec.Meta(max_length=32)]


class Hooks(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Commands around each backup: argument lists, no shell. timeout_s: for each of them."""

    before_backup: Argvs = []
    after_backup: Argvs = []
    timeout_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 600


class Job(
    msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename={"params": "with"}
):
    """One thing that the node does by itself. name: else `do`. do: a verb of the owner's interface, params: its
    parameters. Either every, or at (local time, on these weekdays, else on all). jitter: up to so much later."""

    do: str
    name: str = ""
    every: str = ""
    at: str = ""
    on: list[str] = []
    jitter: str = ""
    params: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if not all(c.isascii() and (c.isalnum() or c in "._-") for c in self.called) or not 0 < len(self.called) <= 40:
            raise ValueError("a name has 1 to 40 letters, digits, dots, dashes and underscores")
        if bool(self.every) == bool(self.at):
            raise ValueError(f"{self.called}: give either `every` or `at`")
        if self.on and not self.at:
            raise ValueError(f"{self.called}: `on` goes with `at`")
        if self.jitter_s >= 86_400:
            raise ValueError(f"{self.called}: a jitter is shorter than a day")
        if isinstance(when := self.when, Every) and self.jitter_s >= when.seconds:
            raise ValueError(f"{self.called}: the jitter is longer than what it waits for")

    @property
    def called(self) -> str:
        return self.name or self.do

    @property
    def when(self) -> Every | At:
        if self.every:
            return Every.parse(self.every)
        for day in self.on:
            if day not in WEEKDAYS:
                raise ValueError(f"{day[:20]!r} is no weekday: they are {', '.join(WEEKDAYS)}")
        return At(time_of_day(self.at), frozenset(WEEKDAYS.index(day) for day in self.on or WEEKDAYS))

    @property
    def jitter_s(self) -> int:
        return Every.parse(self.jitter).seconds if self.jitter else 0


class Limit(
    msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename={"from_": "from"}
):
    """A cap on what this node sends (up) and takes (down), as client and as provider, in a part of the day: local time,
    from `from_` until `to`, over midnight too; without both always. A direction without a rate is not limited."""

    from_: str = ""
    to: str = ""
    up: str = ""
    down: str = ""

    def __post_init__(self) -> None:
        if bool(self.from_) != bool(self.to) or (self.from_ and time_of_day(self.from_) == time_of_day(self.to)):
            raise ValueError("a limit has two different times, `from` and `to`, or none")
        for rate in (self.up, self.down):
            if rate:
                parse_rate(rate)

    def covers(self, moment: datetime) -> bool:
        if not self.from_:
            return True
        return PartOfDay(time_of_day(self.from_), time_of_day(self.to)).covers(moment)


def rates_at(limits: Sequence[Limit], moment: datetime) -> tuple[int | None, int | None]:
    """(up, down) in bytes/s at a local time, None where there is no limit: the lowest of those that cover it."""
    now = [limit for limit in limits if limit.covers(moment)]
    up = [parse_rate(limit.up) for limit in now if limit.up]
    down = [parse_rate(limit.down) for limit in now if limit.down]
    return min(up, default=None), min(down, default=None)


def parse_rate(text: str) -> int:
    """Bytes/s, as in 2MB/s or 500KiB/s. Raises ValueError that says what is understood."""
    rate = parse_size(text.removesuffix("/s"))
    if rate < MIN_RATE:
        raise ValueError(f"{text[:40]!r} is slower than peers wait for: at least {MIN_RATE // KIB}KiB/s")
    return rate
