"""The optional tables of config.toml: hooks, schedule, limits. Spec: home.md."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from peerage.model.timetable import WEEKDAYS, At, Every, time_of_day

__all__ = ["Hooks", "Job"]

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
