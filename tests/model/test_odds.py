"""Probabilities of loss: against published quantiles, and against a simulation."""

from __future__ import annotations

import math
import random

import pytest

from peerage.model.odds import annual_loss, rate_quantile


@pytest.mark.parametrize(
    ("failures", "probability", "chi_square"),
    # Quantiles of the chi-square distribution with 2 * failures + 1 degrees of freedom, from its printed tables.
    [
        (0, 0.5, 0.454936),
        (0, 0.975, 5.023886),
        (0, 0.025, 0.000982069),
        (2, 0.95, 11.0705),
        (9, 0.5, 18.3377),
        (9, 0.975, 32.8523),
    ],
)
def test_quantiles_are_those_of_the_tables(failures: int, probability: float, chi_square: float) -> None:
    assert rate_quantile(failures, 4.0, probability) == pytest.approx(chi_square / 2 / 4.0, rel=1e-4)


def test_without_experience_anything_is_possible() -> None:
    assert rate_quantile(0, 0.0, 0.5) == math.inf
    assert annual_loss(math.inf, 6, 2, 1 / 365) == 1.0


@pytest.mark.parametrize("probability", [0.0, 1.0, -1.0])
def test_a_probability_is_between_0_and_1(probability: float) -> None:
    with pytest.raises(ValueError, match="between"):
        rate_quantile(1, 1.0, probability)


def test_what_is_lost_already_is_certain_and_too_few_providers_lose_nothing() -> None:
    assert annual_loss(0.1, 6, -1, 1 / 365) == 1.0
    assert annual_loss(0.1, 2, 2, 1 / 365) == 0.0
    assert annual_loss(0.1, 6, 0, 1 / 365) == pytest.approx(1 - math.exp(-0.6)), "any failure at all"


def test_the_bound_is_near_a_simulation() -> None:
    """Six providers that fail three times a year each, repaired in ten days, two of them to spare."""
    rate, providers, tolerated, repair = 3.0, 6, 2, 10 / 365
    source = random.Random(1)
    years, lost = 20_000, 0
    for _ in range(years):
        failures = sorted((at, provider) for provider in range(providers) for at in _arrivals(source, rate))
        lost += any(
            len({p for at, p in failures[i:] if at < failures[i][0] + repair}) > tolerated for i in range(len(failures))
        )
    bound = annual_loss(rate, providers, tolerated, repair)
    assert 0.7 * bound < lost / years < 1.05 * bound


def _arrivals(source: random.Random, rate: float) -> list[float]:
    found, at = [], source.expovariate(rate)
    while at < 1:
        found.append(at)
        at += source.expovariate(rate)
    return found
