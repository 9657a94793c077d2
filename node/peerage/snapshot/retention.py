"""Which snapshots are kept. Pure: snapshots and rules in, verdicts out. Normative: node/spec/retention.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

from peerage.model.calendar import Period, Span
from peerage.snapshot.snapshot import SnapshotSummary

__all__ = ["UNLIMITED", "Rules", "Stage", "Verdict", "judge", "series_of"]

UNLIMITED = -1
_SECOND_NS = 1_000_000_000
PERIODS = {
    "hourly": Period(1, "h"),
    "daily": Period(1, "d"),
    "weekly": Period(1, "w"),
    "monthly": Period(1, "M"),
    "yearly": Period(1, "y"),
}


class Stage(NamedTuple):
    """For so long, one snapshot so often."""

    span: Span
    period: Period

    @classmethod
    def parse_all(cls, text: str) -> tuple[Stage, ...]:
        """As in "1d:15m,7d:1h,30d:1d". Raises ValueError that says what is understood."""
        stages: list[Stage] = []
        for part in text.split(","):
            span, colon, period = part.strip().partition(":")
            if not colon:
                raise ValueError(f"{part[:40]!r} is not for-how-long:how-often, as in 7d:1h")
            stages.append(cls(Span.parse(span), Period.parse(period)))
        return tuple(stages)


@dataclass(frozen=True, slots=True)
class Rules:
    """What to keep; a snapshot that any rule takes is kept.

    last: so many, whatever their times. counts: of "hourly" … "yearly", the newest snapshot of each of so many periods;
    UNLIMITED of them or of `last` is all. within: all not older. stages: while not older than their span, the newest
    of each period. tags: all that carry one of them.
    """

    last: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    within: Span | None = None
    stages: tuple[Stage, ...] = ()
    tags: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether there is any rule."""
        return bool(self.last or any(self.counts.values()) or self.within or self.stages or self.tags)


class Verdict(NamedTuple):
    """reasons: why it is kept, none if it is not."""

    snapshot: SnapshotSummary
    reasons: list[str]


def series_of(snapshots: Iterable[SnapshotSummary]) -> list[list[SnapshotSummary]]:
    """Those of one host and one set of paths together, each series in the given order."""
    found: dict[tuple[str, tuple[bytes, ...]], list[SnapshotSummary]] = {}
    for snapshot in snapshots:
        found.setdefault((snapshot.host, tuple(sorted(set(snapshot.paths)))), []).append(snapshot)
    return list(found.values())


def judge(series: Sequence[SnapshotSummary], rules: Rules, now_ns: int, zone: tzinfo) -> list[Verdict]:
    """Verdicts on the snapshots of one series.

    series, and the result: in the order in which they were made, oldest first, whatever their clocks said. now_ns:
    since 1970. zone: whose days and hours are meant. The newest one, and one that is held, is kept in any case.
    """
    if not series:
        return []
    times = [_local(s.time_ns, zone) for s in series]
    not_before_ns = _not_before([s.time_ns for s in series], now_ns)
    reasons: list[list[str]] = [[] for _ in series]
    newest_first = range(len(series) - 1, -1, -1)

    def periodic(why: str, period: Period, candidates: Iterable[int], count: int) -> None:
        seen: set[tuple[int, int]] = set()
        for i in candidates:
            if len(seen) == count:
                return
            if (number := period.of(times[i])) not in seen:
                seen.add(number)
                reasons[i].append(why)

    def younger_than(span: Span) -> Iterator[int]:
        since_ns = _start_ns(span, not_before_ns[-1], zone)
        return (i for i in newest_first if not_before_ns[i] > since_ns)

    for i, snapshot in enumerate(series):
        if snapshot.hold is not None:
            reasons[i].append("held")
        reasons[i] += [f"tag {tag}" for tag in snapshot.tags if tag in rules.tags]
        if rules.last == UNLIMITED or i >= len(series) - rules.last:
            reasons[i].append("last")
    if rules.within is not None:
        for i in younger_than(rules.within):
            reasons[i].append(f"within {rules.within}")
    for name, count in rules.counts.items():
        periodic(name, PERIODS[name], newest_first, count)
    for stage in rules.stages:
        periodic(f"policy {stage.span}:{stage.period}", stage.period, younger_than(stage.span), UNLIMITED)
    reasons[-1] = reasons[-1] or ["newest of its series"]
    return [Verdict(snapshot, why) for snapshot, why in zip(series, reasons, strict=True)]


def _not_before(times_ns: Sequence[int], now_ns: int) -> list[int]:
    """When each snapshot was made at the earliest: the latest time, not in the future, that it or one before it bears.

    So a clock that was set back makes no snapshot look old, and one that ran ahead makes no other look older.
    """
    found: list[int] = []
    latest: int | None = None
    for time_ns in times_ns:
        if time_ns <= now_ns:
            latest = time_ns if latest is None else max(latest, time_ns)
        found.append(now_ns if latest is None else latest)
    return found


def _start_ns(span: Span, end_ns: int, zone: tzinfo) -> int:
    seconds, rest_ns = divmod(end_ns, _SECOND_NS)
    return int(span.before(_local(seconds * _SECOND_NS, zone)).timestamp()) * _SECOND_NS + rest_ns


def _local(time_ns: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(time_ns // _SECOND_NS, UTC).astimezone(zone)
