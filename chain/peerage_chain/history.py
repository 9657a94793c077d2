"""The network's past, as the events told it (told.py fills it in), and what is derived from it. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from peerage_chain.acts import (
    Act,
    Miss,
    Settlement,
)
from peerage_chain.challenge import FREEZE_EPOCHS, seed_of, seed_valid
from peerage_chain.judge import Rules
from peerage_chain.quality import QualityPast
from peerage_chain.types import AgreementId, AgreementState, Deal, Epoch, MemberId, Removal, Terms

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A revision as recorded."""

    epoch: Epoch
    sequence: int
    root: bytes
    leaves: int


@dataclass
class AgreementPast:
    """What happened to one agreement."""

    id: AgreementId
    terms: Terms
    opened_epoch: Epoch
    state: AgreementState = AgreementState.ACTIVE
    changed: Deal | None = None
    """The terms by the newest amendment."""
    amendments: int = 0
    exit_epoch: Epoch | None = None
    """The end that one side's leaving set since."""
    escrow_held: int = 0
    acts: list[Act] = field(default_factory=list)
    """What moved its money, in order."""
    announced_misses: list[Miss] = field(default_factory=list)
    """Of the settlement whose own event is to come."""
    bytes_down: int = 0
    """As the newest revision says."""
    appealed: set[int] = field(default_factory=set)
    """Numbers of the dockets that the provider appealed against."""
    revisions: list[Recorded] = field(default_factory=list)
    removal: Removal | None = None
    """Announced and pending."""
    announced: list[tuple[int, Removal, int]] = field(default_factory=list)
    """Every removal that was ever announced, with its block, and the minimum retention then."""
    lost_unannounced: bool = False
    """Whether leaves ever went otherwise than by a removal that was announced and ready."""
    proven: set[int] = field(default_factory=set)
    impaired: set[int] = field(default_factory=set)

    @property
    def deal(self) -> Deal:
        """The terms as the chain keeps them now."""
        deal = self.changed or Deal.of(self.terms, self.opened_epoch)
        return replace(deal, end_epoch=self.exit_epoch) if self.exit_epoch is not None else deal

    @property
    def first_epoch(self) -> Epoch:
        """The first epoch that a settlement looks at."""
        return max(self.terms.start_epoch, self.opened_epoch)

    @property
    def settlements(self) -> list[Settlement]:
        return [act for act in self.acts if isinstance(act, Settlement)]

    @property
    def settled_before(self) -> Epoch:
        """The first epoch that no settlement has covered."""
        settlements = self.settlements
        return settlements[-1].until if settlements else self.first_epoch

    @property
    def newest_leaves(self) -> int:
        return self.revisions[-1].leaves if self.revisions else 0

    def frozen(self, epoch: int) -> Recorded | None:
        """The revision that a challenge of this epoch is over."""
        at = bisect_right(self.revisions, epoch - FREEZE_EPOCHS, key=lambda r: r.epoch)
        return self.revisions[at - 1] if at else None


@dataclass
class History:
    """Beats, memberships and agreements up to one block."""

    block: int
    beats: dict[int, dict[MemberId, bytes]] = field(default_factory=lambda: defaultdict(dict))
    quorums: set[int] = field(default_factory=set)
    """Epochs whose quorum the contract has reported."""
    active_from: dict[int, int] = field(default_factory=dict)
    counted: dict[MemberId, list[tuple[int, bool]]] = field(default_factory=lambda: defaultdict(list))
    agreements: dict[AgreementId, AgreementPast] = field(default_factory=dict)
    accounts: dict[MemberId, int] = field(default_factory=lambda: defaultdict(int))
    """Free micro-credits, added up from every movement."""
    admitted_block: dict[MemberId, int] = field(default_factory=dict)
    maintenance: dict[MemberId, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Epochs in which a member declared to be in maintenance."""
    reserved: int = 0
    """Micro-credits set aside for demands."""
    entities: dict[MemberId, bytes] = field(default_factory=dict)
    """Legal entities of the members."""
    quality: QualityPast = field(default_factory=QualityPast)
    rules: list[tuple[int, Rules]] = field(default_factory=list)
    """Rules of the market and the epochs since when, oldest first."""

    # --- derived ---

    def rules_at(self, epoch: int) -> Rules:
        """The rules in force in an epoch."""
        return next(rules for since, rules in reversed(self.rules) if since <= epoch)

    def active_count(self, epoch: int) -> int:
        """Members that count for an epoch's quorum."""
        epochs = sorted(self.active_from)
        at = bisect_right(epochs, epoch)
        return self.active_from[epochs[at - 1]] if at else 0

    def is_counted(self, member: MemberId, epoch: int) -> bool:
        """Whether a member counts for an epoch's quorum, so that its silence is a missed beat."""
        state = False
        for since, counted in self.counted.get(member, ()):
            if since <= epoch:
                state = counted
        return state

    def has_beat(self, member: MemberId, epoch: int) -> bool:
        return member in self.beats.get(epoch, ())

    def quorate(self, epoch: int) -> bool:
        """Whether two thirds of the active members beat in it, by our own count."""
        return epoch >= 0 and seed_valid(len(self.beats.get(epoch, ())), self.active_count(epoch))

    def valid(self, epoch: int) -> bool:
        """Whether it has a seed and is quorate itself; otherwise it is void."""
        return self.quorate(epoch - 1) and self.quorate(epoch)

    def seed(self, epoch: int) -> bytes | None:
        """The seed that the revealed links make, or None without a quorum before it."""
        if not self.quorate(epoch - 1):
            return None
        return seed_of(self.beats[epoch - 1].items())
