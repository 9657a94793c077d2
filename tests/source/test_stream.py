"""Data streams: holes left out, never past what was there, never stuck on a file that changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peerage.source.stream import DataStream, cut_extents, read_all


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 16)
    return file


def drain(stream: DataStream, piece: int) -> bytes:
    parts = []
    while part := stream.read(piece):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("piece", [1, 7, 100, 5000])
def test_extents_follow_each_other(path: Path, piece: int) -> None:
    whole = path.read_bytes()
    fd = os.open(path, os.O_RDONLY)
    assert (
        drain(DataStream(fd, [(10, 20), (100, 1), (4000, 96)]), piece) == whole[10:30] + whole[100:101] + whole[4000:]
    )
    os.close(fd)


def test_a_file_that_has_shrunk_ends_early(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.truncate(path, 1000)
    assert len(drain(DataStream(fd, [(0, 500), (900, 3000)]), 64)) == 600
    os.lseek(fd, 0, os.SEEK_SET)
    assert len(read_all(fd, 4096)) == 1000
    os.close(fd)


def test_a_file_that_grows_ends_where_it_did(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    with path.open("ab") as file:
        file.write(b"more")
    assert len(drain(DataStream(fd, [(0, 4096)]), 1000)) == 4096
    assert len(read_all(fd, 4096)) == 4096 or os.lseek(fd, 0, os.SEEK_CUR) <= 4096
    os.close(fd)


def test_no_extents_are_no_data(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    assert drain(DataStream(fd, []), 10) == b""
    os.close(fd)


def test_extents_are_cut_to_what_was_read() -> None:
    extents = [(0, 10), (20, 10), (40, 10)]
    assert cut_extents(extents, 30) == extents
    assert cut_extents(extents, 15) == [(0, 10), (20, 5)]
    assert cut_extents(extents, 10) == [(0, 10)]
    assert cut_extents(extents, 0) == []
