"""Between the contracts' structs (dictionaries by field name, see abi.py) and the value types of types.py. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from peerage_chain.judge import Rules
from peerage_chain.quality import Figures, ProbeReport, QualityRecord
from peerage_chain.types import (
    AgreementId,
    AgreementInfo,
    AgreementState,
    Challenge,
    Deal,
    Demand,
    DemandState,
    Docket,
    DocketState,
    Epoch,
    Loss,
    MemberId,
    MemberInfo,
    MemberStatus,
    NodeInfo,
    Offer,
    Removal,
    Sample,
    Terms,
)

Struct = Mapping[str, Any]
LEAF_SIZE = 1024
CLOSED_SIZE = 40
"""Bytes of a closed subtree in a proof: count and hash."""


def offer_of(raw: Struct) -> Offer:
    return Offer(
        capacity=raw["capacity"],
        price_per_gib_epoch=raw["pricePerGibEpoch"],
        egress_price_per_gib=raw["egressPricePerGib"],
        collateral_per_gib=raw["collateralPerGib"],
        bandwidth_kib_s=raw["bandwidthKibS"],
        min_retention_epochs=raw["minRetentionEpochs"],
        term_epochs=raw["termEpochs"],
    )


def offer_values(offer: Offer) -> tuple[int, ...]:
    """The fields of Offer in the contract's order."""
    return (
        offer.capacity,
        offer.price_per_gib_epoch,
        offer.egress_price_per_gib,
        offer.collateral_per_gib,
        offer.bandwidth_kib_s,
        offer.min_retention_epochs,
        offer.term_epochs,
    )


def member_of(raw: Struct) -> MemberInfo:
    return MemberInfo(
        id=MemberId(raw["id"]),
        account=raw["account"],
        status=MemberStatus(raw["status"]),
        legal_entity=raw["legalEntity"],
        jurisdiction=raw["jurisdiction"].rstrip(b"\0").decode("ascii", "replace"),
        name=raw["name"],
        offer=offer_of(raw["offer"]),
        nodes=tuple(
            NodeInfo(n["key"], n["certificate"], n["endpoint"], n["site"], n["expiresAt"], n["revoked"])
            for n in raw["nodes"]
        ),
    )


def terms_of(raw: Struct) -> Terms:
    return Terms(
        client=MemberId(raw["client"]),
        provider=MemberId(raw["provider"]),
        capacity=raw["capacity"],
        price_per_gib_epoch=raw["pricePerGibEpoch"],
        egress_price_per_gib=raw["egressPricePerGib"],
        collateral=raw["collateral"],
        min_bandwidth_kib_s=raw["minBandwidthKibS"],
        min_retention_epochs=raw["minRetentionEpochs"],
        start_epoch=Epoch(raw["startEpoch"]),
        end_epoch=Epoch(raw["endEpoch"]),
        open_by=Epoch(raw["openBy"]),
        salt=raw["salt"],
        renews=raw["renews"],
        quality_clause=raw["qualityClause"],
        extension=raw["extension"],
        version=raw["version"],
    )


def deal_of(raw: Struct) -> Deal:
    return Deal(
        client=MemberId(raw["client"]),
        provider=MemberId(raw["provider"]),
        capacity=raw["capacity"],
        price_per_gib_epoch=raw["pricePerGibEpoch"],
        egress_price_per_gib=raw["egressPricePerGib"],
        collateral=raw["collateral"],
        min_retention_epochs=raw["minRetentionEpochs"],
        start_epoch=Epoch(raw["startEpoch"]),
        end_epoch=Epoch(raw["endEpoch"]),
        quality_clause=raw["qualityClause"],
    )


def agreement_of(raw: Struct) -> AgreementInfo:
    return AgreementInfo(
        id=AgreementId(raw["id"]),
        terms=deal_of(raw["terms"]),
        state=AgreementState(raw["state"]),
        sequence=raw["sequence"],
        revision=raw["revision"],
        root=raw["root"],
        leaves=raw["leaves"],
        revised_epoch=Epoch(raw["revisedEpoch"]),
        settled_through=Epoch(raw["settledThrough"]),
        escrow=raw["escrow"],
        collateral=raw["collateral"],
        misses=raw["misses"],
        amendments=raw["amendments"],
        bytes_up=raw["bytesUp"],
        bytes_down=raw["bytesDown"],
    )


def rules_of(raw: Struct) -> Rules:
    """The rules that settlement depends on, from the Directory's Params."""
    return Rules(*(raw[name] for name, _, _ in _RULES))


def rules_of_word(word: int) -> Rules:
    """The same from the packed word (contracts/src/libraries/RuleSet.sol)."""
    return Rules(*(word >> shift & (1 << bits) - 1 for _, shift, bits in _RULES))


_RULES = (
    ("windowEpochs", 48, 8),
    ("failAt", 56, 8),
    ("repairEpochs", 80, 16),
    ("appealEpochs", 128, 16),
    ("decideEpochs", 144, 16),
    ("committee", 192, 8),
)


def docket_of(raw: Struct) -> Docket:
    return Docket(
        to_client=raw["toClient"],
        burned=raw["burned"],
        appeal_until=Epoch(raw["appealUntil"]),
        decide_until=Epoch(raw["decideUntil"]),
        state=DocketState(raw["state"]),
    )


def removal_of(raw: Struct) -> Removal | None:
    """The pending removal, or None: a removal has leaves."""
    return Removal(raw["objects"], raw["leaves"], Epoch(raw["ready"])) if raw["leaves"] else None


def challenge_of(raw: Struct, epoch: Epoch) -> Challenge:
    return Challenge(
        agreement=AgreementId(raw["agreement"]),
        epoch=epoch,
        due=raw["due"],
        seed=raw["seed"],
        sequence=raw["sequence"],
        root=raw["root"],
        leaves=raw["leaves"],
        indices=tuple(raw["indices"]),
    )


def loss_of(raw: Struct) -> Loss | None:
    """The loss reported last, or None: a loss has leaves."""
    if not raw["leaves"]:
        return None
    return Loss(raw["from"], raw["leaves"], Epoch(raw["since"]), Epoch(raw["until"]), raw["restored"])


def demand_of(number: int, raw: Struct) -> Demand:
    return Demand(
        number=number,
        agreement=AgreementId(raw["agreement"]),
        root=raw["root"],
        sequence=raw["sequence"],
        leaves=raw["leaves"],
        client=MemberId(raw["client"]),
        provider=MemberId(raw["provider"]),
        epoch=Epoch(raw["epoch"]),
        until=Epoch(raw["until"]),
        state=DemandState(raw["state"]),
        deposit=raw["deposit"],
        indices=tuple(raw["indices"]),
    )


def figures_of(raw: Struct) -> Figures:
    return Figures(raw["down"], raw["up"], raw["latency"], raw["availability"])


def figures_values(figures: Figures) -> tuple[int, ...]:
    """The fields of Figures in the contract's order."""
    return figures.down_kib_s, figures.up_kib_s, figures.latency_ms, figures.availability_percent


def quality_record_of(raw: Struct) -> QualityRecord | None:
    """A median record, or None: it is one of reports."""
    return QualityRecord(figures_of(raw["figures"]), raw["reports"]) if raw["reports"] else None


def probe_report_of(raw: Struct) -> ProbeReport:
    return ProbeReport(MemberId(raw["member"]), figures_of(raw["figures"]), raw["disputed"])


def leaves_in(proof: bytes) -> tuple[bytes, ...]:
    """The leaves that an accepted proof opens, ascending."""
    leaves: list[bytes] = []
    at = 0
    while at < len(proof):
        at += 1 + CLOSED_SIZE * proof[at]
        leaves.append(proof[at : at + LEAF_SIZE])
        at += LEAF_SIZE
        steps = int.from_bytes(proof[at : at + 8], "big")
        at += 8 + CLOSED_SIZE * (steps.bit_count() - 1)
    return tuple(leaves)


def proof_of(samples: Sequence[Sample]) -> bytes:
    """One tree, cut down to the samples' leaves, from left to right (node/spec/proofs.md). Samples in any order."""
    if not samples:
        return b""
    whole = _cut(samples, 0)
    return whole.begun() + whole.ended()


@dataclass(slots=True)
class _Cut:
    """A subtree's part of a proof. Closed subtrees are those of which no leaf is opened.

    text: from its first opened leaf to its last one. lefts: the closed subtrees before the first. steps: up from the
    last one, True where a closed subtree lies to the right; rights: those subtrees.
    """

    text: bytes
    lefts: bytes = b""
    steps: list[bool] = field(default_factory=list)
    rights: bytes = b""

    def begun(self) -> bytes:
        return bytes([len(self.lefts) // CLOSED_SIZE]) + self.lefts + self.text

    def ended(self) -> bytes:
        steps = sum(step << i for i, step in enumerate([*self.steps, True]))
        return steps.to_bytes(8, "big") + self.rights


def _cut(below: Sequence[Sample], depth: int) -> _Cut:
    """The part of the subtree that lies `depth` steps below the root on the way to all of these."""
    path = below[0].path
    if depth == len(path):
        return _Cut(below[0].leaf)
    hash_, leaves, _ = path[-1 - depth]
    sibling = leaves.to_bytes(8, "big") + hash_
    # To a sample that lies to the right, the sibling is the left child.
    lefts = [s for s in below if not s.path[-1 - depth][2]]
    rights = [s for s in below if s.path[-1 - depth][2]]
    if not rights:
        part = _cut(lefts, depth + 1)
        part.steps.append(True)
        part.rights += sibling
        return part
    part = _cut(rights, depth + 1)
    part.steps.append(False)
    if lefts:
        left = _cut(lefts, depth + 1)
        part.text = left.text + left.ended() + part.begun()
        part.lefts = left.lefts
    else:
        part.lefts = sibling + part.lefts
    return part
