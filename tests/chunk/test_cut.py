"""Cutting, against FastCDC over the whole file at once."""

from __future__ import annotations

import hashlib
import io
import os
import random
import threading
from pathlib import Path

import pytest
from pyfastcdc import FastCDC

from peerage.chunk.cut import AVG, MAX, MIN, NORMALIZATION, WINDOW, cut

SEED = 0x0123_4567_89AB_CDEF


def whole(data: bytes, seed: int = SEED) -> list[bytes]:
    cutter = FastCDC(AVG, min_size=MIN, max_size=MAX, normalized_chunking=NORMALIZATION, seed=seed)
    return [bytes(chunk.data) for chunk in cutter.cut_buf(data)]


def chunks(data: bytes, seed: int = SEED) -> list[bytes]:
    return [bytes(chunk) for chunk in cut(io.BytesIO(data), seed)]


class Dribble:
    """A file whose reads are short, as those of a pipe or a network file system may be."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self._random = random.Random(1)

    def readinto(self, buffer: memoryview) -> int:
        return self._file.readinto(memoryview(buffer)[: self._random.randint(1, 300_000)])


@pytest.fixture(scope="module")
def noise() -> bytes:
    return random.Random(5).randbytes(2 * WINDOW + 12_345)


@pytest.mark.parametrize("size", [MIN, MIN + 1, MAX - 1, MAX, MAX + 1, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW + 9])
def test_windows_do_not_show(noise: bytes, size: int) -> None:
    assert chunks(noise[:size]) == whole(noise[:size])


@pytest.mark.parametrize("size", [1, 100, MIN - 1])
def test_a_small_file_is_one_chunk(noise: bytes, size: int) -> None:
    assert chunks(noise[:size]) == [noise[:size]]


def test_an_empty_file_has_no_chunk() -> None:
    assert chunks(b"") == []


def test_short_reads(noise: bytes) -> None:
    assert [bytes(c) for c in cut(Dribble(noise), SEED)] == whole(noise)


def test_a_descriptor_is_read_from_where_it_stands(noise: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(noise)
    fd = os.open(path, os.O_RDONLY)
    try:
        os.lseek(fd, 1000, os.SEEK_SET)
        assert [bytes(c) for c in cut(fd, SEED)] == whole(noise[1000:])
    finally:
        os.close(fd)


def test_limits_hold_for_constant_bytes() -> None:
    lengths = [len(c) for c in cut(io.BytesIO(bytes(3 * WINDOW)), SEED)]
    assert max(lengths) <= MAX
    assert min(lengths[:-1]) >= MIN
    assert sum(lengths) == 3 * WINDOW


def test_held_chunks_stay_as_they_were(noise: bytes) -> None:
    held = list(cut(io.BytesIO(noise), SEED))
    assert b"".join(held) == noise


def test_an_insertion_changes_few_chunks(noise: bytes) -> None:
    before, after = chunks(noise), chunks(noise[:100_000] + b"inserted" + noise[100_000:])
    assert len(set(before) - set(after)) <= 2
    assert len(before) > 8


def test_another_repository_cuts_elsewhere(noise: bytes) -> None:
    ours, theirs = chunks(noise, 1), chunks(noise, 2)
    assert not {len(c) for c in ours[:-1]} & {len(c) for c in theirs[:-1]}


def test_every_u64_is_a_seed() -> None:
    for seed in (0, 2**63, 2**64 - 1):
        assert b"".join(chunks(b"\x07" * (MIN + 5), seed)) == b"\x07" * (MIN + 5)


def test_threads_do_not_disturb_each_other(noise: bytes) -> None:
    results: dict[int, list[bytes]] = {}

    def work(number: int) -> None:
        results[number] = chunks(noise, SEED if number % 2 else SEED + 1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(results[n] == whole(noise, SEED if n % 2 else SEED + 1) for n in range(6))


def test_cut_points_never_move() -> None:
    """A change here splits every member's deduplication in two: it needs a new chunking version."""
    data = hashlib.shake_256(b"peerage chunking").digest(3 * WINDOW // 2)
    lengths = [len(c) for c in cut(io.BytesIO(data), SEED)]
    assert lengths == VECTOR


VECTOR = [1320802, 1611773, 1264300, 1345170, 1108581, 1364197, 1123757, 1135080, 312318, 1198736, 750765, 47433]
