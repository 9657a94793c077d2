"""How good each provider is, for placement and ranking: the chain's median records, and what this node saw itself."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peerage.deal.policy import Take
from peerage.deal.ranking import UNKNOWN
from peerage.flow.context import NodeContext
from peerage.model import AgreementId, MemberId
from peerage.store.catalogue import Catalogue
from peerage.store.measures import Measures, Rates
from peerage_chain.quality import QualityRecord
from peerage_chain.types import Epoch

RECORDS_KEPT = 16
"""Epochs that are looked at; older ones say little about now."""
LOWEST = 0.01
ENOUGH_RECORDS = 3
_COUNTER = "quality:"
_BELOW = "below-floor-since:"
_ABOVE = "above-floor-since:"
_SIGNED = "signed-kib-s:"
_SCALE = 10_000


def quality_of(catalogue: Catalogue, member: MemberId) -> float:
    """How good a provider is, 0 to 1, as known at the last look; a provider of the usual speed has 1."""
    known = known_quality(catalogue, member)
    return UNKNOWN if known is None else known


def known_quality(catalogue: Catalogue, member: MemberId) -> float | None:
    """The same, None for a member of whom nothing is known."""
    kept = catalogue.counter(f"{_COUNTER}{member}")
    return kept / _SCALE if kept else None


async def refresh_quality(context: NodeContext, measures: Measures) -> dict[MemberId, float]:
    """Read the newest records of all members, and note each one's quality in the catalogue."""
    records = await read_records(context)
    qualities = judge(records, measures.rates())
    now = (await context.ledger.now()).epoch
    signed = _signed_kib_s(context.catalogue)
    for member in records:
        below = _is_below(context.policy().take, qualities.get(member), records[member], signed.get(member, 0))
        _note_floor(context, member, below, now)
        kept = qualities.get(member)
        value = 0 if kept is None else max(1, round(kept * _SCALE))
        if context.catalogue.counter(f"{_COUNTER}{member}") != value:
            context.catalogue.set_counter(f"{_COUNTER}{member}", value)
    return qualities


def below_since(catalogue: Catalogue, member: MemberId) -> int:
    """The epoch from which on a provider has been below the policy's floor; 0 if it is not, or no longer.

    Who swings around the floor stays below it: it must have been above for half of `take.replace_after_epochs`.
    """
    return catalogue.counter(f"{_BELOW}{member}")


def is_recovering(catalogue: Catalogue, member: MemberId) -> bool:
    """Whether a provider with a `below_since` was above the floor at the last look."""
    return bool(catalogue.counter(f"{_ABOVE}{member}"))


def note_signed(catalogue: Catalogue, agreement: AgreementId, kib_s: int) -> None:
    """Keep the bandwidth that a provider signed for: the chain keeps only the digest of that."""
    catalogue.set_counter(f"{_SIGNED}{agreement.hex()}", kib_s)


def _signed_kib_s(catalogue: Catalogue) -> dict[MemberId, int]:
    """The bandwidth that each provider signed for and still owes, as far as it is known."""
    signed: dict[MemberId, int] = {}
    for agreement in catalogue.agreements():
        if agreement.live:
            kib_s = catalogue.counter(f"{_SIGNED}{agreement.id.hex()}")
            signed[agreement.provider] = max(signed.get(agreement.provider, 0), kib_s)
    return signed


def _is_below(take: Take, known: float | None, records: Sequence[QualityRecord | None], signed_kib_s: int) -> bool:
    """Below the policy's floor, or slower than what was signed, whatever the policy asks for by now.

    Speed counts by the median of the epochs that were measured, once there are enough of them.
    """
    found = [min(r.figures.down_kib_s, r.figures.up_kib_s) for r in records if r is not None]
    slow = len(found) >= ENOUGH_RECORDS and statistics.median(found) < max(take.min_bandwidth_kib_s, signed_kib_s)
    return slow or (known is not None and 100 * known < take.min_quality_percent)


def _note_floor(context: NodeContext, member: MemberId, below: bool, now: Epoch) -> None:
    catalogue = context.catalogue
    known = since, above = below_since(catalogue, member), catalogue.counter(f"{_ABOVE}{member}")
    if below:
        since, above = since or max(1, now), 0
    elif since and not above:
        above = max(1, now)
    elif since and now - above >= (context.policy().take.replace_after_epochs + 1) // 2:
        since, above = 0, 0
    if (since, above) != known:
        catalogue.set_counter(f"{_BELOW}{member}", since)
        catalogue.set_counter(f"{_ABOVE}{member}", above)


async def read_records(context: NodeContext) -> Mapping[MemberId, Sequence[QualityRecord | None]]:
    """The records of the last RECORDS_KEPT whole epochs of every other member, oldest first."""
    now = (await context.ledger.now()).epoch
    members = [m.id for m in await context.ledger.roster() if m.id != context.member and m.nodes]
    return await context.ledger.quality_records(members, Epoch(max(0, now - RECORDS_KEPT)), Epoch(now))


def judge(
    records: Mapping[MemberId, Sequence[QualityRecord | None]], rates: Mapping[MemberId, Rates]
) -> dict[MemberId, float]:
    """Each known member's quality: its speed as part of the usual one, times its availability. Pure.

    The speed is the geometric mean of both ways; the usual one the median over the members. Where the chain and our own
    transfers both tell a speed, the mean of the two counts.
    """
    told: dict[MemberId, float] = {}
    answered: dict[MemberId, float] = {}
    for member, kept in records.items():
        found = [record.figures for record in kept if record is not None]
        if not found:
            continue
        down = statistics.median(f.down_kib_s for f in found)
        up = statistics.median(f.up_kib_s for f in found)
        told[member] = math.sqrt(down * up)
        answered[member] = statistics.fmean(f.availability_percent for f in found) / 100
    seen = {
        member: math.sqrt(rate.down_kib_s * rate.up_kib_s)
        for member, rate in rates.items()
        if rate.down_kib_s is not None and rate.up_kib_s is not None
    }
    by_chain, by_us = _relative(told), _relative(seen)
    return {
        member: max(
            LOWEST,
            statistics.fmean(part[member] for part in (by_chain, by_us) if member in part) * answered.get(member, 1.0),
        )
        for member in by_chain.keys() | by_us.keys()
    }


def _relative(speeds: Mapping[MemberId, float]) -> dict[MemberId, float]:
    """Each speed as part of the usual one, at most 1."""
    usual = statistics.median(speeds.values()) if speeds else 0.0
    return {member: min(1.0, speed / usual) if usual else 1.0 for member, speed in speeds.items()}


async def quality(context: NodeContext, measures: Measures) -> dict[str, Any]:
    """What --json shows."""
    records = await read_records(context)
    rates = measures.rates()
    qualities = judge(records, rates)
    names = {m.id: m.name for m in await context.ledger.roster()}
    first = (await context.ledger.now()).epoch - max((len(kept) for kept in records.values()), default=0)
    return {
        "providers": [
            {
                "member": member,
                "name": names.get(member, ""),
                "quality": round(qualities.get(member, UNKNOWN), 4),
                "known": member in qualities,
                "seen": _seen(rates.get(member, Rates(None, None))),
                "records": list(_shown(kept, first)),
            }
            for member, kept in sorted(records.items())
        ]
    }


def _seen(rates: Rates) -> dict[str, int | None]:
    return {"down_kib_s": rates.down_kib_s, "up_kib_s": rates.up_kib_s}


def _shown(kept: Sequence[QualityRecord | None], first: int) -> Iterable[dict[str, int]]:
    for epoch, record in enumerate(kept, first):
        if record is not None:
            yield {
                "epoch": epoch,
                "reports": record.reports,
                "down_kib_s": record.figures.down_kib_s,
                "up_kib_s": record.figures.up_kib_s,
                "latency_ms": record.figures.latency_ms,
                "availability_percent": record.figures.availability_percent,
            }
