"""An agreement's verdicts and amounts, derived anew from evidence: what Clearing should have decided. Pure.

The rules are those of node/spec/settlement.md, written down here a second time on purpose: an auditor that asked the
contract for its own verdicts would audit nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from peerage_chain.history import AgreementPast, History
from peerage_chain.types import GIB, LIVE_STATES, AgreementState, Epoch

LEAF_BYTES = 1024


class Outcome(StrEnum):
    """What an epoch was for an agreement with leaves."""

    KEPT = "kept"
    MISSED = "missed"
    VOID = "void"
    """Nobody is judged: no seed, no quorum, or the chain stopped right after. Its pay waits for the next kept epoch."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Parameters of the network that settlement depends on."""

    window_epochs: int
    fail_at: int
    repair_epochs: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """One epoch. paid includes the pay of void epochs before it; in_window counts misses, this one included."""

    epoch: Epoch
    outcome: Outcome
    leaves: int
    proven: bool
    beat: bool
    settled: bool
    paid: int = 0
    in_window: int = 0
    to_client: int = 0
    burned: int = 0

    @property
    def reason(self) -> str:
        """Why a miss is one."""
        if not self.proven:
            return "no proof" if self.beat else "no proof, no beat"
        return "no beat"


def penalty_percent(in_window: int) -> int:
    """Part of the original collateral that the n-th miss in the window costs."""
    return {0: 0, 1: 0, 2: 5, 3: 10}.get(in_window, 20)


def cost(size_bytes: int, price_per_gib: int) -> int:
    """Micro-credits, rounded up."""
    return -(-size_bytes * price_per_gib // GIB)


def judge(history: History, past: AgreementPast, closed_before: int, rules: Rules) -> list[Verdict]:
    """The verdicts on every epoch with leaves, from the first through the last closed one (or the agreement's last)."""
    terms = past.terms
    end = past.settled_before
    if past.state in LIVE_STATES:
        end = Epoch(max(end, min(closed_before, terms.end_epoch)))
    window: list[bool] = []
    collateral, compensated, deferred = terms.collateral, 0, 0
    verdicts: list[Verdict] = []
    for number in range(past.first_epoch, end):
        epoch = Epoch(number)
        frozen = past.frozen(epoch)
        if frozen is None or frozen.leaves == 0:
            continue
        proven, beat = epoch in past.proven, history.has_beat(terms.provider, epoch)
        settled = epoch < past.settled_before
        pay = cost(frozen.leaves * LEAF_BYTES, terms.price_per_gib_epoch)
        kept = proven and beat
        if not history.valid(epoch) or (not kept and not history.quorate(epoch + 1)):
            deferred += pay
            verdicts.append(Verdict(epoch, Outcome.VOID, frozen.leaves, proven, beat, settled))
            continue
        window = [*window, not kept][-rules.window_epochs :]
        if kept:
            verdicts.append(Verdict(epoch, Outcome.KEPT, frozen.leaves, proven, beat, settled, paid=pay + deferred))
            deferred = 0
            continue
        in_window = sum(window)
        penalty = min(collateral, terms.collateral * penalty_percent(in_window) // 100)
        repair = pay * rules.repair_epochs + cost(frozen.leaves * LEAF_BYTES, terms.egress_price_per_gib)
        to_client = min(penalty, max(0, repair - compensated))
        collateral -= penalty
        compensated += to_client
        verdicts.append(
            Verdict(
                epoch,
                Outcome.MISSED,
                frozen.leaves,
                proven,
                beat,
                settled,
                in_window=in_window,
                to_client=to_client,
                burned=penalty - to_client,
            )
        )
        if in_window >= rules.fail_at:
            break
    return verdicts


def agrees(past: AgreementPast, verdicts: list[Verdict]) -> bool:
    """Whether the contract's settlements say what the evidence says: same misses, penalties, counts and pay."""
    settled = [v for v in verdicts if v.settled]
    misses = [v for v in settled if v.outcome is Outcome.MISSED]
    if {int(v.epoch): v.in_window for v in misses} != past.missed:
        return False
    penalties = {int(v.epoch): (v.to_client, v.burned) for v in misses if v.to_client or v.burned}
    if penalties != past.penalised:
        return False
    paid = sum(v.paid for v in settled)
    recorded = sum(s.paid for s in past.settlements)
    # In an agreement that lapsed, the last payment is what was left in the escrow.
    fits = recorded <= paid if past.state is AgreementState.LAPSED else recorded == paid
    return fits and all(
        sum(s.first <= v.epoch <= s.last and v.outcome is outcome for v in settled) == count
        for s in past.settlements
        for outcome, count in ((Outcome.KEPT, s.proven), (Outcome.MISSED, s.missed), (Outcome.VOID, s.voided))
    )
