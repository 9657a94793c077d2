"""The network's past, rebuilt from events alone. Filling it is I/O; everything that is derived from it is pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from peerage_chain.acts import (
    Act,
    Amended,
    Concluded,
    Contested,
    DemandPenalty,
    Exit,
    Loss,
    Miss,
    Settlement,
    Topped,
    Traffic,
)
from peerage_chain.challenge import FREEZE_EPOCHS, seed_of, seed_valid
from peerage_chain.codec import figures_of, removal_of, rules_of, rules_of_word, terms_of
from peerage_chain.contracts import Contracts
from peerage_chain.events import Record, read_events
from peerage_chain.judge import Rules
from peerage_chain.quality import ProbeReport, QualityPast, QualityRecord
from peerage_chain.types import LIVE_STATES, AgreementId, AgreementState, Deal, Epoch, MemberId, Removal, Terms

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


async def read_history(contracts: Contracts, last_block: int) -> History:
    """Rebuild the network's past up to a block."""
    history = History(last_block)
    wanted: dict[str, list[str]] = {}
    for contract, event in _HANDLERS:
        wanted.setdefault(contract, []).append(event)
    async for record in read_events(contracts, wanted, last_block):
        _HANDLERS[record.contract, record.event](history, record)
    return history


def _admitted(history: History, record: Record) -> None:
    history.admitted_block[record.fields["member"]] = record.block
    history.entities[MemberId(record.fields["member"])] = record.fields["legalEntity"]


def _beat(history: History, record: Record) -> None:
    f = record.fields
    history.beats[f["epoch"]][MemberId(f["member"])] = f["link"]


def _quorum(history: History, record: Record) -> None:
    history.quorums.add(record.fields["epoch"])


def _active(history: History, record: Record) -> None:
    f = record.fields
    history.active_from[f["fromEpoch"]] = f["active"]
    history.counted[MemberId(f["member"])].append((f["fromEpoch"], f["counted"]))


def _opened(history: History, record: Record) -> None:
    f = record.fields
    id = AgreementId(f["id"])
    history.agreements[id] = AgreementPast(id, terms_of(f["terms"]), Epoch(f["epoch"]))


def _revised(history: History, record: Record) -> None:
    f = record.fields
    past = history.agreements[f["id"]]
    gone = past.revisions[-1].leaves - f["leaves"] if past.revisions else 0
    if gone > 0:
        ready = past.removal is not None and past.removal.leaves == gone and past.removal.ready <= f["epoch"]
        past.lost_unannounced |= not ready
        past.removal = None
    past.bytes_down = f["bytesDown"]
    past.revisions.append(Recorded(Epoch(f["epoch"]), f["sequence"], f["root"], f["leaves"]))


def _amended(history: History, record: Record) -> None:
    past, new = history.agreements[record.fields["id"]], record.fields["amendment"]
    past.changed = replace(
        past.deal,
        capacity=new["capacity"],
        price_per_gib_epoch=new["pricePerGibEpoch"],
        egress_price_per_gib=new["egressPricePerGib"],
        collateral=new["collateral"],
        min_retention_epochs=new["minRetentionEpochs"],
        end_epoch=Epoch(new["endEpoch"]),
    )
    past.exit_epoch = None
    past.amendments += 1
    past.acts.append(Amended(new["pricePerGibEpoch"], new["egressPricePerGib"], new["collateral"]))


def _exited(history: History, record: Record) -> None:
    history.agreements[record.fields["id"]].exit_epoch = Epoch(record.fields["endEpoch"])


def _removal_announced(history: History, record: Record) -> None:
    past = history.agreements[record.fields["id"]]
    past.removal = removal_of(record.fields)
    if past.removal is not None:
        past.announced.append((record.block, past.removal, past.deal.min_retention_epochs))


def _removal_cancelled(history: History, record: Record) -> None:
    history.agreements[record.fields["id"]].removal = None


def _state(history: History, record: Record) -> None:
    history.agreements[record.fields["id"]].state = AgreementState(record.fields["to"])


def _loss_reported(history: History, record: Record) -> None:
    f = record.fields
    history.agreements[f["agreement"]].impaired.update(range(f["since"], f["until"]))


def _loss_restored(history: History, record: Record) -> None:
    past = history.agreements[record.fields["agreement"]]
    past.impaired = {epoch for epoch in past.impaired if epoch < record.fields["until"]}


def _proven(history: History, record: Record) -> None:
    history.agreements[record.fields["agreement"]].proven.add(record.fields["epoch"])


def _held(history: History, record: Record) -> None:
    f = record.fields
    history.agreements[f["id"]].escrow_held = f["escrow"]
    history.accounts[MemberId(f["client"])] -= f["escrow"]
    history.accounts[MemberId(f["provider"])] -= f["collateral"]


def _topped(history: History, record: Record) -> None:
    f = record.fields
    past = history.agreements[f["id"]]
    past.acts.append(Topped(f["collateral"], f["escrow"]))
    history.accounts[past.terms.client] -= f["escrow"]
    history.accounts[past.terms.provider] -= f["collateral"]


def _traffic(history: History, record: Record) -> None:
    f = record.fields
    past = history.agreements[f["id"]]
    past.acts.append(Traffic(f["bytesDown"], f["amount"], past.bytes_down))


def _settled(history: History, record: Record) -> None:
    f = record.fields
    past = history.agreements[f["id"]]
    past.acts.append(
        Settlement(
            first=Epoch(f["from"]),
            until=Epoch(f["until"]),
            proven=f["proven"],
            missed=f["missed"],
            voided=f["voided"],
            excused=f["excused"],
            paid=f["paid"],
            funded=f["funded"],
            misses=tuple(past.announced_misses),
        )
    )
    past.announced_misses = []
    history.accounts[past.terms.provider] += f["paid"]
    history.accounts[past.terms.client] -= f["funded"]


def _missed(history: History, record: Record) -> None:
    f = record.fields
    history.agreements[f["id"]].announced_misses.append(Miss(Epoch(f["epoch"]), f["inWindow"]))


def _penalised(history: History, record: Record) -> None:
    f = record.fields
    past = history.agreements[f["id"]]
    taken = (f["toClient"], f["burned"], f["contested"])
    last = past.announced_misses[-1] if past.announced_misses else None
    if last is not None and last.epoch == f["epoch"]:
        past.announced_misses[-1] = Miss(last.epoch, last.in_window, *taken)
    else:
        past.acts.append(DemandPenalty(Epoch(f["epoch"]), *taken, past.newest_leaves))
    if not f["contested"]:
        history.accounts[past.terms.client] += f["toClient"]


def _loss(history: History, record: Record) -> None:
    f = record.fields
    past = history.agreements[f["id"]]
    past.acts.append(Loss(Epoch(f["epoch"]), f["leaves"], f["amount"]))
    history.accounts[past.terms.client] += f["amount"]


def _exit(history: History, record: Record) -> None:
    f = record.fields
    past = history.agreements[f["id"]]
    past.acts.append(Exit(Epoch(f["epoch"]), f["byClient"], f["amount"], f["fromEscrow"], past.newest_leaves))
    if f["byClient"]:
        history.accounts[past.terms.client] -= f["amount"] - f["fromEscrow"]
        history.accounts[past.terms.provider] += f["amount"]
    else:
        history.accounts[past.terms.client] += f["amount"]


def _contested(history: History, record: Record) -> None:
    f = record.fields
    past = history.agreements[f["id"]]
    past.acts.append(Contested(f["number"], Epoch(f["epoch"]), f["toClient"], f["burned"], f["appealUntil"]))


def _appealed(history: History, record: Record) -> None:
    history.agreements[record.fields["id"]].appealed.add(record.fields["number"])


def _concluded(history: History, record: Record) -> None:
    f = record.fields
    past = history.agreements[f["id"]]
    live = past.state in LIVE_STATES
    appealed = f["number"] in past.appealed
    past.acts.append(Concluded(f["number"], f["cancelled"], f["decided"], appealed, live, f["toClient"], f["burned"]))
    if not f["cancelled"]:
        history.accounts[past.terms.client] += f["toClient"]
    elif not live:
        history.accounts[past.terms.provider] += f["toClient"] + f["burned"]


def _reserved(history: History, record: Record) -> None:
    history.accounts[MemberId(record.fields["member"])] -= record.fields["amount"]
    history.reserved += record.fields["amount"]


def _refunded(history: History, record: Record) -> None:
    history.accounts[MemberId(record.fields["member"])] += record.fields["amount"]
    history.reserved -= record.fields["amount"]


def _maintenance(history: History, record: Record) -> None:
    f = record.fields
    history.maintenance[MemberId(f["member"])].update(range(f["from"], f["to"]))


def _maintenance_cancelled(history: History, record: Record) -> None:
    f = record.fields
    history.maintenance[MemberId(f["member"])].difference_update(range(f["from"], f["to"]))


def _probed(history: History, record: Record) -> None:
    f = record.fields
    report = ProbeReport(MemberId(f["member"]), figures_of(f["figures"]))
    history.quality.reports[MemberId(f["provider"]), f["epoch"]].append(report)


def _recorded(history: History, record: Record) -> None:
    f = record.fields
    told = QualityRecord(figures_of(f["median"]), f["reports"])
    history.quality.told[MemberId(f["provider"]), f["epoch"]] = told


def _configured(history: History, record: Record) -> None:
    history.rules.append((0, rules_of(record.fields["params"])))


def _rules_announced(history: History, record: Record) -> None:
    history.rules.append((record.fields["fromEpoch"], rules_of_word(record.fields["rules"])))


def _rules_cancelled(history: History, record: Record) -> None:
    history.rules.pop()


def _released(history: History, record: Record) -> None:
    f = record.fields
    past = history.agreements[f["id"]]
    history.accounts[past.terms.client] += f["toClient"]
    history.accounts[past.terms.provider] += f["toProvider"]


def _deposited(history: History, record: Record) -> None:
    history.accounts[MemberId(record.fields["member"])] += record.fields["amount"]


def _withdrawn(history: History, record: Record) -> None:
    history.accounts[MemberId(record.fields["member"])] -= record.fields["amount"]


_HANDLERS: dict[tuple[str, str], Callable[[History, Record], None]] = {
    ("Directory", "Configured"): _configured,
    ("Directory", "RulesAnnounced"): _rules_announced,
    ("Directory", "RulesCancelled"): _rules_cancelled,
    ("Members", "MaintenanceDeclared"): _maintenance,
    ("Members", "MaintenanceCancelled"): _maintenance_cancelled,
    ("Members", "MemberAdmitted"): _admitted,
    ("Beacon", "Beat"): _beat,
    ("Beacon", "QuorumReached"): _quorum,
    ("Beacon", "ActiveMembersChanged"): _active,
    ("Agreements", "AgreementOpened"): _opened,
    ("Amendments", "Amended"): _amended,
    ("Amendments", "Exited"): _exited,
    ("Agreements", "Revised"): _revised,
    ("Agreements", "RemovalAnnounced"): _removal_announced,
    ("Agreements", "RemovalCancelled"): _removal_cancelled,
    ("Agreements", "StateChanged"): _state,
    ("Proofs", "Proven"): _proven,
    ("Proofs", "LossReported"): _loss_reported,
    ("Proofs", "LossRestored"): _loss_restored,
    ("Quality", "ProbeReported"): _probed,
    ("Quality", "QualityRecorded"): _recorded,
    ("Clearing", "Held"): _held,
    ("Clearing", "Topped"): _topped,
    ("Clearing", "TrafficCharged"): _traffic,
    ("Clearing", "Settled"): _settled,
    ("Clearing", "Missed"): _missed,
    ("Clearing", "Penalised"): _penalised,
    ("Clearing", "LossCharged"): _loss,
    ("Clearing", "ExitCharged"): _exit,
    ("Clearing", "Contested"): _contested,
    ("Clearing", "Appealed"): _appealed,
    ("Clearing", "Concluded"): _concluded,
    ("Clearing", "Reserved"): _reserved,
    ("Clearing", "Refunded"): _refunded,
    ("Clearing", "Released"): _released,
    ("Clearing", "Deposited"): _deposited,
    ("Clearing", "Withdrawn"): _withdrawn,
}
