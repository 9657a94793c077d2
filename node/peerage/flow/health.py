"""One honest number: what would survive, counting only what was proven lately."""

from __future__ import annotations

from dataclasses import dataclass

from peerage.model import AgreementId
from peerage.store.catalogue import Catalogue, Check, LocalAgreement


@dataclass(frozen=True, slots=True)
class Health:
    """health: share of stripes that would survive the loss of any one more provider, 0 to 1 (1 when there are none).

    whole: all k+m shards good; lost: fewer than k; degraded: between. A shard is good while its agreement is live and
    its last due proof was made (or none was due yet). shards_proven: covered by a proof in the last two valid epochs.
    """

    health: float
    total: int
    whole: int
    degraded: int
    lost: int
    shards_total: int
    shards_proven: int
    repaired_shards: int
    repair_bytes: int
    repair_bytes_least: int


def health_of(catalogue: Catalogue) -> Health:
    """Compute from the catalogue, which `watch` keeps up to date. Memory: the stored objects' sequences."""
    agreements = {a.id: a for a in catalogue.agreements()}
    checks = {id: catalogue.checks(id) for id in agreements}
    recent_from = catalogue.counter("recent-from")
    sequences = catalogue.object_sequences()
    good_agreements = {id for id, a in agreements.items() if is_good(a, checks[id])}
    proven_through = {id: proven_sequence(checks[id], recent_from) for id in agreements}
    total = whole = degraded = lost = safe = shards_total = shards_proven = 0
    for _, code, shards in catalogue.stripes():
        total += 1
        good = sum(1 for _, _, provider, agreement in shards if provider and agreement in good_agreements)
        whole += good == code.n
        lost += good < code.k
        degraded += code.k <= good < code.n
        safe += good > code.k
        for _, root, provider, agreement in shards:
            shards_total += 1
            sequence = sequences.get((agreement, root))
            if provider and sequence is not None and sequence <= proven_through.get(AgreementId(agreement), 0):
                shards_proven += 1
    return Health(
        health=safe / total if total else 1.0,
        total=total,
        whole=whole,
        degraded=degraded,
        lost=lost,
        shards_total=shards_total,
        shards_proven=shards_proven,
        repaired_shards=catalogue.counter("repaired-shards"),
        repair_bytes=catalogue.counter("repair-bytes"),
        repair_bytes_least=catalogue.counter("repair-bytes-least"),
    )


def is_good(agreement: LocalAgreement, checks: list[Check]) -> bool:
    """Live, and not missing its last due proof."""
    return agreement.live and (not checks or checks[0].proven)


def proven_sequence(checks: list[Check], recent_from: int) -> int:
    """The newest revision that a recent proof covers; 0 for none."""
    return max((c.sequence for c in checks if c.proven and c.epoch >= recent_from), default=0)
