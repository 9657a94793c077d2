"""Compression: what comes back, and what a lying frame can do (nothing)."""

from __future__ import annotations

import contextlib
import random
import threading
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from peerage.errors import IntegrityError
from peerage.model import BlobKind, ChunkId
from peerage.seal.blob import DIRECTORY_ORDINAL, MAX_RAW_LENGTH, aad, compress, decompress, decompress_frame, nonce


@given(st.binary(max_size=3000), st.integers(1, 9))
def test_what_goes_in_comes_out(raw: bytes, repeat: int) -> None:
    raw *= repeat
    payload = compress(raw)
    assert len(payload) <= len(raw)
    assert decompress(bytes(payload), len(raw)) == raw


def test_the_incompressible_is_not_copied() -> None:
    raw = random.Random(1).randbytes(100_000)
    assert compress(raw) is raw
    assert compress(b"tiny") == b"tiny"


def test_every_level_and_buffer_type() -> None:
    raw = b"the same words again and again " * 500
    for level in (1, 3, 19):
        for buffer in (raw, bytearray(raw), memoryview(raw)):
            assert decompress(bytes(compress(buffer, level)), len(raw)) == raw


def test_a_frame_that_names_another_size() -> None:
    frame = zstandard.compress(bytes(1000))
    for length in (999, 1001, 0):
        with pytest.raises(IntegrityError, match="another size"):
            decompress(frame, length)


def test_a_frame_that_names_no_size() -> None:
    compressor = zstandard.ZstdCompressor(write_content_size=False)
    with pytest.raises(IntegrityError):
        decompress(compressor.compress(bytes(1000)), 1000)


def test_a_bomb_takes_no_memory() -> None:
    bomb = zstandard.compress(bytes(1 << 30))
    tracemalloc.start()
    try:
        for length in (1000, MAX_RAW_LENGTH, 1 << 30):
            with pytest.raises(IntegrityError):
                decompress_frame(bomb, length)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_bytes_behind_a_frame() -> None:
    frame = zstandard.compress(bytes(1000))
    with pytest.raises(IntegrityError):
        decompress(frame + b"more", 1000)


@given(st.binary(max_size=200), st.integers(0, 2000))
def test_any_bytes_are_refused_in_one_way(junk: bytes, length: int) -> None:
    with contextlib.suppress(IntegrityError):
        assert len(decompress(junk, length)) == length


def test_nonces_and_associated_data() -> None:
    assert nonce(0) == bytes(12)
    assert nonce(258) == bytes(10) + b"\x01\x02"
    assert nonce(DIRECTORY_ORDINAL) == bytes(4) + b"\xff" * 8
    assert aad(BlobKind.TREE, ChunkId(b"\xaa" * 32)) == b"\x00\x01\x01" + b"\xaa" * 32


def test_threads_have_contexts_of_their_own() -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        raw = random.Random(seed).randbytes(50) * 2000
        for _ in range(30):
            if decompress(bytes(compress(raw)), len(raw)) != raw:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
