"""What agreements will cost and earn, and when money or a term runs out."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.flow.test_prove import ME, OTHER, agreement

from peerage.flow.forecast import WARN_EPOCHS, Forecast, forecast, pay
from peerage_chain.types import AgreementInfo, AgreementState, Deal, Epoch

NOW = Epoch(20)


def bought(n: int, price: int, end: int, escrow: int, **changes: Any) -> AgreementInfo:
    """One GiB held for us, settled through epoch 19."""
    terms = Deal(ME, OTHER, 1 << 30, price, 0, 0, 0, Epoch(1), Epoch(end))
    fields = {"terms": terms, "leaves": 1 << 20, "settled_through": Epoch(19), "escrow": escrow}
    return agreement(n, **{**fields, **changes})


def test_money_that_lasts_for_all_terms_has_no_end() -> None:
    found = forecast([bought(1, 10, 120, 1000)], ME, 0, NOW)
    assert (found.money_ends, found.spending, found.to_spend, found.term_ends) == (None, 10, 1000, 120)
    assert forecast([bought(1, 10, 120, 999)], ME, 0, NOW).money_ends == 119
    assert forecast([bought(1, 10, 120, 999)], ME, 1, NOW).money_ends is None
    assert forecast([], ME, 0, NOW) == Forecast(NOW, 0, 0, 0, 0, 0, 0, 0, None, None, ())


def test_pay_is_rounded_up_and_free_without_data() -> None:
    assert pay(bought(1, 10, 120, 0, leaves=1)) == 1
    assert pay(bought(1, 10, 120, 0, leaves=0)) == 0


def test_one_agreements_escrow_does_not_pay_for_another() -> None:
    rich, poor = bought(1, 10, 120, 10_000), bought(2, 10, 120, 50)
    assert forecast([rich, poor], ME, 100, NOW).money_ends == 20 + 15


def test_what_we_provide_earns_and_locks_collateral() -> None:
    given_away = agreement(3, leaves=1 << 20, settled_through=Epoch(19), collateral=77)
    found = forecast([given_away, agreement(4, state=AgreementState.ENDED)], ME, 5, NOW)
    assert (found.earning, found.to_earn, found.collateral, found.spending, found.escrow) == (1, 980, 77, 0, 0)
    assert found.money_ends is None
    assert found.term_ends is None, "others' data is theirs to move"


def test_shortages_are_told_in_time_and_not_before() -> None:
    def kinds(*agreements: AgreementInfo) -> list[str]:
        return [w.split(":")[0] for w in forecast(agreements, ME, 0, NOW).warnings()]

    assert kinds(bought(1, 10, 1000, 10 * WARN_EPOCHS)) == ["money"]
    assert kinds(bought(1, 10, 1000, 10 * WARN_EPOCHS + 10)) == []
    assert kinds(bought(1, 0, 20 + WARN_EPOCHS, 0)) == ["term"]
    assert kinds(bought(1, 0, 21 + WARN_EPOCHS, 0)) == []
    assert kinds(bought(1, 0, 50, 0, leaves=0)) == [], "nothing is lost with an empty agreement"
    assert kinds(bought(1, 0, 1000, 0, state=AgreementState.GRACE)) == ["grace"]


PRICED = st.tuples(st.integers(0, 9), st.integers(15, 60), st.integers(0, 200), st.integers(5, 25))


@given(st.lists(PRICED, max_size=4), st.integers(0, 300))
def test_the_end_of_the_money_is_that_of_paying_epoch_by_epoch(
    rows: list[tuple[int, int, int, int]], free: int
) -> None:
    ours = [
        bought(n, price, end, escrow, settled_through=Epoch(settled))
        for n, (price, end, escrow, settled) in enumerate(rows)
    ]
    expected = None
    escrows, balance = [a.escrow for a in ours], free
    for epoch in range(6, 61):
        for n, a in enumerate(ours):
            if a.settled_through < epoch < a.terms.end_epoch:
                from_escrow = min(escrows[n], pay(a))
                escrows[n] -= from_escrow
                balance -= pay(a) - from_escrow
        if balance < 0:
            expected = epoch
            break
    assert forecast(ours, ME, free, NOW).money_ends == expected
