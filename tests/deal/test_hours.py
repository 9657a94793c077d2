"""How fast others are served by the hour: spans, zones, the next change, and the policy's key."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from peerage.deal.hours import Rates, Span, next_change, rates_at, slowest
from peerage.deal.policy import Policy, offer_of
from peerage.errors import UserError
from peerage.model.calendar import zone_named

PARIS = ZoneInfo("Europe/Paris")
OFFICE = Span(from_="08:00", to="18:00", on=("mon", "tue", "wed", "thu", "fri"), up_kib_s=512, down_kib_s=2048)
NIGHT = Span(from_="22:00", to="06:30", on=("sat",), up_kib_s=4096)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(PARIS)


@pytest.mark.parametrize(
    ("moment", "rates"),
    [
        ("2026-01-15T07:59:59+01:00", Rates(None, None)),
        ("2026-01-15T08:00+01:00", Rates(512, 2048)),
        ("2026-01-15T17:59+01:00", Rates(512, 2048)),
        ("2026-01-17T12:00+01:00", Rates(None, None)),  # a Saturday
        ("2026-01-17T22:00+01:00", Rates(4096, None)),
        ("2026-01-18T06:29+01:00", Rates(4096, None)),  # what began on Saturday goes on into Sunday
        ("2026-01-18T22:00+01:00", Rates(None, None)),
        ("2026-07-15T06:30Z", Rates(512, 2048)),  # 08:30 in summer
    ],
)
def test_by_the_hour_and_the_weekday(moment: str, rates: Rates) -> None:
    assert rates_at([OFFICE, NIGHT], local(moment)) == rates


def test_of_several_the_lowest() -> None:
    both = [OFFICE, Span(from_="12:00", to="13:00", up_kib_s=64)]
    assert rates_at(both, local("2026-01-15T12:30+01:00")) == Rates(64, 2048)
    assert (slowest(both), slowest([NIGHT]), slowest([])) == (64, 4096, None)


def test_the_next_change_is_the_first_that_changes_a_rate() -> None:
    spans = [OFFICE, Span(from_="09:00", to="10:00", up_kib_s=1024)]  # changes nothing within the other
    thursday = at("2026-01-15T07:30+01:00")
    assert next_change(spans[:1], thursday, PARIS) == (at("2026-01-15T08:00+01:00"), Rates(512, 2048))
    assert next_change(spans, at("2026-01-15T08:30+01:00"), PARIS) == (at("2026-01-15T18:00+01:00"), Rates(None, None))
    assert next_change([OFFICE], at("2026-01-16T18:00+01:00"), PARIS) == (
        at("2026-01-19T08:00+01:00"),
        Rates(512, 2048),
    )
    assert next_change([], thursday, PARIS) is None
    always = [Span(from_="00:00", to="12:00", up_kib_s=99), Span(from_="12:00", to="00:00", up_kib_s=99)]
    assert next_change(always, thursday, PARIS) is None


def test_the_next_change_where_the_clocks_change() -> None:
    early = [Span(from_="02:30", to="04:00", up_kib_s=99)]
    jumped = next_change(early, at("2026-03-29T01:00+01:00"), PARIS)
    assert jumped == (at("2026-03-29T03:00+02:00"), Rates(99, None)), "02:30 is not there: it begins as 03:00 strikes"
    twice = next_change([Span(from_="02:15", to="02:45", up_kib_s=99)], at("2026-10-25T02:45+02:00"), PARIS)
    assert twice == (at("2026-10-25T02:15+01:00"), Rates(99, None)), "the hour comes twice"


def test_a_policy_with_hours_survives_its_file() -> None:
    policy = Policy().set("give.time_zone", "Europe/Paris")
    policy = policy.set("give.hours", "08:00-18:00 on=mon+FRI up=512 down=2048, 22:00-06:30 up=4096")
    assert policy.give.hours == (
        Span(from_="08:00", to="18:00", on=("mon", "fri"), up_kib_s=512, down_kib_s=2048),
        Span(from_="22:00", to="06:30", up_kib_s=4096),
    )
    assert Policy.parse(policy.dump()) == policy
    assert policy.set("give.hours", "").give.hours == ()
    by_hand = '[give]\ntime_zone = "Europe/Paris"\n[[give.hours]]\nfrom = "08:00"\nto = "18:00"\nup_kib_s = 512\n'
    assert Policy.parse(by_hand).give.hours == (Span(from_="08:00", to="18:00", up_kib_s=512),)


def test_no_more_is_promised_than_is_there_at_any_hour() -> None:
    policy = Policy().set("give.hours", "08:00-18:00 up=512 down=300")
    assert offer_of(policy).bandwidth_kib_s == 300
    assert offer_of(policy.set("give.bandwidth_kib_s", "200")).bandwidth_kib_s == 200


@pytest.mark.parametrize(
    "value",
    [
        "08:00",
        "08:00-08:00 up=512",
        "8-18 up=512",
        "08:00-18:00",
        "08:00-18:00 up=63",
        "08:00-18:00 up=fast",
        "08:00-18:00 up=4294967296",
        "08:00-18:00 on=monday up=512",
        "08:00-18:00 sideways=512",
        ",".join(["08:00-18:00 up=512"] * 33),
    ],
)
def test_what_are_no_hours(value: str) -> None:
    with pytest.raises(UserError, match=r"give\.hours"):
        Policy().set("give.hours", value)


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "../etc/passwd", "Europe/Paris\n", "a b"])
def test_what_is_no_zone(zone: str) -> None:
    with pytest.raises(UserError, match="zone"):
        Policy.parse(f"[give]\ntime_zone = {zone!r}".replace("'", '"'))


def test_without_a_name_the_machines_zone_counts() -> None:
    now = datetime.now(UTC)
    assert now.astimezone(zone_named("")).utcoffset() == now.astimezone().utcoffset()
