"""What the agreements in force will cost and earn, and when money or a term runs out. Amounts are micro-credits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from peerage.model import LEAF_SIZE, MemberId
from peerage_chain.types import GIB, AgreementId, AgreementInfo, AgreementState, Epoch

WARN_EPOCHS = 72
"""Money and terms that run out within so many epochs are warned of: three days at an hour each, over a weekend."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """At the data of today, with every proof made: what may come is at most this spending, and at most this earning.

    spending, earning: an epoch. to_spend, to_earn: until the ends of the terms, what is not settled yet included.
    balance: free. escrow: locked for our data; collateral: ours, locked for others' data. Both come back at the end.
    money_ends: the first epoch that balance and escrow do not pay for; None if they last for all terms. What is earned
    is not counted, since a client may fail to pay. term_ends: the first epoch after the first of our terms that holds
    data. grace: our agreements whose escrow is empty already.
    """

    epoch: Epoch
    spending: int
    earning: int
    to_spend: int
    to_earn: int
    balance: int
    escrow: int
    collateral: int
    money_ends: Epoch | None
    term_ends: Epoch | None
    grace: tuple[AgreementId, ...]

    def warnings(self, within: int = WARN_EPOCHS) -> list[str]:
        """What the owner must know now, a line each; the first word names the kind."""
        found = []
        if self.grace:
            found.append(
                f"grace: {len(self.grace)} agreements are not paid for: deposit credits, or the data is let go"
            )
        if self.money_ends is not None and self.money_ends - self.epoch <= within:
            left = max(0, self.money_ends - self.epoch)
            found.append(f"money: balance and escrow pay for {left} more epochs: deposit credits, or prune")
        if self.term_ends is not None and self.term_ends - self.epoch <= within:
            left = max(0, self.term_ends - self.epoch)
            found.append(f"term: an agreement that holds data ends in {left} epochs")
        return found


def forecast(agreements: Iterable[AgreementInfo], member: MemberId, balance: int, epoch: Epoch) -> Forecast:
    """agreements: those of this member, as client or provider; others' and those that are over are left out."""
    live = [a for a in agreements if a.is_live]
    ours = [a for a in live if a.terms.client == member]
    given = [a for a in live if a.terms.provider == member]
    return Forecast(
        epoch=epoch,
        spending=sum(pay(a) for a in ours),
        earning=sum(pay(a) for a in given),
        to_spend=sum(_due(a, a.terms.end_epoch) for a in ours),
        to_earn=sum(_due(a, a.terms.end_epoch) for a in given),
        balance=balance,
        escrow=sum(a.escrow for a in ours),
        collateral=sum(a.collateral for a in given),
        money_ends=_money_ends(ours, balance),
        term_ends=min((a.terms.end_epoch for a in ours if a.leaves), default=None),
        grace=tuple(a.id for a in ours if a.state is AgreementState.GRACE),
    )


def pay(agreement: AgreementInfo) -> int:
    """For one proven epoch over the leaves of the newest revision, rounded up as Clearing does."""
    return -(-agreement.leaves * LEAF_SIZE * agreement.terms.price_per_gib_epoch // GIB)


def _due(agreement: AgreementInfo, before: int) -> int:
    """For the epochs before `before` that are not settled yet."""
    return pay(agreement) * max(0, min(before, agreement.terms.end_epoch) - agreement.settled_through - 1)


def _money_ends(ours: Sequence[AgreementInfo], balance: int) -> Epoch | None:
    """Each agreement lives on its own escrow first; what is beyond comes out of one account."""

    def short(epoch: int) -> bool:
        return sum(max(0, _due(a, epoch + 1) - a.escrow) for a in ours) > balance

    low = min((a.settled_through + 1 for a in ours), default=0)
    high = max((a.terms.end_epoch for a in ours), default=0)
    if not short(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if short(middle) else (middle + 1, high)
    return Epoch(low)
