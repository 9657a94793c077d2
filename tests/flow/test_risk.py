"""What if these vanish tonight: counted from the catalogue's stripes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.flow.test_health import agreement, open_agreements, sign_all, stripe

from peerage.flow.risk import YEAR_S, exposure, margin
from peerage.model import MemberId
from peerage.store.catalogue import Catalogue, Check
from peerage_chain.types import AgreementId, AgreementInfo, AgreementState, Deal, Epoch


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue(tmp_path / "catalogue.sqlite")
    yield opened
    opened.close()


def test_a_whole_stripe_can_lose_as_many_as_it_has_parity(catalogue: Catalogue) -> None:
    open_agreements(catalogue, 1, 2, 3)
    stripe(catalogue, 1, (1, 2, 3))
    sign_all(catalogue)
    assert margin(catalogue, ()) == (found := margin(catalogue, frozenset()))
    assert (found.tolerated, found.providers, found.stripes, found.gone) == (1, 3, 1, 0)


def test_those_who_vanish_and_those_who_missed_do_not_count(catalogue: Catalogue) -> None:
    open_agreements(catalogue, 1, 2, 3)
    stripe(catalogue, 1, (1, 2, 3))
    sign_all(catalogue)
    found = margin(catalogue, {3})
    assert (found.tolerated, found.providers, found.gone) == (0, 2, 0)
    found = margin(catalogue, {2, 3})
    assert (found.tolerated, found.gone) == (-1, 1)
    catalogue.add_check(agreement(1), Check(9, 1, False))
    assert margin(catalogue, {3}).gone == 1


def test_the_weakest_stripe_decides(catalogue: Catalogue) -> None:
    open_agreements(catalogue, 1, 2, 3)
    stripe(catalogue, 1, (1, 2, 3))
    stripe(catalogue, 2, (1, 2, 0))
    sign_all(catalogue)
    found = margin(catalogue, ())
    assert (found.tolerated, found.providers, found.stripes) == (0, 3, 2)


def test_who_holds_two_shards_counts_twice_when_it_goes(catalogue: Catalogue) -> None:
    open_agreements(catalogue, 1, 2)
    stripe(catalogue, 1, (1, 1, 2))
    sign_all(catalogue)
    assert margin(catalogue, ()).tolerated == 0, "without member 1 one shard of the two that are needed is left"


def test_with_nothing_stored_nothing_can_be_lost(catalogue: Catalogue) -> None:
    found = margin(catalogue, ())
    assert (found.tolerated, found.stripes, found.gone) == (0, 0, 0)


def info(n: int, provider: int, state: AgreementState, opened: int, settled: int) -> AgreementInfo:
    terms = Deal(
        client=MemberId(9),
        provider=MemberId(provider),
        capacity=1 << 20,
        price_per_gib_epoch=1,
        egress_price_per_gib=0,
        collateral=0,
        min_retention_epochs=1,
        start_epoch=Epoch(opened),
        end_epoch=Epoch(10_000),
    )
    return AgreementInfo(
        AgreementId(bytes([n]) * 32),
        terms,
        state,
        0,
        bytes(32),
        bytes(32),
        0,
        Epoch(0),
        Epoch(settled),
        0,
        0,
        0,
    )


def test_a_provider_has_failed_when_nothing_of_it_lives() -> None:
    epoch_s = int(YEAR_S / 100)
    rows = [
        info(1, 1, AgreementState.FAILED, 0, 50),  # gone for good after half a year
        info(2, 2, AgreementState.FAILED, 0, 50),  # failed once, serves again
        info(3, 2, AgreementState.ACTIVE, 60, 90),
        info(4, 3, AgreementState.ENDED, 20, 60),  # left in peace: counts as there
        info(5, 3, AgreementState.ACTIVE, 10, 90),
    ]
    seen = exposure(rows, Epoch(100), epoch_s)
    assert (seen.providers, seen.failed) == (3, 1)
    assert seen.years == pytest.approx((50 + 100 + 90) / 100, rel=1e-3)
    assert exposure([], Epoch(100), epoch_s) == replace(seen, providers=0, failed=0, years=0.0)
