"""Every decoder takes bytes that an enemy made: it returns a value or raises IntegrityError, and stays small."""

from __future__ import annotations

import contextlib
import random
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snapshot.strategies import pack_records

from peerage.errors import IntegrityError
from peerage.snapshot.index import decode_segment, encode_segments
from peerage.snapshot.snapshot import Snapshot, decode_snapshot, decode_summary, encode_snapshot
from peerage.snapshot.tree import Entry, EntryType, decode_tree, encode_tree

TREE = encode_tree(
    [
        Entry(name=b"a", type=EntryType.FILE, content=bytes(64), xattrs={b"user.x": b"y"}, size=9, extents=[(0, 3)]),
        Entry(name=b"b", type=EntryType.SYMLINK, target=b"c", user="u", group="g", mtime_ns=-5),
        Entry(name=b"c", type=EntryType.DIRECTORY, subtree=bytes(32)),
    ]
)[0]
SNAPSHOT = encode_snapshot(Snapshot(time_ns=5, host="h", paths=[b"/a"], subtree=bytes(32), tags=["t"]))
DECODERS: dict[str, Callable[[bytes], object]] = {
    "PTRE": lambda data: decode_tree([data]),
    "PSNP": decode_snapshot,
    "PSUM": decode_summary,
    "PIDX": decode_segment,
}


def attempt(magic: str, data: bytes) -> None:
    with contextlib.suppress(IntegrityError):
        DECODERS[magic](data)


@pytest.mark.parametrize("magic", DECODERS)
@given(junk=st.binary(max_size=400))
def test_any_bytes(magic: str, junk: bytes) -> None:
    attempt(magic, junk)
    attempt(magic, magic.encode() + b"\x00\x01" + junk)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([TREE, SNAPSHOT]), st.randoms(use_true_random=False))
def test_damaged_encodings(valid: bytes, chance: random.Random) -> None:
    data = bytearray(valid)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[place] = chance.randrange(256)
            case 1:
                del data[place : place + chance.randint(1, 9)]
            case 2:
                data[place:place] = chance.randbytes(chance.randint(1, 9))
            case _:
                data[place:place] = data[chance.randrange(len(data)) :][:20]
        if not data:
            return
    attempt("PTRE" if valid is TREE else "PSNP", bytes(data))


@settings(max_examples=40, deadline=None)
@given(st.lists(pack_records(), min_size=1, max_size=2), st.data())
def test_damaged_segments(packs: list[object], data: st.DataObject) -> None:
    segment = bytearray(next(iter(encode_segments(packs))))  # type: ignore[arg-type]
    for _ in range(3):
        segment[data.draw(st.integers(0, len(segment) - 1))] = data.draw(st.integers(0, 255))
    attempt("PIDX", bytes(segment))


@pytest.mark.parametrize("magic", DECODERS)
@pytest.mark.parametrize(
    "claim",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\x91" * 200_000,
        b"\x81\xa1n" * 100_000,
        b"\xdd\x0f\xff\xff\xff" + b"\x80" * 1000,
    ],
    ids=["array", "map", "bytes", "text", "deep arrays", "deep maps", "many"],
)
def test_claimed_lengths_take_no_memory(magic: str, claim: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(IntegrityError):
            DECODERS[magic](magic.encode() + b"\x00\x01" + claim)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
