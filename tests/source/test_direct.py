"""Past the page cache: the bytes are the same, whatever the offsets, and wherever it cannot be had."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerage.seal.memory import zeroed
from peerage.source import direct
from peerage.source.direct import BLOCK, LEAST, pwrite
from peerage.source.stream import DataStream

NOISE = random.Random(3).randbytes(3 << 20)


def drop_from_cache(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, len(NOISE)), max_size=5), order=st.randoms(use_true_random=False))
def test_pieces_in_any_order_make_the_file(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], order: random.Random
) -> None:
    path = tmp_path_factory.mktemp("direct") / "file"
    edges = sorted({0, len(NOISE), *cuts})
    pieces = list(itertools.pairwise(edges))
    order.shuffle(pieces)
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        for start, end in pieces:
            pwrite(fd, NOISE[start:end], start)
    finally:
        os.close(fd)
    assert path.read_bytes() == NOISE


@pytest.mark.parametrize("size", [LEAST, LEAST + 1, len(NOISE), len(NOISE) - 1, BLOCK])
@pytest.mark.parametrize("shift", [0, 1])
def test_a_stream_gives_the_files_bytes_cached_or_not_aligned_or_not(tmp_path: Path, size: int, shift: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(NOISE[:size])
    for cached in (True, False):
        if not cached:
            drop_from_cache(path)
        view = zeroed(len(NOISE) + BLOCK)[shift:]
        with path.open("rb") as file:
            assert DataStream(file.fileno(), [(0, size)]).readinto(view) == size
            assert os.read(file.fileno(), 3) == NOISE[:3], "the descriptor reads through the cache again"
        assert view[:size] == NOISE[:size]


def test_a_file_that_shrank_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(NOISE[: LEAST + 100])
    drop_from_cache(path)
    with path.open("rb") as file:
        assert DataStream(file.fileno(), [(0, len(NOISE))]).readinto(zeroed(len(NOISE))) == LEAST + 100


def test_without_direct_access_the_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "_O_DIRECT", 0)
    with (tmp_path / "file").open("w+b") as file:
        pwrite(file.fileno(), NOISE, 0)
        assert DataStream(file.fileno(), [(0, len(NOISE))]).readinto(zeroed(len(NOISE))) == len(NOISE)
    assert (tmp_path / "file").read_bytes() == NOISE
