"""What a mount is made of, without FUSE: names, attributes, and blocks that are read ahead."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from peerage.cli.mount import blocks, view
from peerage.cli.mount.blocks import AHEAD, BLOCK, RUN, TOGETHER, Blocks, Handle
from peerage.cli.mount.operations import Operations
from peerage.cli.mount.view import View
from peerage.errors import PeerageError
from peerage.snapshot.tree import Entry, EntryType

KEPT = 24
ROOT, DOCS = b"r" * 32, b"d" * 32


class Source:
    """Two snapshots of one small tree, and a file of many blocks."""

    def __init__(self, size: int = 0) -> None:
        self.content = random.Random(1).randbytes(size)
        self.reads: list[tuple[int, int]] = []
        self.together: list[list[bytes]] = []
        self.lost = b""
        self.asked: list[str] = []
        self.fail = False
        self.listed: list[dict[str, Any]] = [
            {"id": "aa" * 32, "time_ns": "1700000000000000000", "tags": ["nightly", "a/b"]},
            {"id": "bb" * 32, "time_ns": "1700000100000000000", "tags": ["nightly"]},
        ]

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.fail:
            raise PeerageError("the daemon is away")

    def snapshots(self) -> list[dict[str, Any]]:
        self._ask("snapshots")
        return self.listed

    def root(self, snapshot: str) -> bytes:
        self._ask(f"root {snapshot[:2]}")
        return ROOT

    def links(self, snapshot: str) -> dict[int, int]:
        self._ask(f"links {snapshot[:2]}")
        return {5: 3}

    def directory(self, ids: bytes) -> list[Entry]:
        self._ask(f"directory {ids[:1]!r}")
        if ids == ROOT:
            return [Entry(b"docs", EntryType.DIRECTORY, mode=0o750, uid=7, gid=8, mtime_ns=-5, subtree=DOCS)]
        return [
            Entry(b"dev", EntryType.CHAR, mode=0o600, rdev=os.makedev(300, 70_000)),
            Entry(b"file", EntryType.FILE, 0o4644, size=10**6, content=bytes(32), links=5, xattrs={b"user.x": b"v"}),
            Entry(b"link", EntryType.SYMLINK, target=b"file"),
            Entry(b"odd\xff", EntryType.FILE),
            Entry(b"sparse", EntryType.FILE, size=1 << 30, content=bytes(32), extents=[(4096, 1000)]),
        ]  # fmt: skip

    def read(
        self, file: tuple[bytes, bytes], offset: int, length: int, on_data: Callable[[bytes], object]
    ) -> Future[dict[str, Any]]:
        self.reads.append((offset // BLOCK, -(-length // BLOCK)))
        done: Future[dict[str, Any]] = Future()
        if self.fail:
            on_data(self.content[offset : offset + BLOCK // 2])
            done.set_exception(PeerageError("it broke off"))
            return done
        for at in range(offset, offset + length, 700_000):
            on_data(self.content[at : min(at + 700_000, offset + length)])
        done.set_result({})
        return done

    def files(self, ids: bytes, names: list[bytes], on_data: Callable[[bytes], object]) -> Future[dict[str, Any]]:
        self.together.append(names)
        done: Future[dict[str, Any]] = Future()
        if self.fail:
            done.set_exception(PeerageError("it broke off"))
            return done
        before_lost = names[: names.index(self.lost)] if self.lost in names else names
        data = b"".join(len(name).to_bytes(4, "big") + name for name in before_lost)
        on_data(data[:7])
        on_data(data[7:])
        if before_lost != names:
            done.set_exception(PeerageError("it is lost"))
        else:
            done.set_result({})
        return done


def handle_of(source: Source) -> Handle:
    return Handle((DOCS, b"f"), len(source.content), lambda _: [])


def names(operations: Operations, path: str) -> list[str]:
    return [name for name, _, _ in operations.readdir(path, 0)][2:]


@pytest.fixture
def told() -> list[str]:
    return []


def make(source: Source, told: list[str], clock: Callable[[], float] = lambda: 0.0) -> Operations:
    return Operations(View(source, (1, 2), clock), Blocks(source), told.append)


def test_names_and_attributes(told: list[str]) -> None:
    source = Source()
    fs = make(source, told)
    first, second = "2023-11-14T22-13-20Z_aaaaaaaaaaaa", "2023-11-14T22-15-00Z_bbbbbbbbbbbb"
    assert names(fs, "/") == ["snapshots", "tags", "latest"]
    assert names(fs, "/snapshots") == [first, second]
    assert fs.readlink("/latest") == f"snapshots/{second}"
    assert names(fs, "/tags") == ["nightly", "a_b"]
    assert names(fs, "/tags/nightly") == [first, second]
    assert fs.readlink(f"/tags/a_b/{first}") == f"../../snapshots/{first}"
    assert source.asked == ["snapshots"]  # a listing looks into no snapshot
    docs = f"/snapshots/{first}/docs"
    assert names(fs, docs) == ["dev", "file", "link", "odd\udcff", "sparse"]
    made = fs.getattr("/snapshots")
    assert (made["st_uid"], made["st_gid"], stat.filemode(made["st_mode"])) == (1, 2, "dr-xr-xr-x")
    found = fs.getattr(docs)
    assert (found["st_uid"], found["st_mtime"], stat.filemode(found["st_mode"])) == (7, -5, "drwxr-x---")
    assert source.asked.count("links aa") == 0
    found = fs.getattr(f"{docs}/file")
    assert (found["st_size"], found["st_nlink"], stat.filemode(found["st_mode"])) == (1_000_000, 3, "-rwSr--r--")
    assert os.major(fs.getattr(f"{docs}/dev")["st_rdev"]) == 300
    assert fs.getattr(f"{docs}/link")["st_size"] == 4
    assert fs.getattr(f"{docs}/sparse")["st_blocks"] == 2
    assert fs.listxattr(f"{docs}/file") == ["user.x"]
    assert fs.getxattr(f"{docs}/file", "user.x") == b"v"
    inodes = [fs.getattr(path)["st_ino"] for path in ("/", "/latest", docs, f"{docs}/file", f"{docs}/dev")]
    assert len(set(inodes)) == len(inodes)
    for path, error in ((f"{docs}/none", FileNotFoundError), (f"{docs}/file/x", FileNotFoundError)):
        with pytest.raises(error):
            fs.getattr(path)
    for call in (lambda: fs.open(f"{docs}/file", os.O_RDWR), lambda: fs.open(f"{docs}/link", 0)):
        with pytest.raises(OSError, match=r"Read-only|Invalid"):
            call()
    with pytest.raises(OSError, match="No data"):
        fs.getxattr(f"{docs}/file", "user.y")
    assert told == []


def test_snapshots_come_and_go_and_so_may_the_daemon(told: list[str]) -> None:
    source, now = Source(), [0.0]
    fs = make(source, told, lambda: now[0])
    old = names(fs, "/snapshots")
    source.listed = source.listed[1:]
    assert names(fs, "/snapshots") == old
    now[0] = view.LIST_EVERY_S
    assert names(fs, "/snapshots") == old[1:]
    source.fail, now[0] = True, 2 * view.LIST_EVERY_S
    with pytest.raises(OSError, match="Input/output"):
        fs.getattr("/latest")
    assert told == ["/latest: the daemon is away"]
    source.fail = False
    assert names(fs, "/snapshots") == old[1:]
    source.listed, now[0] = [], 3 * view.LIST_EVERY_S
    assert names(fs, "/") == ["snapshots", "tags"]


def test_reading_in_order_reads_ahead_in_few_requests() -> None:
    source = Source(30 * BLOCK + 123)
    reader, handle = Blocks(source), handle_of(source)
    step = 128 * 1024
    got = b"".join(reader.read(handle, at, step) for at in range(0, len(source.content), step))
    assert got == source.content
    assert sum(count for _, count in source.reads) == 31  # each block once
    assert max(count for _, count in source.reads) == RUN
    assert reader.read(handle, len(source.content), 10) == b""
    assert reader.read(handle, len(source.content) - 3, 10) == source.content[-3:]


def test_reading_here_and_there_does_not() -> None:
    source = Source(30 * BLOCK)
    reader, handle = Blocks(source), handle_of(source)
    for number in (20, 3, 11, 29, 7):
        at = number * BLOCK + 100
        assert reader.read(handle, at, 5000) == source.content[at : at + 5000]
    assert source.reads == [(20, 1), (3, 1), (11, 1), (29, 1), (7, 1)]
    at = 15 * BLOCK - 50
    assert reader.read(handle, at, 100) == source.content[at : at + 100]
    assert source.reads[-1] == (14, 2)


def test_memory_is_bounded_and_a_failure_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "KEPT_BYTES", KEPT * BLOCK)
    source = Source((KEPT + 20) * BLOCK)
    reader, handle = Blocks(source), handle_of(source)
    for number in range(KEPT + 20):
        reader.read(handle, number * BLOCK, 10)
        assert len(reader._blocks) <= KEPT + AHEAD
        assert reader._bytes == sum(len(f.result()) for f in reader._blocks.values())
    again, handle = Blocks(source), handle_of(source)
    source.fail = True
    for _ in range(2):
        with pytest.raises(PeerageError, match="broke off"):
            again.read(handle, 0, 10)
    source.fail = False
    assert again.read(handle, 0, 10) == source.content[:10]


def test_many_readers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "KEPT_BYTES", 4 * BLOCK)
    source = Source(12 * BLOCK)
    reader = Blocks(source)

    def all_of_it(seed: int) -> bool:
        handle, rng = handle_of(source), random.Random(seed)
        for _ in range(60):
            at = rng.randrange(len(source.content))
            if reader.read(handle, at, 200_000) != source.content[at : at + 200_000]:
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(all_of_it, range(8)))


def test_small_files_come_together_once_several_are_read() -> None:
    source = Source()
    reader = Blocks(source)
    listed = [b"%04d" % n for n in range(1000)]

    def read(n: int, offset: int = 0) -> bytes:
        handle = Handle((DOCS, listed[n]), 4, lambda count: listed[n + 1 : n + 1 + count])
        return reader.read(handle, offset, 100)

    assert read(500) == b"0500"
    assert source.together == [[b"0500"]]  # one alone is read alone
    assert [read(n) for n in range(1000)] == listed
    assert read(7, 2) == b"07"
    assert [len(names) for names in source.together[:5]] == [1, 4, 16, 64, TOGETHER]
    assert sorted(name for names in source.together for name in names) == listed  # each once
    source.together.clear()
    reader.read(Handle((ROOT, b"a"), 1, lambda count: [b"b%d" % n for n in range(count)]), 0, 1)
    assert len(source.together[0]) == 16  # the next directory need not begin from one
    source.lost, reader = listed[30], Blocks(source)
    for n in range(200):
        if n == 30:
            with pytest.raises(PeerageError, match="lost"):
                read(n)
        else:
            assert read(n) == listed[n]  # whatever it was asked for together with
    source.fail = True
    other = Handle((ROOT, b"x"), 1, lambda _: [])
    for _ in range(2):
        with pytest.raises(PeerageError, match="broke off"):
            reader.read(other, 0, 4)
    source.fail = False
    assert reader.read(other, 0, 4) == b"x"
