"""The one honest number: only live agreements and recent proofs count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from peerage.flow.health import health_of
from peerage.model import (
    AgreementId,
    Code,
    MemberId,
    ObjectKind,
    PackId,
    PackKind,
    PackRecord,
    ShardLocation,
    ShardRoot,
)
from peerage.store.catalogue import Catalogue, Check, QueuedRevision

CODE = Code(2, 1)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue(tmp_path / "catalogue.sqlite")
    yield opened
    opened.close()


def agreement(n: int) -> AgreementId:
    return AgreementId(bytes([n]) * 32)


def stripe(catalogue: Catalogue, n: int, providers: tuple[int, ...]) -> None:
    """A 2+1 stripe whose shards are with `providers` (0: nobody), each under the agreement of its number."""
    shards = tuple(
        ShardLocation(i, ShardRoot(bytes([n, i]) * 16), MemberId(p), agreement(p)) for i, p in enumerate(providers)
    )
    catalogue.add_objects((s.agreement, s.root, 8, ObjectKind.SHARD) for s in shards if s.provider)
    catalogue.add_pack(PackRecord(PackId(bytes([n]) * 32), PackKind.DATA, 0, 100, CODE, 8192, shards, ()))


def sign_all(catalogue: Catalogue, sequence: int = 1) -> None:
    for a in catalogue.agreements_to_revise():
        fresh = [o.root for o in catalogue.objects(a) if o.sequence is None]
        catalogue.queue_revision(QueuedRevision(a, sequence, b"", b"", b""), fresh)


def open_agreements(catalogue: Catalogue, *numbers: int, live: bool = True) -> None:
    for n in numbers:
        catalogue.set_agreement(agreement(n), n, 1 << 30, 1000, live, 1, bytes(32))


def test_with_nothing_stored_nothing_is_at_risk(catalogue: Catalogue) -> None:
    health = health_of(catalogue)
    assert (health.health, health.total, health.shards_total) == (1.0, 0, 0)


def test_a_new_stripe_is_whole_but_not_proven(catalogue: Catalogue) -> None:
    open_agreements(catalogue, 2, 3, 4)
    stripe(catalogue, 1, (2, 3, 4))
    sign_all(catalogue)
    health = health_of(catalogue)
    assert (health.health, health.whole, health.shards_proven) == (1.0, 1, 0)


def test_a_shard_is_proven_only_by_a_recent_proof_over_a_revision_that_holds_it(catalogue: Catalogue) -> None:
    open_agreements(catalogue, 2, 3, 4)
    stripe(catalogue, 1, (2, 3, 4))
    sign_all(catalogue, 1)
    stripe(catalogue, 2, (2, 3, 4))
    sign_all(catalogue, 2)
    catalogue.set_counter("recent-from", 10)
    catalogue.add_check(agreement(2), Check(11, 1, True))
    catalogue.add_check(agreement(3), Check(11, 2, True))
    catalogue.add_check(agreement(4), Check(9, 2, True))
    assert health_of(catalogue).shards_proven == 1 + 2 + 0


@pytest.mark.parametrize(
    ("gone", "whole", "degraded", "lost", "health"),
    [((), 1, 0, 0, 1.0), ((2,), 0, 1, 0, 0.0), ((2, 3), 0, 0, 1, 0.0)],
)
def test_misses_degrade_and_lose_stripes(
    catalogue: Catalogue, gone: tuple[int, ...], whole: int, degraded: int, lost: int, health: float
) -> None:
    open_agreements(catalogue, 2, 3, 4)
    stripe(catalogue, 1, (2, 3, 4))
    for n in (2, 3, 4):
        catalogue.add_check(agreement(n), Check(11, 1, n not in gone))
    found = health_of(catalogue)
    assert (found.whole, found.degraded, found.lost, found.health) == (whole, degraded, lost, health)


def test_an_agreement_that_is_over_counts_as_nothing(catalogue: Catalogue) -> None:
    open_agreements(catalogue, 2, 3)
    open_agreements(catalogue, 4, live=False)
    stripe(catalogue, 1, (2, 3, 4))
    assert health_of(catalogue).degraded == 1


def test_a_debt_degrades(catalogue: Catalogue) -> None:
    open_agreements(catalogue, 2, 3)
    stripe(catalogue, 1, (2, 3, 0))
    health = health_of(catalogue)
    assert (health.degraded, health.shards_total) == (1, 3)


def test_health_is_a_share_of_stripes(catalogue: Catalogue) -> None:
    open_agreements(catalogue, 2, 3, 4, 5)
    stripe(catalogue, 1, (2, 3, 4))
    stripe(catalogue, 2, (2, 3, 5))
    catalogue.add_check(agreement(5), Check(11, 1, False))
    assert health_of(catalogue).health == 0.5


def test_an_old_miss_is_forgiven_by_the_next_proof(catalogue: Catalogue) -> None:
    open_agreements(catalogue, 2, 3, 4)
    stripe(catalogue, 1, (2, 3, 4))
    catalogue.add_check(agreement(2), Check(11, 1, False))
    catalogue.add_check(agreement(2), Check(12, 1, True))
    assert health_of(catalogue).whole == 1
