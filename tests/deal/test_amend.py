"""Renewal and growth: when the client asks, what the provider answers, and what neither lets the other change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peerage.deal.amend import accept_counter, decide, moving_window, propose, renewal_window
from peerage.deal.negotiate import Accept, Counter, Refuse
from peerage.deal.policy import Policy, offer_of
from peerage.model import AgreementId
from peerage.wire.refusals import RefusalCode
from peerage_chain.types import (
    GIB,
    AgreementInfo,
    AgreementState,
    Amendment,
    Deal,
    Epoch,
    MemberId,
    MemberInfo,
    MemberStatus,
)

NOW = Epoch(1_000)
POLICY = Policy()
DEAL = Deal(MemberId(1), MemberId(2), 4 * GIB, 1_000, 0, 400_000, 168, Epoch(10), Epoch(NOW + 100))
INFO = AgreementInfo(
    AgreementId(bytes(32)), DEAL, AgreementState.ACTIVE, 0, bytes(32), bytes(32), 0, Epoch(0), NOW, 0, 400_000, 0, 2
)


def member(id: int, policy: Policy = POLICY, status: MemberStatus = MemberStatus.ACTIVE) -> MemberInfo:
    return MemberInfo(MemberId(id), "0x", status, bytes([id]) * 32, "FR", f"m{id}", offer_of(policy), ())


def asked(used: int = 0, info: AgreementInfo = INFO, policy: Policy = POLICY) -> Amendment:
    amendment = propose(info, member(2), policy, used, NOW)
    assert amendment is not None
    return amendment


def answer(
    amendment: Amendment, policy: Policy = POLICY, room: int = 1 << 50, info: AgreementInfo = INFO
) -> Accept | Counter[Amendment] | Refuse:
    return decide(amendment, info, policy.give, offer_of(policy), (room, "free disk"), member(1), NOW)


def test_it_is_renewed_near_its_end_and_grows_when_it_is_full() -> None:
    renewed = asked()
    assert (renewed.number, renewed.capacity, renewed.end_epoch) == (3, DEAL.capacity, NOW + 8760)
    assert isinstance(answer(renewed), Accept)
    far = replace(INFO, terms=replace(DEAL, end_epoch=Epoch(NOW + 169)))
    assert propose(far, member(2), POLICY, 0, NOW) is None
    grown = asked(used=7 * GIB // 2, info=far)
    assert (grown.capacity, grown.end_epoch, grown.collateral) == (8 * GIB, NOW + 169, 800_000)
    assert isinstance(answer(grown, info=far), Accept)


def test_short_terms_are_renewed_in_their_second_half() -> None:
    offer = offer_of(POLICY.set("give.max_term_epochs", "24"))
    assert (renewal_window(POLICY.take, offer), moving_window(POLICY.take, offer)) == (12, 6)


@pytest.mark.parametrize(
    ("policy", "room", "expected"),
    [
        (POLICY.set("give.price_per_gib_epoch", "2000"), 1 << 50, {"price_per_gib_epoch": 2_000}),
        (POLICY.set("give.max_term_epochs", "200"), 1 << 50, {"end_epoch": NOW + 200}),
        (POLICY, GIB, {"capacity": 5 * GIB, "collateral": 500_000}),
        (POLICY, -1, {"capacity": 4 * GIB, "collateral": 400_000}),
    ],
)
def test_too_much_is_countered(policy: Policy, room: int, expected: dict[str, int]) -> None:
    counter = answer(asked(used=4 * GIB), policy, room)
    assert isinstance(counter, Counter)
    assert {name: getattr(counter.terms, name) for name in expected} == expected
    assert isinstance(answer(counter.terms, policy, room), Accept)


def test_growth_without_room_is_refused_with_the_rule() -> None:
    far = replace(INFO, terms=replace(DEAL, end_epoch=Epoch(NOW + 9_000)))
    refused = answer(asked(used=4 * GIB, info=far), room=0, info=far)
    assert isinstance(refused, Refuse)
    assert (refused.code, refused.rule) == (RefusalCode.OVER_CAPACITY, "free disk")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"extension": b"e" * 32},
        {"number": 2},
        {"number": 4},
        {"expires": NOW - 1},
        {"expires": NOW + 1_000},
        {"capacity": DEAL.capacity - 1024},
        {"capacity": DEAL.capacity + 1},
        {"collateral": DEAL.collateral - 1},
        {"min_retention_epochs": DEAL.min_retention_epochs - 1},
        {"end_epoch": DEAL.end_epoch - 1},
    ],
)
def test_attack_an_amendment_that_takes_away_what_was_agreed_is_not_signed(change: dict[str, object]) -> None:
    refused = answer(replace(asked(), **change))  # type: ignore[arg-type]
    assert isinstance(refused, Refuse)
    assert refused.code == RefusalCode.BAD_TERMS


@pytest.mark.parametrize("state", [AgreementState.GRACE, AgreementState.FAILED, AgreementState.ENDED])
def test_only_an_active_agreement_is_amended(state: AgreementState) -> None:
    assert isinstance(answer(asked(), info=replace(INFO, state=state)), Refuse)


@pytest.mark.parametrize(
    ("change", "ok"),
    [
        ({"price_per_gib_epoch": 10_000}, True),
        ({"price_per_gib_epoch": 10_001}, False),
        ({"egress_price_per_gib": 10_001}, False),
        ({"capacity": 4 * GIB}, True),
        ({"capacity": 3 * GIB}, False),
        ({"capacity": 16 * GIB}, False),
        ({"end_epoch": DEAL.end_epoch}, True),
        ({"end_epoch": DEAL.end_epoch - 1}, False),
        ({"end_epoch": NOW + 9_000}, False),
        ({"end_epoch": DEAL.end_epoch, "capacity": 4 * GIB}, False),
        ({"collateral": 1}, False),
        ({"min_retention_epochs": 1}, False),
        ({"number": 4}, False),
        ({"expires": NOW}, False),
        ({"agreement": b"x" * 32}, False),
    ],
)
def test_attack_a_counter_to_an_amendment_changes_only_what_is_open(change: dict[str, object], ok: bool) -> None:
    original = asked(used=4 * GIB)
    verdict = accept_counter(replace(original, **change), original, INFO, POLICY)  # type: ignore[arg-type]
    assert bool(verdict) is ok, verdict
