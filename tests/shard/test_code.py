"""The erasure code, against pyeclib's own encoder as an independent oracle."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyeclib.ec_iface import ECDriver

from peerage.errors import LocalFault, ShardMismatch, TooFewShards
from peerage.model import LEAF_SIZE, Code
from peerage.shard import isal
from peerage.shard.code import coder, shard_length

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "shards.json").read_text())
LIBERASURECODE_HEADER = 80


def stripe(code: Code, leaves: int, seed: int) -> list[bytes]:
    """All n shards of a random pack."""
    data = bytearray(random.Random(seed).randbytes(code.k * leaves * LEAF_SIZE))
    length = leaves * LEAF_SIZE
    parity = coder(code).encode(data, length)
    return [bytes(data[i * length : (i + 1) * length]) for i in range(code.k)] + [bytes(p) for p in parity]


@pytest.mark.parametrize(("k", "m"), [(1, 1), (2, 1), (3, 2), (4, 2), (6, 3), (10, 4), (20, 10), (32, 16)])
def test_parity_is_what_pyeclib_makes(k: int, m: int) -> None:
    shards = stripe(Code(k, m), 2, seed=k)
    fragments = ECDriver(k=k, m=m, ec_type="isa_l_rs_cauchy").encode(b"".join(shards[:k]))
    assert [fragment[LIBERASURECODE_HEADER:] for fragment in fragments] == shards


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: f"{case['k']}+{case['m']}")
def test_vectors(case: dict[str, object]) -> None:
    k, m, leaves = int(str(case["k"])), int(str(case["m"])), int(str(case["leaves"]))
    data = bytearray(hashlib.shake_256(b"peerage shards").digest(k * leaves * LEAF_SIZE))
    parity = coder(Code(k, m)).encode(data, leaves * LEAF_SIZE)
    assert [hashlib.sha256(shard).hexdigest() for shard in parity] == case["parity_sha256"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_k_shards_rebuild_any_others(data: st.DataObject) -> None:
    code = Code(data.draw(st.integers(1, 32)), data.draw(st.integers(1, 16)))
    shards = stripe(code, data.draw(st.integers(1, 3)), seed=data.draw(st.integers(0, 99)))
    kept = data.draw(st.permutations(range(code.n)))[: data.draw(st.integers(code.k, code.n))]
    want = data.draw(st.lists(st.integers(0, code.n - 1), unique=True))
    rebuilt = coder(code).rebuild({index: shards[index] for index in kept}, want)
    assert rebuilt == {index: shards[index] for index in want}


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda b: memoryview(bytearray(b))])
def test_every_kind_of_buffer_is_taken(kind: type) -> None:
    code = Code(4, 2)
    shards = stripe(code, 1, seed=1)
    assert coder(code).rebuild({i: kind(shards[i]) for i in (1, 3, 4, 5)}, [0, 2]) == {0: shards[0], 2: shards[2]}


def test_refusals() -> None:
    shards = stripe(Code(4, 2), 1, seed=2)
    c = coder(Code(4, 2))
    with pytest.raises(TooFewShards, match="3 good shards of 6, 4 are needed"):
        c.rebuild(dict(enumerate(shards[:3])), [4])
    with pytest.raises(ShardMismatch):
        c.rebuild({**dict(enumerate(shards[:4])), 5: shards[5][:-1]}, [4])
    with pytest.raises(ShardMismatch):
        c.rebuild(dict(enumerate(shards[:4])), [6])
    with pytest.raises(ShardMismatch):
        c.rebuild({**dict(enumerate(shards[:4])), 6: shards[0]}, [4])
    with pytest.raises(ShardMismatch):
        c.rebuild(dict.fromkeys(range(4), b""), [4])
    for length in (0, 1024, 3000):
        with pytest.raises(ShardMismatch):
            c.encode(bytearray(4096 + 4 * 1024), length)


def test_shards_are_whole_leaves_and_hold_the_pack() -> None:
    for k in (1, 3, 4, 32):
        for length in (0, 1, 1024, k * 1024 - 1, k * 1024, k * 1024 + 1, 33_554_432):
            each = shard_length(length, k)
            assert each % LEAF_SIZE == 0
            assert each >= LEAF_SIZE
            assert each * k >= length
            assert each == LEAF_SIZE or (each - LEAF_SIZE) * k < length


def test_many_threads_share_a_coder() -> None:
    code = Code(6, 3)
    wrong: list[int] = []

    def work(seed: int) -> None:
        shards = stripe(code, 8, seed)
        lost = random.Random(seed).sample(range(code.n), code.m)
        have = {i: s for i, s in enumerate(shards) if i not in lost}
        if coder(code).rebuild(have, lost) != {i: shards[i] for i in lost}:
            wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    isal.library.cache_clear()
    monkeypatch.setattr(isal.ctypes, "CDLL", nothing)
    try:
        with pytest.raises(LocalFault, match="reinstall pyeclib"):
            isal.library()
    finally:
        monkeypatch.undo()
        isal.library.cache_clear()
        isal.library()
