"""The order of objects under signed revisions, with rivals, expiry and what may be dropped."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from peerage.model import AgreementId, Epoch, MemberId, ShardRoot
from peerage.store import refusals
from peerage.store.objects import ObjectStore, SignedRevision

ALICE = MemberId(1)
A1 = AgreementId(b"\xa1" * 32)
R = [ShardRoot(bytes([n]) * 32) for n in range(10)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    store = ObjectStore.open(tmp_path / "objects", tmp_path / "objects.sqlite", reserve_bytes=0)
    store.set_agreement(A1, ALICE, 1 << 20)
    for n, root in enumerate(R):
        with store.begin(ALICE, A1, root, 1024 * (n + 1)) as upload:
            upload.write(bytes(1024 * (n + 1)))
            upload.commit(root, n + 1, b"")
    yield store
    store.close()


def signed(sequence: int, name: str, previous: str = "", expires: int = 9) -> SignedRevision:
    def digest(name: str) -> bytes:
        return name.encode().ljust(32, b"\0")

    return SignedRevision(
        A1, sequence, digest(name), digest(previous), digest("root " + name), 5, Epoch(expires), b"bytes", b"c", b"p"
    )


def order(store: ObjectStore, sequence: int, name: str | None = None) -> list[int]:
    root = None if name is None else ("root " + name).encode().ljust(32, b"\0")
    return [leaves - 1 for _, leaves in store.objects_at(A1, sequence, root)]


def test_positions_follow_the_order_of_signing_not_of_arrival(store: ObjectStore) -> None:
    kept = store.revisions.keep(signed(1, "one"), [R[5], R[2]])
    assert (kept.object_count, kept.recorded) == (2, False)
    assert order(store, 1) == [5, 2]
    store.revisions.mark_recorded(A1, kept.digest)
    store.revisions.keep(signed(2, "two", "one"), [R[0], R[9]])
    assert order(store, 1) == [5, 2]
    assert order(store, 2) == [5, 2, 0, 9]
    assert [leaves - 1 for _, leaves in store.objects_of(A1)] == [5, 2, 0, 9, 1, 3, 4, 6, 7, 8]
    newest = store.revisions.newest(A1)
    assert newest is not None
    assert (newest.sequence, newest.object_count, newest.client_signature) == (2, 4, b"c")


def test_rivals_keep_their_own_order_until_the_chain_has_decided(store: ObjectStore) -> None:
    store.revisions.keep(signed(1, "one"), [R[1]])
    store.revisions.keep(signed(2, "two", "one"), [R[2], R[3]])
    store.revisions.keep(signed(2, "rival", "one"), [R[4], R[2]])
    store.revisions.keep(signed(3, "three", "two"), [R[5]])
    assert order(store, 2, "two") == [1, 2, 3]
    assert order(store, 2, "rival") == order(store, 2) == [1, 4, 2]
    assert order(store, 3) == [1, 2, 3, 5]
    rival = store.revisions.get(A1, b"rival".ljust(32, b"\0"))
    assert rival is not None
    for _ in range(2):  # the chain may tell it twice
        store.revisions.mark_recorded(A1, rival.digest)
        assert [(r.sequence, r.recorded) for r in store.revisions.all_of(A1)] == [(1, True), (2, True)]
        assert order(store, 2) == [1, 4, 2]
    assert store.drop_unrecorded(1 << 63 - 1) != []
    assert [leaves - 1 for _, leaves in store.objects_of(A1)] == [1, 4, 2]


def test_many_objects_can_be_removed(store: ObjectStore) -> None:
    """One after the hundredth is as dead as the first."""
    roots = [ShardRoot(bytes([1, n]) * 16) for n in range(200)]
    for root in roots:
        with store.begin(ALICE, A1, root, 1024) as upload:
            upload.write(bytes(1024))
            upload.commit(root, 1, b"")
    store.revisions.keep(signed(1, "one"), roots)
    store.mark_recorded(A1, signed(1, "one").digest)
    store.revisions.keep(signed(2, "two", "one"), [], roots[:-1])
    store.mark_recorded(A1, signed(2, "two").digest)
    store.drop_removed(A1, Epoch(1))
    assert store.drop_removed(A1, Epoch(100)) == len(roots) - 1
    assert order(store, 2) == [-1] * (len(roots) - 1) + [0]
    assert order(store, 1) == [-1] * (len(roots) - 1) + [0]


def test_removed_objects_of_version_2_are_mended(store: ObjectStore, tmp_path: Path) -> None:
    store.revisions.keep(signed(1, "one"), [R[1]])
    store.close()
    with closing(sqlite3.connect(tmp_path / "objects.sqlite")) as db:
        db.execute("UPDATE objects SET root = zeroblob(24) || x'00000000000000ff' WHERE root = ?", (R[2],))
        db.executescript("DROP TABLE reservations; DROP TABLE served")
        db.execute("PRAGMA user_version = 2")
        db.commit()
    again = ObjectStore.open(tmp_path / "objects", tmp_path / "objects.sqlite", reserve_bytes=0)
    assert (ShardRoot((255).to_bytes(32, "big")), 3) in again.objects_of(A1)
    again.close()


def test_keeping_the_same_revision_again_changes_nothing(store: ObjectStore) -> None:
    first = store.revisions.keep(signed(1, "one"), [R[1]])
    assert store.revisions.keep(signed(1, "one"), [R[1]]) == first
    with pytest.raises(refusals.RevisionConflict, match="other objects"):
        store.revisions.keep(signed(1, "one"), [R[2]])
    store.revisions.mark_recorded(A1, first.digest)
    assert store.revisions.keep(signed(1, "one"), [R[1]]).recorded


def test_what_does_not_follow_is_refused(store: ObjectStore) -> None:
    store.revisions.keep(signed(1, "one"), [R[1]])
    store.revisions.mark_recorded(A1, signed(1, "one").digest)
    keep = store.revisions.keep
    for revision, appended, reason in (
        (signed(3, "x", "one"), [], "does not follow"),
        (signed(2, "x", "nothing"), [], "does not follow"),
        (signed(2, "x"), [], "does not follow"),
        (signed(1, "x"), [], "too old: 1 is recorded"),
        (signed(2, "x", "one"), [R[1]], "listed already"),
        (signed(2, "x", "one"), [R[2], R[2]], "listed already"),
    ):
        with pytest.raises(refusals.RevisionConflict, match=reason):
            keep(revision, appended)
    keep(signed(2, "two", "one"), [R[3]])
    with pytest.raises(refusals.RevisionConflict, match="listed already"):
        keep(signed(3, "x", "two"), [R[3]])
    with pytest.raises(refusals.UnknownObject, match="put it again"):
        keep(signed(2, "x", "one"), [ShardRoot(b"\xff" * 32)])
    with pytest.raises(refusals.RevisionConflict, match="not held here"):
        store.revisions.mark_recorded(A1, b"?" * 32)
    with pytest.raises(refusals.RevisionConflict, match="not held here"):
        store.objects_at(A1, 7)
    other = AgreementId(bytes(32))
    with pytest.raises(refusals.UnknownAgreement):
        keep(SignedRevision(other, 1, b"", bytes(32), b"", 0, Epoch(0), b"", b"", b""), [])


def test_recording_a_later_revision_records_those_it_was_built_on(store: ObjectStore) -> None:
    store.revisions.keep(signed(1, "one"), [R[3]])
    store.revisions.keep(signed(2, "two", "one"), [R[1]])
    store.revisions.mark_recorded(A1, signed(2, "two").digest)
    assert [r.recorded for r in store.revisions.all_of(A1)] == [True, True]
    assert order(store, 2) == [3, 1]


def test_an_expired_revision_goes_with_what_was_built_on_it(store: ObjectStore) -> None:
    store.revisions.keep(signed(1, "one", expires=5), [R[1]])
    store.revisions.mark_recorded(A1, signed(1, "one").digest)
    store.revisions.keep(signed(2, "two", "one", expires=6), [R[2]])
    store.revisions.keep(signed(3, "three", "two", expires=9), [R[3]])
    store.revisions.keep(signed(2, "rival", "one", expires=7), [R[4]])
    assert store.revisions.drop_expired(A1, Epoch(6)) == 0
    assert store.revisions.drop_expired(A1, Epoch(7)) == 2
    assert [r.sequence for r in store.revisions.all_of(A1)] == [1, 2]
    assert order(store, 2) == [1, 4]
    store.revisions.keep(signed(3, "again", "rival"), [R[2], R[3]])  # free to be listed once more


def test_only_what_no_revision_lists_is_dropped(store: ObjectStore, tmp_path: Path) -> None:
    store.revisions.keep(signed(1, "one"), [R[1]])
    store.revisions.mark_recorded(A1, signed(1, "one").digest)
    store.revisions.keep(signed(2, "two", "one"), [R[2]])
    store.revisions.keep(signed(2, "rival", "one"), [R[3]])
    assert store.drop_unrecorded(older_than_ns=1) == [], "not before the time-out"
    dropped = store.drop_unrecorded(older_than_ns=1 << 62)
    assert {root for _, root in dropped} == set(R) - {R[1], R[2], R[3]}
    assert {p.name for p in (tmp_path / "objects" / A1.hex()).iterdir()} == {r.hex() for r in R[1:4]}
    assert store.usage().used_bytes == (2 + 3 + 4) * 1024
    with pytest.raises(refusals.UnknownObject, match="put it again"):
        store.revisions.keep(signed(3, "three", "two"), [R[5]])


def test_signed_revisions_survive_a_restart(store: ObjectStore, tmp_path: Path) -> None:
    store.revisions.keep(signed(1, "one"), [R[7], R[1]])
    store.close()
    again = ObjectStore.open(tmp_path / "objects", tmp_path / "objects.sqlite", reserve_bytes=0)
    assert order(again, 1) == [7, 1]
    again.revisions.mark_recorded(A1, signed(1, "one").digest)
    assert order(again, 1) == [7, 1]
    again.close()


def test_a_removed_object_keeps_its_place_and_its_bytes_while_they_may_be_asked_for(
    store: ObjectStore, tmp_path: Path
) -> None:
    store.revisions.keep(signed(1, "one"), [R[1], R[2], R[3]])
    store.mark_recorded(A1, signed(1, "one").digest)
    before = store.usage().used_bytes
    store.revisions.keep(signed(2, "two", "one"), [], [R[2]])
    assert order(store, 2) == [1, -1, 3]
    assert order(store, 1) == [1, 2, 3]
    assert [leaves - 1 for _, leaves in store.objects_of(A1)] == [1, -1, 3, 4, 5, 6, 7, 8, 9]
    store.mark_recorded(A1, signed(2, "two").digest)
    assert order(store, 1) == [1, 2, 3], "a challenge may still be over it"
    assert store.usage().used_bytes == before - 3 * 1024
    with pytest.raises(refusals.RevisionConflict, match="being removed"):
        store.begin(ALICE, A1, R[2], 3 * 1024)
    assert [store.drop_removed(A1, Epoch(e)) for e in (7, 8, 9)] == [0, 0, 0]
    with store.open_in(A1, R[2]) as reader:
        assert reader.size == 3 * 1024
    assert store.drop_removed(A1, Epoch(10)) == 1
    assert store.drop_removed(A1, Epoch(11)) == 0
    with pytest.raises(refusals.UnknownObject):
        store.open_in(A1, R[2])
    store.close()
    again = ObjectStore.open(tmp_path / "objects", tmp_path / "objects.sqlite", reserve_bytes=0)
    assert again.reconciliation.missing == ()
    assert again.damaged() == []
    assert order(again, 2) == [1, -1, 3]
    assert again.usage().used_bytes == before - 3 * 1024
    with again.begin(ALICE, A1, R[2], 3 * 1024) as upload:  # as good as new
        upload.write(bytes(3 * 1024))
        upload.commit(R[2], 3, b"")
    again.revisions.keep(signed(3, "three", "two"), [R[2]])
    assert order(again, 3) == [1, -1, 3, 2]
    again.close()


def test_only_what_is_there_can_be_removed(store: ObjectStore) -> None:
    store.revisions.keep(signed(1, "one"), [R[1]])
    store.mark_recorded(A1, signed(1, "one").digest)
    for removed in ([R[2]], [R[1], R[1]], [ShardRoot(bytes(32))]):
        with pytest.raises(refusals.RevisionConflict, match="is not in revision 1"):
            store.revisions.keep(signed(2, "two", "one"), [], removed)
    store.revisions.keep(signed(2, "two", "one"), [], [R[1]])
    with pytest.raises(refusals.RevisionConflict, match="is not in revision 2"):
        store.revisions.keep(signed(3, "three", "two"), [], [R[1]])
    with pytest.raises(refusals.RevisionConflict, match="other objects"):
        store.revisions.keep(signed(2, "two", "one"), [], [])
