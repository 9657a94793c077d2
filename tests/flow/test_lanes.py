"""Lanes: what they answer for files, and what happens when one is lost."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from peerage.chunk.cut import cut
from peerage.errors import LocalFault
from peerage.flow.lanes import Lanes, Stored
from peerage.model import ChunkId
from peerage.seal.blob import decompress
from peerage.seal.keys import RepositoryKey
from peerage.store.catalogue import Catalogue

KEY = RepositoryKey(1, bytes(range(32)))


@pytest.fixture
def lanes(tmp_path: Path) -> Iterator[Lanes]:
    catalogue = Catalogue(tmp_path / "catalogue")
    made = Lanes(KEY, catalogue.path)
    yield made
    made.close()
    catalogue.close()


def store(lanes: Lanes, paths: list[Path]) -> tuple[list[Stored], list[tuple[ChunkId, bytes | None]]]:
    kept: list[tuple[ChunkId, bytes | None]] = []

    def keep(id: ChunkId, raw_length: int, payload: memoryview | None) -> None:
        kept.append((id, None if payload is None else decompress(bytes(payload), raw_length)))

    with contextlib.ExitStack() as stack, lanes.borrow() as lane:
        files = [stack.enter_context(path.open("rb")) for path in paths]
        lane.send([(file.fileno(), os.fstat(file.fileno())) for file in files])
        return [lane.receive(keep) for _ in files], kept


def test_chunks_are_those_of_the_whole_file_and_bytes_come_once(lanes: Lanes, tmp_path: Path) -> None:
    contents = [b"small" * 50, b"", os.urandom(9 << 20), b"small" * 50]
    paths = [tmp_path / str(number) for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    stored, kept = store(lanes, paths)
    with paths[2].open("rb") as file:
        large = [bytes(chunk) for chunk in cut(file.fileno(), KEY.cut_seed)]
    plain = [contents[0], *large, contents[3]]
    assert [id for id, _ in kept] == [KEY.chunk_id(raw) for raw in plain]
    assert [raw for _, raw in kept] == [*plain[:-1], None]
    assert [one.read for one in stored] == [len(content) for content in contents]
    assert [id for one in stored for id in one.ids] == [id for id, _ in kept]


def test_holes_are_told(lanes: Lanes, tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(8 << 20)
        file.seek(4 << 20)
        file.write(b"x" * 4096)
    (stored,), kept = store(lanes, [path])
    assert stored.extents == [(4 << 20, 4096)]
    assert [raw for _, raw in kept] == [b"x" * 4096]


def test_a_file_that_cannot_be_read_is_only_that_files_error(lanes: Lanes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    fd = os.open(tmp_path / "file", os.O_WRONLY)
    try:
        with lanes.borrow() as lane:
            lane.send([(fd, os.fstat(fd))])
            with pytest.raises(OSError, match="Bad file descriptor"):
                lane.receive(lambda *_: None)
    finally:
        os.close(fd)
    (stored,), _ = store(lanes, [tmp_path / "file"])
    assert stored.read == 7


def test_a_lane_that_dies_is_named(lanes: Lanes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    store(lanes, [tmp_path / "file"])
    with lanes.borrow() as lane:
        pid = lane.pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(LocalFault, match=f"process {pid}"):
        store(lanes, [tmp_path / "file"])


def test_stop_ends_the_processes(lanes: Lanes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    store(lanes, [tmp_path / "file"])
    with lanes.borrow() as lane:
        pid = lane.pid
    lanes.stop()
    with pytest.raises(LocalFault, match="stopped"):
        store(lanes, [tmp_path / "file"])
    assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT) is not None
