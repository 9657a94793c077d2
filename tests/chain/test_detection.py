"""Are challenges uniform, and are losses found as often as node/spec/proofs.md says? By the derivation that the
contract is compared with in test_life.py, over thousands of epochs, with fixed seeds."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from eth_hash.auto import keccak

from peerage_chain.challenge import challenge_indices
from peerage_chain.types import AgreementId, MemberId

PROOFS = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
ID = AgreementId(bytes(32))
EPOCHS = 3000
SAMPLES = 8
LEAVES = 10_000


def drawn(epoch: int, leaves: int) -> tuple[int, ...]:
    return challenge_indices(keccak(epoch.to_bytes(4, "big")), 1, PROOFS, ID, MemberId(1), SAMPLES, leaves)


@pytest.mark.parametrize("leaves", [64, 100, 997])
def test_every_leaf_is_asked_for_equally_often_within_its_part(leaves: int) -> None:
    """Chi-squared by leaf, each expected as often as its part is small: far beyond chance if a draw is not uniform."""
    counts = [0] * leaves
    for epoch in range(EPOCHS):
        for index in drawn(epoch, leaves):
            counts[index] += 1
    statistic = 0.0
    for i in range(SAMPLES):
        part = counts[leaves * i // SAMPLES : leaves * (i + 1) // SAMPLES]
        assert sum(part) == EPOCHS
        expected = EPOCHS / len(part)
        statistic += sum((count - expected) ** 2 / expected for count in part)
    freedom = leaves - SAMPLES
    assert abs(statistic - freedom) < 4 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("leaves", range(1, 2 * SAMPLES))
def test_of_a_small_agreement_each_leaf_at_most_once_and_all_if_they_are_few(leaves: int) -> None:
    for epoch in range(50):
        indices = drawn(epoch, leaves)
        assert list(indices) == sorted(set(indices))
        assert len(indices) == min(leaves, SAMPLES)


def test_neighbouring_epochs_are_independent() -> None:
    """How often two epochs in a row ask for the same leaf: once in as many as the part has leaves."""
    same = sum(a == b for e in range(EPOCHS) for a, b in zip(drawn(e, 160), drawn(e + 1, 160), strict=True))
    expected = EPOCHS * SAMPLES / 20
    assert abs(same - expected) < 4 * expected**0.5


@pytest.mark.parametrize(("percent", "one_epoch"), [(1, 7.7), (2, 14.9), (5, 33.7), (10, 57.0), (20, 83.2), (50, 99.6)])
def test_attack_a_scattered_loss_is_found_as_often_as_the_table_says(percent: int, one_epoch: float) -> None:
    lost = set(random.Random(percent).sample(range(LEAVES), LEAVES * percent // 100))
    # The loss falls unevenly into the parts by chance, so a little more is found than if it were spread evenly.
    assert abs(share_found(lost, range(EPOCHS)) - one_epoch) < 3.2  # four standard deviations, at 50 %


@pytest.mark.parametrize(("percent", "in_six"), [(1, 38.3), (2, 62.1), (5, 91.5), (10, 99.4)])
def test_a_loss_that_lasts_is_found_within_six_epochs_as_the_table_says(percent: int, in_six: float) -> None:
    lost = set(random.Random(percent).sample(range(LEAVES), LEAVES * percent // 100))
    found = sum(
        any(not lost.isdisjoint(drawn(epoch, LEAVES)) for epoch in range(first, first + 6))
        for first in range(0, EPOCHS, 6)
    )
    assert abs(100 * found / (EPOCHS / 6) - in_six) < 7.8  # four standard deviations of 667 trials, at 50 %


@pytest.mark.parametrize(("percent", "at_least"), [(1, 7.7), (5, 33.7), (10, 57.0), (12.5, 65.6)])
@pytest.mark.parametrize("start", [0, 1250, 3100, 9000])
def test_attack_dropping_whole_shards_is_found_sooner(percent: float, at_least: float, start: int) -> None:
    lost = {(start + i) % LEAVES for i in range(int(LEAVES * percent / 100))}
    assert share_found(lost, range(EPOCHS)) > at_least - 3.2


def test_a_whole_part_lost_is_found_at_once() -> None:
    assert share_found(set(range(LEAVES // 8)), range(500)) == 100


def share_found(lost: set[int], epochs: Iterable[int]) -> float:
    """Percent of the epochs whose challenge asks for a lost leaf."""
    outcomes = [not lost.isdisjoint(drawn(epoch, LEAVES)) for epoch in epochs]
    return 100 * sum(outcomes) / len(outcomes)
