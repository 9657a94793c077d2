"""Retention: the rules one by one as restic documents them, and what holds whatever the rules and the clocks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.model.calendar import Period, Span
from peerage.snapshot.retention import UNLIMITED, Rules, Stage, judge, series_of
from peerage.snapshot.snapshot import SnapshotSummary

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY_NS = 86_400 * 10**9


def ns(time: datetime) -> int:
    return int(time.timestamp()) * 10**9


def made(*times: str, **fields: object) -> list[SnapshotSummary]:
    """Snapshots made in this order, each at "DAY HH:MM" of January 2026."""
    found = []
    for i, text in enumerate(times):
        day, clock = text.split()
        time = datetime.fromisoformat(f"2026-01-{int(day):02}T{clock}Z")
        found.append(SnapshotSummary(id=i.to_bytes(32, "big"), time_ns=ns(time), **fields))  # type: ignore[arg-type]
    return found


def kept(series: Sequence[SnapshotSummary], rules: Rules, now: datetime | None = None) -> list[int]:
    now_ns = ns(now) if now else max(s.time_ns for s in series)
    return [int.from_bytes(v.snapshot.id, "big") for v in judge(series, rules, now_ns, UTC) if v.reasons]


FEW = made("1 01:00", "1 09:00", "2 09:00", "4 10:00", "4 10:30", "5 09:59")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules(last=2), [4, 5]),
        (Rules(last=99), [0, 1, 2, 3, 4, 5]),
        (Rules(last=UNLIMITED), [0, 1, 2, 3, 4, 5]),
        (Rules(counts={"hourly": 2}), [4, 5]),
        (Rules(counts={"daily": 2}), [4, 5]),
        (Rules(counts={"daily": 9}), [1, 2, 4, 5]),
        (Rules(counts={"daily": UNLIMITED}), [1, 2, 4, 5]),
        (Rules(counts={"weekly": 9}), [4, 5]),  # the 5th of January 2026 is a Monday
        (Rules(counts={"monthly": 9}), [5]),
        (Rules(within=Span(days=3)), [3, 4, 5]),
        (Rules(within=Span(seconds=3600)), [5]),
        (Rules(last=1, counts={"daily": 3}), [2, 4, 5]),
        (Rules(stages=Stage.parse_all("1d:15m, 4d:1d")), [2, 3, 4, 5]),
        (Rules(stages=Stage.parse_all("1d:15m,1w:1w")), [3, 4, 5]),
        (Rules(tags=frozenset({"none"})), [5]),
    ],
)
def test_rules(rules: Rules, expected: list[int]) -> None:
    assert kept(FEW, rules) == expected


def test_tags_and_holds_keep_besides_what_is_counted() -> None:
    series = [*made("1 09:00", "2 09:00", tags=["golden"]), *made("3 09:00", "4 09:00")]
    series = [s if i != 1 else _held(s) for i, s in enumerate(series)]
    verdicts = judge(series, Rules(last=1, tags=frozenset({"golden"})), ns(START) + 9 * DAY_NS, UTC)
    assert [v.reasons for v in verdicts] == [["tag golden"], ["held", "tag golden"], [], ["last"]]


def _held(s: SnapshotSummary) -> SnapshotSummary:
    return SnapshotSummary(id=s.id, time_ns=s.time_ns, tags=s.tags, hold="")


def test_a_series_is_a_host_and_a_set_of_paths() -> None:
    def one(host: str, *paths: bytes) -> SnapshotSummary:
        return SnapshotSummary(id=bytes(32), time_ns=0, host=host, paths=list(paths))

    a, b, c, d = one("x", b"/a", b"/b"), one("y", b"/a", b"/b"), one("x", b"/b", b"/a"), one("x", b"/a")
    assert series_of([a, b, c, d]) == [[a, c], [b], [d]]


@pytest.mark.parametrize("text", ["", "1d", "1d:", ":1h", "1d:15m,", "1d:1h:1m", "1x:1h"])
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Stage.parse_all(text)


# -- clocks that jump --------------------------------------------------------------------------------------------------

DAILY = Rules(stages=Stage.parse_all("30d:1d"))


def test_a_clock_that_was_set_back_loses_nothing() -> None:
    series = made("1 09:00", "2 09:00", "3 09:00", "4 09:00", "5 09:00")
    series[2] = SnapshotSummary(id=series[2].id, time_ns=0)  # 1970, as without a battery
    assert kept(series, DAILY) == [0, 1, 2, 3, 4]
    series.append(SnapshotSummary(id=(5).to_bytes(32, "big"), time_ns=0))
    assert kept(series, DAILY, START + timedelta(days=6)) == [0, 1, 3, 4, 5]  # the same day of 1970: the newer one


def test_a_clock_that_ran_ahead_makes_no_other_old() -> None:
    series = made("1 09:00", "2 09:00", "3 09:00", "4 09:00")
    series[1] = SnapshotSummary(id=series[1].id, time_ns=ns(START) + 4000 * DAY_NS)
    assert kept(series, DAILY, START + timedelta(days=4)) == [0, 1, 2, 3]
    series[3] = SnapshotSummary(id=series[3].id, time_ns=ns(START) + 4001 * DAY_NS)
    assert kept(series, DAILY, START + timedelta(days=4)) == [0, 1, 2, 3]


# -- whatever the rules ------------------------------------------------------------------------------------------------

counts = st.sampled_from([UNLIMITED, 0, 1, 2, 5])
stages = st.builds(
    Stage,
    st.builds(Span, months=st.integers(0, 14), days=st.integers(0, 40), seconds=st.sampled_from([0, 1800, 90_000])),
    st.builds(Period, st.integers(1, 3), st.sampled_from(["m", "h", "d", "w", "M", "y"])),
)
rule_sets = st.builds(
    Rules,
    last=counts,
    counts=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("hourly", "daily", "weekly", "monthly", "yearly"), counts)
    ),
    within=st.none() | st.builds(Span, months=st.just(0), days=st.integers(0, 60), seconds=st.integers(0, 90_000)),
    stages=st.lists(stages, max_size=3).map(tuple),
    tags=st.sets(st.sampled_from("ab")).map(frozenset),
)
gaps = st.lists(st.sampled_from([1, 60, 900, 3599, 7200, 86_400, 250_000, 2_000_000, 20_000_000]), max_size=25)


@st.composite
def histories(draw: st.DrawFn) -> list[SnapshotSummary]:
    """Snapshots by a clock that only moves forward."""
    time_ns, found = ns(START) + draw(st.integers(0, 400)) * 3600 * 10**9, []
    for i, gap in enumerate(draw(gaps)):
        time_ns += gap * 10**9
        tags = draw(st.lists(st.sampled_from("abc"), max_size=1))
        hold = draw(st.sampled_from([None, None, None, "audit"]))
        found.append(SnapshotSummary(id=i.to_bytes(32, "big"), time_ns=time_ns, tags=tags, hold=hold))
    return found


@given(histories(), rule_sets)
def test_the_newest_and_the_held_stay(series: list[SnapshotSummary], rules: Rules) -> None:
    verdicts = judge(series, rules, 2**62, UTC)
    assert [v.snapshot for v in verdicts] == series
    assert all(v.reasons for v in verdicts if v.snapshot.hold is not None)
    assert not series or verdicts[-1].reasons


@given(histories(), rule_sets)
def test_forgetting_twice_is_forgetting_once(series: list[SnapshotSummary], rules: Rules) -> None:
    now = max((s.time_ns for s in series), default=0)
    left = [v.snapshot for v in judge(series, rules, now, UTC) if v.reasons]
    assert all(v.reasons for v in judge(left, rules, now, UTC))


@given(histories(), rule_sets)
def test_forgetting_after_each_backup_keeps_what_forgetting_at_the_end_keeps(
    series: list[SnapshotSummary], rules: Rules
) -> None:
    left: list[SnapshotSummary] = []
    for snapshot in series:
        left = [v.snapshot for v in judge([*left, snapshot], rules, snapshot.time_ns, UTC) if v.reasons]
    at_once = [v.snapshot for v in judge(series, rules, series[-1].time_ns, UTC) if v.reasons] if series else []
    assert {s.id for s in at_once} <= {s.id for s in left}


@given(histories(), rule_sets, st.data())
def test_wrong_clocks_never_unkeep_by_age(series: list[SnapshotSummary], rules: Rules, data: st.DataObject) -> None:
    """With rules that only ask for an age, a wrong time of one snapshot makes no other one forgotten."""
    aged = Rules(within=rules.within, stages=tuple(s._replace(period=Period(1, "m")) for s in rules.stages))
    series = [s for i, s in enumerate(series) if i == 0 or s.time_ns - series[i - 1].time_ns >= 60 * 10**9]
    if not series:
        return
    now = series[-1].time_ns
    i = data.draw(st.integers(0, len(series) - 1))
    wrong = list(series)
    wrong[i] = SnapshotSummary(
        id=series[i].id,
        time_ns=data.draw(st.sampled_from([0, -(2**60), 2**62])),
        tags=series[i].tags,
        hold=series[i].hold,
    )
    before = {v.snapshot.id for v in judge(series, aged, now, UTC) if v.reasons}
    after = {v.snapshot.id for v in judge(wrong, aged, now, UTC) if v.reasons}
    assert before - {series[i].id} <= after


@given(histories(), rule_sets)
def test_it_is_what_restic_does(series: list[SnapshotSummary], rules: Rules) -> None:
    """restic's loop (internal/restic/snapshot_policy.go), written out, for the rules that both have."""
    rules = Rules(last=rules.last, counts=rules.counts, tags=rules.tags, within=rules.within)
    shapes = {"hourly": "%Y%m%d%H", "daily": "%Y%m%d", "weekly": "%G%V", "monthly": "%Y%m", "yearly": "%Y"}
    left, previous = {"last": rules.last, **rules.counts}, dict.fromkeys(["last", *shapes], "")
    expected = set()
    for nr, s in enumerate(reversed(series)):
        time = datetime.fromtimestamp(s.time_ns // 10**9, UTC)
        keep = nr == 0 or s.hold is not None or bool(rules.tags & set(s.tags))  # the first two are ours
        if rules.within:
            newest = datetime.fromtimestamp(series[-1].time_ns // 10**9, UTC)
            keep |= time > newest - timedelta(days=rules.within.days, seconds=rules.within.seconds)
        for name in left:
            value = str(nr) if name == "last" else time.strftime(shapes[name])
            if left[name] and value != previous[name]:
                keep, previous[name] = True, value
                left[name] -= left[name] > 0
        if keep:
            expected.add(s.id)
    now = max((s.time_ns for s in series), default=0)
    assert {v.snapshot.id for v in judge(series, rules, now, UTC) if v.reasons} == expected
