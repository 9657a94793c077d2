"""How likely it is to lose something for good: from how often providers were seen to fail, and how fast we repair."""

from __future__ import annotations

import math

__all__ = ["annual_loss", "rate_quantile"]

_ITERATIONS = 500
_PRECISION = 1e-12


def rate_quantile(failures: int, exposure: float, probability: float) -> float:
    """The rate below which the true one lies with `probability`, after `failures` in `exposure` (any unit of time).

    The posterior of a Poisson rate under Jeffreys' prior, Gamma(failures + 1/2, exposure): no failure in a short time
    says little, and shows. Infinite without exposure. Raises ValueError unless 0 < probability < 1.
    """
    if not 0 < probability < 1:
        raise ValueError("a probability lies between 0 and 1")
    if exposure <= 0:
        return math.inf
    shape = failures + 0.5
    low, high = 0.0, shape + 10 * math.sqrt(shape) + 40
    for _ in range(200):
        middle = (low + high) / 2
        if _gamma_below(shape, middle) < probability:
            low = middle
        else:
            high = middle
    return high / exposure


def annual_loss(rate: float, providers: int, tolerated: int, repair_years: float) -> float:
    """The probability of losing anything within a year: that of `tolerated` + 1 providers failing within one repair.

    rate: failures of one provider in a year. providers: that hold anything. tolerated: how many of them every stripe
    can lose; below 0 something is lost already. repair_years: until a failed one's shards are elsewhere.

    The rate at which some set of t + 1 of n providers fails within r of its first failure is at most
    C(n, t + 1) (t + 1) rate (rate r)^t, as for mirrored disks (Patterson, Gibson and Katz, 1988). An upper bound: not
    every such set holds more than m shards of one stripe. Failures are taken as independent, which those of one
    disaster are not.
    """
    if tolerated < 0:
        return 1.0
    if providers <= tolerated:
        return 0.0
    if math.isinf(rate):
        return 1.0
    sets = math.comb(providers, tolerated + 1) * (tolerated + 1)
    return -math.expm1(-sets * rate * (rate * repair_years) ** tolerated)


def _gamma_below(shape: float, x: float) -> float:
    """The regularised lower incomplete gamma function P(shape, x): DLMF 8.11.4 below shape + 1, 8.9.2 above."""
    if x <= 0:
        return 0.0
    front = math.exp(-x + shape * math.log(x) - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        for n in range(1, _ITERATIONS):
            term *= x / (shape + n)
            total += term
            if term < total * _PRECISION:
                break
        return front * total
    # Lentz's method for the continued fraction of the upper function.
    b = x + 1 - shape
    c = math.inf
    d = 1 / b
    fraction = d
    for n in range(1, _ITERATIONS):
        a = -n * (n - shape)
        b += 2
        d = 1 / (a * d + b)
        c = b + a / c
        fraction *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return 1 - front * fraction
