"""The catalogue's promises: what is recorded together, and what is refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from peerage.errors import LocalFault, UnknownVersion
from peerage.model import (
    AgreementId,
    BlobEntry,
    BlobKind,
    ChunkId,
    Code,
    MemberId,
    ObjectKind,
    PackId,
    PackKind,
    PackRecord,
    ShardLocation,
    ShardRoot,
)
from peerage.store.catalogue import Catalogue, Check, FileState, QueuedRevision
from peerage.store.rows import Opening

A = AgreementId(b"\xaa" * 32)


def pack(n: int, providers: tuple[int, ...], blobs: int = 2) -> PackRecord:
    shards = tuple(ShardLocation(i, ShardRoot(bytes([n, i]) * 16), MemberId(p), A) for i, p in enumerate(providers))
    entries = tuple(
        BlobEntry(ChunkId(bytes([n, 0xF0 + i]) * 16), BlobKind.DATA, i, 40 + 100 * i, 100, 84) for i in range(blobs)
    )
    return PackRecord(PackId(bytes([n]) * 32), PackKind.DATA, 0, 500, Code(2, 1), 1024, shards, entries)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "c.sqlite")


def test_a_pack_comes_back_as_it_was(catalogue: Catalogue) -> None:
    record = pack(1, (2, 3, 4))
    catalogue.add_pack(record)
    no = catalogue.unindexed()[0]
    assert catalogue.pack(no, blobs=True) == record
    assert catalogue.locate(record.blobs[1].id) == (no, record.blobs[1])
    assert catalogue.locate(ChunkId(bytes(32))) is None


def test_a_later_record_without_blobs_moves_shards_and_keeps_blobs(catalogue: Catalogue) -> None:
    catalogue.add_pack(pack(1, (2, 3, 4)), indexed=True)
    catalogue.add_pack(pack(1, (2, 7, 4), blobs=0), indexed=True)
    [no] = catalogue.pack_numbers()
    found = catalogue.pack(no, blobs=True)
    assert [s.provider for s in found.shards] == [2, 7, 4]
    assert len(found.blobs) == 2


def test_a_moved_shard_waits_for_the_index(catalogue: Catalogue) -> None:
    catalogue.add_pack(pack(1, (2, 3, 4)), indexed=True)
    [no] = catalogue.pack_numbers()
    assert catalogue.moved() == []
    catalogue.move_shard(no, ShardLocation(1, ShardRoot(b"x" * 32), MemberId(9), A), 8)
    assert catalogue.moved() == [no]
    assert catalogue.pack(no).shards[1].provider == 9
    catalogue.mark_indexed([no])
    assert catalogue.moved() == []


def test_a_revision_places_its_objects_and_a_dropped_one_frees_them(catalogue: Catalogue) -> None:
    one, two, three = (ShardRoot(bytes([i]) * 32) for i in (1, 2, 3))
    catalogue.add_objects((A, r, 8, ObjectKind.SHARD) for r in (one, two))
    catalogue.queue_revision(QueuedRevision(A, 1, b"r1", b"c", b"p"), [two, one])
    catalogue.drop_revision(A, 1, recorded=True)
    catalogue.add_objects([(A, three, 8, ObjectKind.SHARD)])
    catalogue.queue_revision(QueuedRevision(A, 2, b"r2", b"c", b"p"), [three])
    assert [(o.root, o.sequence) for o in catalogue.objects(A)] == [(two, 1), (one, 1), (three, 2)]
    catalogue.drop_revision(A, 2, recorded=False)
    assert [(o.root, o.sequence) for o in catalogue.objects(A)] == [(two, 1), (one, 1), (three, None)]
    assert catalogue.queued_revisions() == []


def test_states_of_a_run_that_never_ended_are_not_trusted(catalogue: Catalogue) -> None:
    run, untrusted = catalogue.begin_run()
    catalogue.set_file_states([(b"/a", FileState(1, 2, 3, 4, 5, 0, b"", run))])
    assert untrusted == set()
    again, untrusted = catalogue.begin_run()
    assert run in untrusted
    catalogue.end_run(again)
    assert again not in catalogue.begin_run()[1]


def test_checks_are_newest_first_and_bounded(catalogue: Catalogue) -> None:
    for epoch in range(100):
        catalogue.add_check(A, Check(epoch, 1, epoch % 2 == 0))
    assert [c.epoch for c in catalogue.checks(A, 3)] == [99, 98, 97]
    assert len(catalogue.checks(A, 1000)) <= 65


def test_a_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    Catalogue(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(UnknownVersion, match="99"):
        Catalogue(path)


def test_an_older_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    before = Catalogue(path)
    before.set_agreement(A, 2, 1 << 30, 1000, True, 1, bytes(32))
    before.close()
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE openings")
        db.execute("PRAGMA user_version=2")
    db.close()
    catalogue = Catalogue(path)
    catalogue.add_opening(Opening(A, 20, b"terms", b"ours", b"theirs"), 12)
    assert catalogue.opening(A) == Opening(A, 20, b"terms", b"ours", b"theirs")
    assert [a.id for a in catalogue.agreements()] == [A]
    other = AgreementId(bytes([9]) * 32)
    catalogue.add_opening(Opening(other, 40, b"", b"", b""), 21)
    assert catalogue.opening(A) is None, "its time is over"
    catalogue.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(LocalFault, match=r"c\.sqlite"):
        Catalogue(path)


def test_the_file_is_private(tmp_path: Path) -> None:
    Catalogue(tmp_path / "c.sqlite").close()
    assert (tmp_path / "c.sqlite").stat().st_mode & 0o077 == 0
