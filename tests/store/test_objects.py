"""The object store as a provider uses it: room, durability, order, ownership, and disks and processes that fail."""

import errno
import hashlib
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from peerage.errors import IntegrityError, LocalFault, UnknownVersion
from peerage.model import AgreementId, Epoch, MemberId, ObjectKind, ShardRoot
from peerage.ports import Buffer
from peerage.store import refusals
from peerage.store.objects import ObjectStore, SignedRevision

KIB = 1024
ALICE, BOB = MemberId(1), MemberId(2)
A1, A2 = AgreementId(b"\xa1" * 32), AgreementId(b"\xa2" * 32)


def root_of(data: bytes) -> ShardRoot:
    """The store takes the caller's word for a root, so any 32 bytes serve here."""
    return ShardRoot(hashlib.sha256(data).digest())


def data_of(n: int, leaves: int = 4) -> bytes:
    return n.to_bytes(4, "big") * (leaves * KIB // 4)


def put(
    store: ObjectStore,
    n: int,
    agreement: AgreementId = A1,
    owner: MemberId = ALICE,
    leaves: int = 4,
    kind: ObjectKind = ObjectKind.SHARD,
    number: int = 0,
) -> ShardRoot:
    data = data_of(n, leaves)
    root = root_of(data)
    with store.begin(owner, agreement, root, len(data)) as upload:
        for i in range(0, len(data), 1000):
            upload.write(data[i : i + 1000])
        upload.commit(root, leaves, b"sub" + root, kind, 0, number)
    return root


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    store = open_store(tmp_path)
    store.set_agreement(A1, ALICE, 100 * KIB)
    store.set_agreement(A2, BOB, 100 * KIB)
    yield store
    store.close()


def open_store(path: Path) -> ObjectStore:
    return ObjectStore.open(path / "objects", path / "objects.sqlite", reserve_bytes=0)


def files(path: Path) -> list[str]:
    return sorted(p.name for p in (path / "objects").rglob("*") if p.is_file())


def revision(
    sequence: int, digest: int, previous: int = 0, agreement: AgreementId = A1, expires: int = 9
) -> SignedRevision:
    return SignedRevision(
        agreement, sequence, bytes([digest]) * 32, bytes([previous]) * 32, bytes([digest]) * 32, 8, Epoch(expires),
        b"revision", b"client", b"provider",
    )  # fmt: skip


def test_what_is_stored_is_read_back_by_its_owner_only(store: ObjectStore) -> None:
    root = put(store, 1)
    assert store.has(A1, root)
    assert not store.has(A2, root)
    assert store.read(ALICE, root, 0, 4 * KIB) == data_of(1)
    assert store.read(ALICE, root, 5, 7) == data_of(1)[5:12]
    assert store.subroots(A1, root) == b"sub" + root
    assert store.leaves(A1, [root]) == [4]
    with pytest.raises(refusals.UnknownObject):
        store.read(BOB, root, 0, 1)
    with pytest.raises(refusals.UnknownObject):
        store.leaves(A1, [root, ShardRoot(bytes(32))])
    with pytest.raises(ValueError, match="outside the object"):
        store.read(ALICE, root, 4 * KIB - 1, 2)
    with store.open_in(A1, root) as reader:
        assert os.pread(reader.fileno(), 4, 0) == data_of(1)[:4]


def test_it_is_all_still_there_after_a_restart(store: ObjectStore, tmp_path: Path) -> None:
    root, head = put(store, 1), put(store, 2, kind=ObjectKind.HEAD, number=7)
    store.revisions.keep(revision(1, 1), [root])
    store.close()
    again = open_store(tmp_path)
    assert again.read(ALICE, root, 0, 4) == data_of(1)[:4]
    assert again.heads_of(ALICE, 0) == [(7, head, 4 * KIB)]
    assert again.objects_of(A1) == [(root, 4), (head, 4)]
    assert again.usage(agreement=A1).used_bytes == 8 * KIB
    assert again.agreements() == {A1: ALICE, A2: BOB}
    assert (again.reconciliation.unfinished, again.reconciliation.strays, again.reconciliation.missing) == (0, 0, ())
    again.close()


def test_over_capacity_is_refused_before_any_byte(store: ObjectStore, tmp_path: Path) -> None:
    put(store, 1, leaves=60)
    with pytest.raises(
        refusals.OverCapacity, match="45056 bytes are more than the 40960 left of the agreement's 102400"
    ):
        store.begin(ALICE, A1, root_of(b""), 44 * KIB)
    with store.begin(ALICE, A1, root_of(data_of(2, 40)), 40 * KIB) as reserved:
        with pytest.raises(refusals.OverCapacity):
            store.begin(ALICE, A1, root_of(b"3"), KIB)
        assert store.usage(agreement=A1).used_bytes == 100 * KIB
        assert reserved.written == 0
    assert store.usage(agreement=A1).used_bytes == 60 * KIB, "an upload that ends gives its room back"
    put(store, 1, leaves=60)  # a client that lost the receipt may always put the same object again
    assert len(files(tmp_path)) == 1
    assert store.usage(ALICE) == store.usage(agreement=A1)
    assert store.usage().capacity_bytes == 200 * KIB


@pytest.mark.parametrize("size", [0, -KIB, 1, KIB + 1])
def test_an_impossible_size_is_refused(store: ObjectStore, size: int) -> None:
    with pytest.raises(refusals.BadObject):
        store.begin(ALICE, A1, root_of(b""), size)


def test_strangers_and_unknown_agreements_are_refused(store: ObjectStore) -> None:
    for owner, agreement in ((BOB, A1), (ALICE, A2), (ALICE, AgreementId(bytes(32)))):
        with pytest.raises(refusals.UnknownAgreement):
            store.begin(owner, agreement, root_of(b""), KIB)


def test_bytes_that_are_not_what_was_announced_do_not_count(store: ObjectStore, tmp_path: Path) -> None:
    root = root_of(b"x")
    with store.begin(ALICE, A1, root, KIB) as upload, pytest.raises(refusals.BadObject, match="more bytes"):
        upload.write(bytes(KIB + 1))
    for written, leaves, claimed in ((KIB - 1, 1, root), (KIB, 2, root), (KIB, 1, root_of(b"other"))):
        with store.begin(ALICE, A1, root, KIB) as upload:
            upload.write(bytes(written))
            with pytest.raises(refusals.BadObject):
                upload.commit(claimed, leaves, b"")
            with pytest.raises(refusals.BadObject, match="ended"):
                upload.write(b"")
    with store.begin(ALICE, A1, root, KIB) as upload:
        upload.write(bytes(KIB))
    assert store.objects_of(A1) == []
    assert files(tmp_path) == []
    assert store.usage().used_bytes == 0


def test_many_commits_at_once_share_their_fsyncs_and_all_count(store: ObjectStore, tmp_path: Path) -> None:
    batches: list[int] = []
    inner = store._commits._carry_out
    store._commits._carry_out = lambda items: batches.append(len(items)) or inner(items)  # type: ignore[func-returns-value]
    with ThreadPoolExecutor(16) as pool:
        roots = list(pool.map(lambda n: put(store, n % 20), range(80)))  # every object four times, at once
    assert sorted(files(tmp_path)) == sorted({r.hex() for r in roots})
    assert len(store.objects_of(A1)) == 20
    assert store.usage(agreement=A1).used_bytes == 80 * KIB
    assert sum(batches) == 80
    assert len(batches) < 80, "no two commits were ever batched"


class FailingDisk:
    def __init__(self, room: int, code: int) -> None:
        self.room, self.code = room, code

    def write(self, fd: int, piece: Buffer) -> int:
        if self.room == 0:
            raise OSError(self.code, os.strerror(self.code))
        count = os.write(fd, memoryview(piece)[: self.room])
        self.room -= count
        return count


@pytest.mark.parametrize(
    ("code", "expected"),
    [(errno.ENOSPC, refusals.DiskFull), (errno.EDQUOT, refusals.DiskFull), (errno.EIO, LocalFault)],
)
def test_a_disk_that_fails_in_the_middle_keeps_nothing_of_the_object(
    tmp_path: Path, code: int, expected: type[LocalFault]
) -> None:
    disk = FailingDisk(5 * KIB, code)
    store = ObjectStore(tmp_path / "objects", tmp_path / "objects.sqlite", 0, disk.write)
    store.set_agreement(A1, ALICE, 100 * KIB)
    first = put(store, 1)
    with pytest.raises(expected) as caught:
        put(store, 2)
    assert "\n" not in str(caught.value)
    assert disk.room == 0, "the fault was not exercised"
    assert files(tmp_path) == [first.hex()]
    assert store.usage().used_bytes == 4 * KIB
    disk.room = 1 << 20
    put(store, 2)
    store.close()


def test_a_disk_that_is_full_for_the_index_keeps_nothing_of_the_object(store: ObjectStore, tmp_path: Path) -> None:
    kept = put(store, 1)
    (pages,) = store._index.one("PRAGMA page_count")
    store._index._write.execute(f"PRAGMA max_page_count = {pages}")
    stored = []
    with pytest.raises(refusals.DiskFull):  # noqa: PT012 - a page holds more than one row
        for n in range(2, 100):
            stored.append(put(store, n, leaves=1))
    assert files(tmp_path) == sorted(r.hex() for r in [kept, *stored])
    assert store.usage().used_bytes == 4 * KIB + len(stored) * KIB
    store._index._write.execute("PRAGMA max_page_count = 100000")
    put(store, 999)


def test_a_folder_that_cannot_be_made_durable_keeps_nothing_new(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = put(store, 1)

    def fsync(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        for n in (1, 2):
            with pytest.raises(LocalFault, match=r"cannot be written \(Input/output error\)"):
                put(store, n)
    assert files(tmp_path) == [kept.hex()]
    assert [root for root, _ in store.objects_of(A1)] == [kept]
    assert store.read(ALICE, kept, 0, 4) == data_of(1)[:4]


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a file system needs root")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    try:
        store = open_store(disk)
        store.set_agreement(A1, ALICE, 100 << 20)
        kept = put(store, 1, leaves=1024)
        with pytest.raises(refusals.DiskFull, match="no room for 8388608 bytes"):
            store.begin(ALICE, A1, root_of(b"big"), 8 << 20)
        stored = [put(store, 2, leaves=1024), put(store, 3, leaves=1024)]
        with pytest.raises(refusals.DiskFull):
            put(store, 4, leaves=1024)
        free = store._free_bytes()
        upload = store.begin(ALICE, A1, root_of(b"z"), free // KIB * KIB)
        (disk / "somebody-else").write_bytes(bytes(free // 2))
        with pytest.raises(refusals.DiskFull, match="nothing of it was kept"):
            upload.write(bytes(free // KIB * KIB))
        (disk / "somebody-else").unlink()
        put(store, 99)
        assert files(disk) == sorted(r.hex() for r in [kept, *stored, root_of(data_of(99))])
        store.close()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_no_promise_beyond_the_disk(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    free = store.room_bytes()
    store.set_agreement(A1, ALICE, 1 << 30)
    assert store.room_bytes() == pytest.approx(free - (1 << 30), abs=512 << 20)
    store.set_agreement(A1, ALICE, 1 << 60)
    assert store.room_bytes() == 0
    store.close()


KILLED = """
import os, sys, threading
from pathlib import Path
sys.path[:0] = {paths!r}
from tests_store_objects import *
store = open_store(Path({home!r}))
store.set_agreement(A1, ALICE, 1 << 30)
def work(k):
    for n in range(k, 100_000, 4):
        root = put(store, n)
        os.write(1, root)
for k in range(4):
    threading.Thread(target=work, args=(k,), daemon=True).start()
threading.Event().wait()
"""


def test_what_was_acknowledged_survives_a_kill_and_nothing_else_is_left(tmp_path: Path) -> None:
    """kill -9 at some point of many concurrent uploads, several times on one store."""
    (tmp_path / "tests_store_objects.py").write_text(Path(__file__).read_text())
    acknowledged: set[str] = set()
    for amount in (1, 40, 333):
        code = textwrap.dedent(KILLED).format(paths=[str(tmp_path), *sys.path], home=str(tmp_path))
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert process.stdout is not None
        acknowledged |= {process.stdout.read(32).hex() for _ in range(amount)}
        process.kill()
        rest = process.stdout.read()
        acknowledged |= {rest[i : i + 32].hex() for i in range(0, len(rest) - len(rest) % 32, 32)}
        process.wait()
        process.stdout.close()
        store = open_store(tmp_path)
        listed = {root.hex() for root, _ in store.objects_of(A1)}
        assert acknowledged <= listed
        assert files(tmp_path) == sorted(listed)
        assert store.reconciliation.missing == ()
        assert store.usage().used_bytes == len(listed) * 4 * KIB
        for root in listed:
            data = store.read(ALICE, ShardRoot(bytes.fromhex(root)), 0, 4 * KIB)
            assert root_of(data).hex() == root
        store.close()


def test_start_up_tidies_what_a_crash_left(store: ObjectStore, tmp_path: Path) -> None:
    kept, lost, cut = put(store, 1), put(store, 2), put(store, 3)
    folder = tmp_path / "objects" / A1.hex()
    store.close()
    (tmp_path / "objects" / "incoming" / "17").write_bytes(b"half")
    (folder / root_of(b"stray").hex()).write_bytes(b"never counted")
    (folder / "README").write_bytes(b"not ours")
    (folder / lost.hex()).rename(tmp_path / "away")
    os.truncate(folder / cut.hex(), 100)
    again = open_store(tmp_path)
    assert again.reconciliation.unfinished == 1
    assert again.reconciliation.strays == 1
    assert set(again.reconciliation.missing) == {(A1, lost), (A1, cut)}
    assert set(again.damaged()) == {(A1, lost), (A1, cut)}
    assert [root for root, _ in again.objects_of(A1)] == [kept, lost, cut], "damage does not change the tree"
    for root in (lost, cut):
        assert not again.has(A1, root)
        with pytest.raises(IntegrityError):
            again.open_object(ALICE, root)
    put(again, 3)  # its owner puts it again
    again.mark_damaged(A1, kept)
    again.close()
    (tmp_path / "away").rename(folder / lost.hex())  # the disk is back
    third = open_store(tmp_path)
    assert third.damaged() == [(A1, kept)], "bytes known to be wrong stay so whatever the file's size"
    assert third.has(A1, lost)
    assert third.has(A1, cut)
    assert (folder / "README").exists()
    third.close()


def test_a_lost_index_destroys_nothing(store: ObjectStore, tmp_path: Path) -> None:
    put(store, 1)
    store.close()
    for path in tmp_path.glob("objects.sqlite*"):
        path.unlink()
    for _ in range(2):
        with pytest.raises(IntegrityError, match="holds 1 objects but their index"):
            open_store(tmp_path)
    assert len(files(tmp_path)) == 1


def test_a_newer_index_is_refused_by_version(store: ObjectStore, tmp_path: Path) -> None:
    store.close()
    db = sqlite3.connect(tmp_path / "objects.sqlite")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(UnknownVersion, match="schema 99, this release knows 5"):
        open_store(tmp_path)


def test_heads_are_listed_newest_first(store: ObjectStore) -> None:
    old = put(store, 1, kind=ObjectKind.HEAD, number=3)
    new = put(store, 2, kind=ObjectKind.HEAD, number=12)
    put(store, 3)
    put(store, 4, A2, BOB, kind=ObjectKind.HEAD, number=99)
    assert store.heads_of(ALICE, 0) == [(12, new, 4 * KIB), (3, old, 4 * KIB)]
    assert store.heads_of(ALICE, 1) == []


def test_a_finished_agreement_goes_with_all_it_held(store: ObjectStore, tmp_path: Path) -> None:
    mine = put(store, 1)
    theirs = put(store, 2, A2, BOB)
    store.revisions.keep(revision(1, 1), [mine])
    upload = store.begin(ALICE, A1, root_of(data_of(5)), 4 * KIB)
    upload.write(data_of(5))
    store.drop_agreement(A1)
    with pytest.raises(refusals.UnknownAgreement):
        upload.commit(upload.root, 4, b"")
    assert files(tmp_path) == [theirs.hex()]
    assert store.revisions.all_of(A1) == []
    assert store.usage().used_bytes == 4 * KIB
