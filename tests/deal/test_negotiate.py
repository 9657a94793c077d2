from __future__ import annotations

from dataclasses import replace

import pytest

from peerage.deal.negotiate import (
    Accept,
    Counter,
    Refuse,
    accept_counter,
    collateral_for,
    decide,
    propose,
    room_for,
)
from peerage.deal.policy import Policy, offer_of
from peerage.deal.ranking import Prospect, better, rank, suits
from peerage.wire.refusals import RefusalCode
from peerage_chain.quality import Clause
from peerage_chain.types import GIB, Epoch, MemberId, MemberInfo, MemberStatus, Terms

NOW = Epoch(50)
POLICY = Policy()


def member(id: int, policy: Policy = POLICY, **fields: object) -> MemberInfo:
    info = MemberInfo(MemberId(id), "0x", MemberStatus.ACTIVE, bytes([id]) * 32, "FR", f"m{id}", offer_of(policy), ())
    return replace(info, **fields)  # type: ignore[arg-type]


CLIENT, PROVIDER = member(1), member(2)


def proposal(capacity: int = GIB, policy: Policy = POLICY) -> Terms:
    return propose(CLIENT.id, PROVIDER, policy, capacity, NOW, b"s" * 32)


def answer(
    terms: Terms,
    policy: Policy = POLICY,
    signed: int = 0,
    free: int = 1 << 50,
    client: MemberInfo = CLIENT,
    own: int = 0,
) -> Accept | Counter[Terms] | Refuse:
    offer = offer_of(policy)
    return decide(terms, policy, offer, room_for(policy.give, offer, signed, free, own, 0), client, NOW)


def test_a_proposal_from_the_offer_is_accepted() -> None:
    terms = proposal(3 * GIB)
    assert isinstance(answer(terms), Accept)
    assert terms.capacity == 3 * GIB
    assert terms.collateral == collateral_for(3 * GIB, POLICY.give.collateral_per_gib)


def test_a_policy_may_make_pay_depend_on_quality() -> None:
    demanding = POLICY.set("take.withheld_percent", "30").set("take.min_bandwidth_kib_s", "500")
    terms = proposal(policy=demanding)
    assert Clause.unpack(terms.quality_clause) == Clause(500, 500, 0, 30)
    assert isinstance(answer(terms), Accept)
    assert Clause.unpack(proposal().quality_clause) is None
    short_of_room = answer(terms, free=512 << 20)
    assert isinstance(short_of_room, Counter)
    assert short_of_room.terms.quality_clause == terms.quality_clause, "a clause is not open to change"
    for clause, reason in (
        (Clause(500, 500, 0, 51), "at most 50 % of the pay"),
        (Clause(1025, 1, 0, 10), "at most 1024 KiB/s"),
        (Clause(1, 1025, 0, 10), "at most 1024 KiB/s"),
        (Clause(1, 1, 9, 10), "no latency"),
    ):
        refused = answer(replace(terms, quality_clause=clause.pack()))
        assert isinstance(refused, Refuse)
        assert (refused.code, reason in refused.reason) == (RefusalCode.POLICY_REFUSED, True)


def test_a_floor_of_quality_is_for_those_that_were_measured() -> None:
    careful = POLICY.set("take.min_quality_percent", "40")
    assert suits(Prospect(PROVIDER, GIB, quality=0.4), careful, GIB)
    refused = suits(Prospect(PROVIDER, GIB, quality=0.39), careful, GIB)
    assert (bool(refused), refused.reason) == (False, "its quality 39 is below 40")
    assert suits(Prospect(PROVIDER, GIB), careful, GIB)


def test_a_small_wish_becomes_the_smallest_agreement() -> None:
    assert proposal(10).capacity == POLICY.take.min_agreement_bytes


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"capacity": 200 * GIB}, {"capacity": 100 * GIB}),
        ({"price_per_gib_epoch": 1}, {"price_per_gib_epoch": 1000}),
        ({"min_retention_epochs": 10_000}, {"min_retention_epochs": 168}),
        ({"end_epoch": 90_000}, {"end_epoch": NOW + 8760}),
        ({"min_bandwidth_kib_s": 99_999}, {"min_bandwidth_kib_s": 1024}),
        ({"collateral": 10**12}, {"collateral": 100_000}),
    ],
)
def test_too_much_is_countered_with_the_most(change: dict[str, int], expected: dict[str, int]) -> None:
    asked = replace(proposal(), **change)  # type: ignore[arg-type]
    counter = answer(asked)
    assert isinstance(counter, Counter)
    assert {name: getattr(counter.terms, name) for name in expected} == expected
    assert next(iter(expected)) in counter.reason
    assert isinstance(answer(counter.terms), Accept), "a counter must be what this node itself accepts"


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"renews": b"r" * 32},
        {"quality_clause": b"q" * 32},
        {"extension": b"e" * 32},
        {"client": 2},
        {"capacity": 1024},
        {"capacity": GIB + 1},
        {"end_epoch": NOW},
        {"start_epoch": NOW + 1000, "end_epoch": NOW + 2000},
        {"start_epoch": 1},
        {"open_by": NOW - 1},
        {"open_by": NOW + 1000},
    ],
)
def test_malformed_terms_are_refused(change: dict[str, object]) -> None:
    refused = answer(replace(proposal(), **change))  # type: ignore[arg-type]
    assert isinstance(refused, Refuse)
    assert refused.code == RefusalCode.BAD_TERMS


def test_room_is_offer_less_signed_less_disk_less_the_members_share() -> None:
    terms = proposal(4 * GIB)
    assert isinstance(answer(terms, signed=96 * GIB), Accept)
    for countered in (
        answer(terms, signed=97 * GIB),
        answer(terms, free=3 * GIB + 5),
        answer(terms, POLICY.set("give.max_bytes_per_member", "5GiB"), own=2 * GIB),
    ):
        assert isinstance(countered, Counter)
        assert countered.terms.capacity == 3 * GIB
    full = answer(terms, signed=100 * GIB)
    assert isinstance(full, Refuse)
    assert full.code == RefusalCode.OVER_CAPACITY


def test_a_suspended_client_gets_no_agreement() -> None:
    refused = answer(proposal(), client=member(1, status=MemberStatus.SUSPENDED))
    assert isinstance(refused, Refuse)
    assert refused.code == RefusalCode.SUSPENDED


def test_the_policy_in_force_counts_even_before_its_offer_is_on_chain() -> None:
    dearer = POLICY.set("give.price_per_gib_epoch", "2000")
    counter = decide(proposal(), dearer, offer_of(POLICY), (1 << 50, ""), CLIENT, NOW)
    assert isinstance(counter, Counter)
    assert counter.terms.price_per_gib_epoch == 2000


@pytest.mark.parametrize(
    ("change", "ok"),
    [
        ({"price_per_gib_epoch": 10_000}, True),
        ({"price_per_gib_epoch": 10_001}, False),
        ({"capacity": 2 * GIB}, True),
        ({"capacity": GIB - 1024}, False),
        ({"capacity": 5 * GIB}, False),
        ({"egress_price_per_gib": 10_001}, False),
        ({"end_epoch": NOW + 24}, True),
        ({"end_epoch": NOW + 23}, False),
        ({"end_epoch": NOW + 9000}, False),
        ({"min_retention_epochs": 3}, False),
        ({"salt": b"x" * 32}, False),
        ({"provider": 3}, False),
        ({"open_by": NOW}, False),
        ({"renews": b"x" * 32}, False),
    ],
)
def test_which_counters_the_client_takes(change: dict[str, object], ok: bool) -> None:
    original = proposal(4 * GIB)
    verdict = accept_counter(replace(original, **change), original, POLICY)  # type: ignore[arg-type]
    assert bool(verdict) is ok
    assert verdict.reason


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("take.jurisdictions_deny", "FR", "jurisdiction"),
        ("take.jurisdictions_allow", "DE", "jurisdiction"),
        ("take.legal_entities_deny", "02" * 32, "deny list"),
        ("take.max_price_per_gib_epoch", "999", "price"),
        ("take.min_collateral_per_gib", "100001", "collateral"),
        ("take.min_bandwidth_kib_s", "2000", "bandwidth"),
        ("take.min_term_epochs", "8760", ""),
    ],
)
def test_whom_the_policy_leaves_out(key: str, value: str, reason: str) -> None:
    policy = POLICY.set(key, value)
    verdict = suits(Prospect(PROVIDER, 100 * GIB), policy, GIB)
    assert bool(verdict) is (reason == "")
    assert reason in verdict.reason


def test_the_ranking_goes_by_quality_then_price_then_room() -> None:
    cheap = POLICY.set("give.price_per_gib_epoch", "10")
    prospects = [
        Prospect(member(3), 50 * GIB, quality=1.0),
        Prospect(member(4), 90 * GIB, quality=1.0),
        Prospect(member(5, cheap), 10 * GIB, quality=1.0),
        Prospect(member(6, cheap), 10 * GIB, quality=0.5),
        Prospect(member(7), 90 * GIB, quality=0.98),
        Prospect(member(8, status=MemberStatus.SUSPENDED), 90 * GIB),
        Prospect(member(9), 0),
        Prospect(member(10), 90 * GIB, reachable=False),
        Prospect(member(11), 90 * GIB),
    ]
    ranking = rank(prospects, POLICY, GIB)
    assert [p.member.id for p in ranking.suited] == [5, 4, 7, 3, 6, 11]
    assert [id for id, _ in ranking.refused] == [8, 9, 10]
    assert [verdict.rule for _, verdict in ranking.refused] == ["status", "its offer", "reach"]
    assert ranking.standing(MemberId(4)) == "number 2 of 6 that suit: quality 100%, price 1000, 90.0 of 100.0 GiB left"
    assert "quality unknown" in ranking.standing(MemberId(11))


def priced(id: int, price: int, quality: float | None) -> Prospect:
    return Prospect(member(id, POLICY.set("give.price_per_gib_epoch", str(price))), GIB, quality)


@pytest.mark.parametrize(
    ("price", "quality", "percent", "switches"),
    [
        (700, 0.80, 30, True),
        (701, 0.80, 30, False),
        (700, 0.70, 30, False),  # cheaper, but slower
        (700, None, 30, False),  # not measured: half the usual
        (1000, 1.00, 30, False),
        (1000, 1.00, 25, True),
        (1001, 1.00, 25, False),  # better, but dearer
        (1, 1.00, 0, False),  # never
        (0, 0.80, 100, True),
    ],
)
def test_what_is_worth_moving_data_to(price: int, quality: float | None, percent: int, switches: bool) -> None:
    own = priced(2, 1000, 0.8)
    other = priced(3, price, quality)
    assert better([own, other], own, percent) == (other if switches else None)


def test_nothing_is_free_enough_to_leave_what_is_free() -> None:
    assert better([priced(3, 0, 0.8)], priced(2, 0, 0.8), 30) is None


def test_nothing_is_gained_between_two_that_hardly_work() -> None:
    assert better([priced(3, 1000, 0.01)], priced(2, 1000, 0.01), 30) is None
    hardly_better = priced(3, 1000, 0.1)
    assert better([hardly_better], priced(2, 1000, 0.01), 30) == hardly_better
