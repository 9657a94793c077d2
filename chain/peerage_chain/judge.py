"""An agreement's verdicts and amounts, derived anew from evidence: what Clearing should have decided. Pure.

The rules are those of node/spec/clearing.md, written down here a second time on purpose, one epoch after the other
where the contract takes words of bits: an auditor that asked the contract for its own verdicts would audit nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from peerage_chain.types import GIB, Epoch

LEAF_BYTES = 1024
HEAVY_PERCENT = 20
MISSES_KEPT = 64  # judged epochs that the contract remembers; no window is longer


class Outcome(StrEnum):
    """What an epoch was for an agreement with leaves."""

    KEPT = "kept"
    IMPAIRED = "impaired"
    """Proven while a reported loss stood: kept, but neither paid nor earning what was deferred."""
    MISSED = "missed"
    EXCUSED = "excused"
    """Not proven in declared maintenance: not paid, and no more."""
    VOID = "void"
    """Nobody is judged: no seed, no quorum, or the chain stopped right after. Its pay waits for the next kept epoch."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Parameters of the market that settlement depends on, as in force in one epoch."""

    window_epochs: int
    fail_at: int
    repair_epochs: int
    appeal_epochs: int = 24
    decide_epochs: int = 72
    committee: int = 5
    """Members that are drawn to probe a provider, on average."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What an agreement's terms say about money at some time. pay_percent: of the price, in epochs of poor quality."""

    price_per_gib_epoch: int
    egress_price_per_gib: int
    collateral: int
    pay_percent: int = 100


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about one epoch of one agreement."""

    leaves: int
    proven: bool
    valid: bool
    followed: bool
    beat: bool = True
    maintenance: bool = False
    impaired: bool = False
    short: bool = False
    """Whether the provider's measured quality was below what the terms ask for."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One epoch. paid includes what was deferred before it; in_window counts misses, this one included. contested: the
    penalty is a heavy one and waits in a docket."""

    epoch: Epoch
    outcome: Outcome
    leaves: int
    proven: bool
    beat: bool
    settled: bool = False
    paid: int = 0
    in_window: int = 0
    to_client: int = 0
    burned: int = 0
    contested: bool = False
    failed: bool = False
    withheld: int = 0
    """Of this epoch's own pay, for quality below what the terms ask for; whether it is paid now or deferred."""

    @property
    def reason(self) -> str:
        """Why a miss is one."""
        return "no proof" if self.beat else "no proof, no beat"


def penalty_percent(in_window: int) -> int:
    """Part of the original collateral that the n-th miss in the window costs."""
    return {0: 0, 1: 0, 2: 5, 3: 10}.get(in_window, HEAVY_PERCENT)


def cost(size_bytes: int, price_per_gib: int) -> int:
    """Micro-credits, rounded up."""
    return -(-size_bytes * price_per_gib // GIB)


@dataclass
class Book:
    """An agreement's money as far as verdicts move it. window: its newest judged epochs, True for a miss."""

    collateral: int
    compensated: int = 0
    burned: int = 0
    deferred: int = 0
    window: list[bool] = field(default_factory=list)

    def judge(self, epoch: Epoch, facts: Facts, prices: Prices, rules: Rules) -> Verdict:
        """The verdict on the next epoch, which has leaves, and what it moves."""
        outcome = self._outcome(facts)
        verdict = Verdict(epoch, outcome, facts.leaves, facts.proven, facts.beat)
        if outcome in (Outcome.VOID, Outcome.KEPT):
            whole = pay_of(replace(facts, short=False), prices)
            verdict = replace(verdict, withheld=whole - pay_of(facts, prices))
        if verdict.outcome is Outcome.VOID:
            self.deferred += pay_of(facts, prices)
        elif verdict.outcome is Outcome.KEPT:
            self._remember(missed=False)
            paid, self.deferred = pay_of(facts, prices) + self.deferred, 0
            return replace(verdict, paid=paid)
        elif verdict.outcome is Outcome.IMPAIRED:
            self._remember(missed=False)
        elif verdict.outcome is Outcome.MISSED:
            self._remember(missed=True)
            return self._miss(verdict, prices, rules)
        return verdict

    def penalise(self, percent: int, leaves: int, prices: Prices, rules: Rules) -> tuple[int, int]:
        """(to the client, burned): a penalty, taken from what is left of the collateral."""
        taken = min(self.collateral, prices.collateral * percent // 100)
        to_client = min(taken, max(0, repair_cost(leaves, prices, rules) - self.compensated))
        self.collateral -= taken
        self.compensated += to_client
        self.burned += taken - to_client
        return to_client, taken - to_client

    def compensate(self, amount: int) -> int:
        """What of an amount the collateral can give to the client."""
        given = min(self.collateral, amount)
        self.collateral -= given
        self.compensated += given
        return given

    def _outcome(self, facts: Facts) -> Outcome:
        if not facts.valid or not (facts.proven or facts.followed):
            return Outcome.VOID
        if facts.proven:
            return Outcome.IMPAIRED if facts.impaired else Outcome.KEPT
        return Outcome.EXCUSED if facts.maintenance else Outcome.MISSED

    def _miss(self, verdict: Verdict, prices: Prices, rules: Rules) -> Verdict:
        in_window = sum(self.window[-rules.window_epochs :])
        percent, failed = penalty_percent(in_window), in_window >= rules.fail_at
        to_client, burned = self.penalise(percent, verdict.leaves, prices, rules)
        return replace(
            verdict,
            in_window=in_window,
            to_client=to_client,
            burned=burned,
            contested=failed or percent == HEAVY_PERCENT,
            failed=failed,
        )

    def _remember(self, missed: bool) -> None:
        self.window = [*self.window, missed][-MISSES_KEPT:]


def pay_of(facts: Facts, prices: Prices) -> int:
    """An epoch's pay."""
    pay = cost(facts.leaves * LEAF_BYTES, prices.price_per_gib_epoch)
    return pay * prices.pay_percent // 100 if facts.short else pay


def repair_cost(leaves: int, prices: Prices, rules: Rules) -> int:
    """What it is deemed to cost to put these leaves elsewhere."""
    size = leaves * LEAF_BYTES
    pay = cost(size, prices.price_per_gib_epoch)
    return pay * rules.repair_epochs + cost(size, prices.egress_price_per_gib)
