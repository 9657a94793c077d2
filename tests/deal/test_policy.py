from __future__ import annotations

import pytest

from peerage.deal.policy import KEYS, Policy, offer_of
from peerage.deal.sizes import parse_size
from peerage.errors import UserError
from peerage.model import Code
from peerage_chain.types import GIB


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("2TB", 2 * 10**12), ("500GiB", 500 * GIB), ("1.5 TiB", 3 * (1 << 39)), ("7kb", 7000), ("1B", 1)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "TB", "-1", "1e9", "2 XB", "1.2.3", "1" * 30, "0x10"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


def test_a_policy_survives_its_file() -> None:
    policy = Policy().set("give.capacity_bytes", "2TB").set("take.jurisdictions_allow", "fr, de")
    policy = policy.set("take.legal_entities_deny", "0x" + "AB" * 32).set("take.max_price_per_gib_epoch", "77")
    assert policy.give.capacity_bytes == 2 * 10**12
    assert policy.take.jurisdictions_allow == ("FR", "DE")
    assert policy.take.legal_entities_deny == ("ab" * 32,)
    assert Policy.parse(policy.dump()) == policy


def test_what_a_file_leaves_out_has_its_default() -> None:
    assert Policy.parse("") == Policy()
    assert Policy.parse("[give]\nprice_per_gib_epoch = 5\n").give.price_per_gib_epoch == 5


@pytest.mark.parametrize(
    "text", ["give", "[give]\nprize = 5", "[give]\ncapacity_bytes = '1'", "[give]\ncapacity_bytes = -1", "[other]"]
)
def test_a_wrong_file_is_the_users_error(text: str) -> None:
    with pytest.raises(UserError):
        Policy.parse(text)


@pytest.mark.parametrize("key", ["", "give", "give.", "capacity_bytes", "give.nothing", "take.capacity_bytes", "a.b.c"])
def test_an_unknown_key_names_the_known_ones(key: str) -> None:
    with pytest.raises(UserError, match=r"give\.capacity_bytes"):
        Policy().set(key, "1")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("give.capacity_bytes", "much"),
        ("give.price_per_gib_epoch", "-1"),
        ("give.price_per_gib_epoch", "1.5"),
        ("give.max_term_epochs", "0"),
        ("give.bandwidth_kib_s", str(1 << 32)),
        ("take.jurisdictions_allow", "FRA"),
        ("take.legal_entities_deny", "acme"),
        ("take.min_agreement_bytes", "1KiB"),
        ("take.code", "4"),
        ("take.code", "0+2"),
        ("take.code", "40+2"),
        ("take.code", "4+2+1"),
    ],
)
def test_a_value_that_does_not_fit_is_the_users_error(key: str, value: str) -> None:
    with pytest.raises(UserError, match=key):
        Policy().set(key, value)


def test_every_key_is_shown() -> None:
    shown = Policy().show()
    assert {f"{table}.{name}" for table, values in shown.items() for name in values} == set(KEYS)


def test_the_offer_is_the_give_side() -> None:
    offer = offer_of(Policy())
    assert (offer.capacity, offer.price_per_gib_epoch, offer.term_epochs) == (100 * GIB, 1000, 8760)
    assert offer_of(Policy().set("give.capacity_bytes", "0")).capacity == 0
    assert offer_of(Policy().set("give.capacity_bytes", "1000")).capacity == 0


def test_a_code_is_kept_as_it_is_written() -> None:
    policy = Policy().set("take.code", " 4+2 ")
    assert Policy.parse(policy.dump()).take.wanted_code() == Code(4, 2)
    assert policy.set("take.code", "auto").take.wanted_code() is None
