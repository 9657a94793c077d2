"""Between the contracts' structs (dictionaries by field name, see abi.py) and the value types of types.py. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peerage_chain.types import (
    AgreementId,
    AgreementInfo,
    AgreementState,
    Challenge,
    Epoch,
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


def agreement_of(raw: Struct) -> AgreementInfo:
    return AgreementInfo(
        id=AgreementId(raw["id"]),
        terms=terms_of(raw["terms"]),
        state=AgreementState(raw["state"]),
        opened_epoch=Epoch(raw["openedEpoch"]),
        sequence=raw["sequence"],
        revision=raw["revision"],
        root=raw["root"],
        leaves=raw["leaves"],
        revised_epoch=Epoch(raw["revisedEpoch"]),
        settled_through=Epoch(raw["settledThrough"]),
        escrow=raw["escrow"],
        collateral=raw["collateral"],
        misses=raw["misses"],
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


def sample_values(sample: Sample) -> tuple[bytes, tuple[bytes, ...], tuple[int, ...], int]:
    """A sample as the contract takes it: (leaf, siblings, counts, bitmap of the siblings that are left children)."""
    lefts = sum(1 << level for level, (_, _, is_left) in enumerate(sample.path) if is_left)
    return sample.leaf, tuple(h for h, _, _ in sample.path), tuple(n for _, n, _ in sample.path), lefts


def possession_values(agreement: AgreementId, samples: Sequence[Sample]) -> tuple[bytes, tuple[Any, ...]]:
    """One agreement's answer as the contract takes it."""
    return agreement, tuple(sample_values(s) for s in samples)
