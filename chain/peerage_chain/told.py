"""Filling a History from the contracts' events: one small function for each kind of event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from peerage_chain.acts import (
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
from peerage_chain.codec import figures_of, removal_of, rules_of, rules_of_word, terms_of
from peerage_chain.contracts import Contracts
from peerage_chain.events import Record, read_events
from peerage_chain.history import AgreementPast, History, Recorded
from peerage_chain.quality import ProbeReport, QualityRecord
from peerage_chain.types import LIVE_STATES, AgreementId, AgreementState, Epoch, MemberId


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
