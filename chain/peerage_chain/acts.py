"""What moved an agreement's money, as the events told it. Amounts are micro-credits."""

from __future__ import annotations

from dataclasses import dataclass

from peerage_chain.types import Epoch


@dataclass(frozen=True, slots=True)
class Miss:
    """A missed epoch as a settlement told it. in_window: misses in the window, this one included."""

    epoch: Epoch
    in_window: int
    to_client: int = 0
    burned: int = 0
    contested: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """A settlement's own account of itself: epochs from first to before until. paid, funded: out of escrow, into it."""

    first: Epoch
    until: Epoch
    proven: int
    missed: int
    voided: int
    excused: int
    paid: int
    funded: int
    misses: tuple[Miss, ...]


@dataclass(frozen=True, slots=True)
class Amended:
    """New prices and collateral, for what is settled from then on."""

    price_per_gib_epoch: int
    egress_price_per_gib: int
    collateral: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """Traffic charged. recorded: what the newest revision then said."""

    bytes_down: int
    amount: int
    recorded: int


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss that the provider reported itself."""

    epoch: Epoch
    leaves: int
    amount: int


@dataclass(frozen=True, slots=True)
class Exit:
    """What leaving early cost. leaves: those of the newest revision then."""

    epoch: Epoch
    by_client: bool
    amount: int
    from_escrow: int
    leaves: int


@dataclass(frozen=True, slots=True)
class DemandPenalty:
    """The penalty for a demand that was not answered. leaves: those of the newest revision then."""

    epoch: Epoch
    to_client: int
    burned: int
    contested: bool
    leaves: int


@dataclass(frozen=True, slots=True)
class Contested:
    """Heavy penalties, put into a docket."""

    number: int
    epoch: Epoch
    to_client: int
    burned: int
    appeal_until: int


@dataclass(frozen=True, slots=True)
class Concluded:
    """The end of a docket. live: the agreement was in force then."""

    number: int
    cancelled: bool
    decided: bool
    appealed: bool
    live: bool
    to_client: int
    burned: int


@dataclass(frozen=True, slots=True)
class Topped:
    """More collateral and escrow, for changed terms."""

    collateral: int
    escrow: int


Act = Amended | Settlement | Traffic | Loss | Exit | DemandPenalty | Contested | Concluded | Topped
