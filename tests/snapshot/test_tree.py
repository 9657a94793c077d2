"""Directory trees as bytes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from tests.snapshot.strategies import directories

from peerage.errors import IntegrityError, UnknownVersion
from peerage.model import ChunkId
from peerage.snapshot.tree import (
    BLOB_SIZE,
    IDS_PER_LIST,
    Entry,
    EntryType,
    decode_tree,
    encode_content,
    encode_tree,
    split_ids,
)

VECTOR = json.loads((Path(__file__).parent.parent / "vectors" / "snapshots.json").read_text())


def file(name: bytes, **fields: Any) -> Entry:
    return Entry(name=name, type=EntryType.FILE, **fields)


@settings(max_examples=60, deadline=None)
@given(directories)
def test_entries_come_back(entries: list[Entry]) -> None:
    assert decode_tree(encode_tree(entries)) == entries
    assert encode_tree(decode_tree(encode_tree(entries))) == encode_tree(entries)


def test_vector() -> None:
    blobs = [bytes.fromhex(blob) for blob in VECTOR["tree"]]
    entries = decode_tree(blobs)
    assert entries == [
        Entry(name=b"dir", type=EntryType.DIRECTORY, mode=0o755, subtree=b"\x22" * 32),
        Entry(
            name=b"file",
            type=EntryType.FILE,
            mode=0o4640,
            uid=1000,
            gid=100,
            user="ann",
            group="staff",
            mtime_ns=-1,
            size=10,
            content=b"\x11" * 64,
            depth=1,
            links=3,
            xattrs={b"user.a": b"\x00", b"user.b": b""},
            extents=[(0, 4), (8, 2)],
        ),
        Entry(name=b"link", type=EntryType.SYMLINK, mode=0o777, target=b"../\xff"),
        Entry(name=b"tty", type=EntryType.CHAR, mode=0o600, rdev=0x0501),
        Entry(name=b"\xff\xfe", type=EntryType.FIFO),
    ]
    assert decode_tree(encode_tree(entries)) == entries


def test_an_empty_directory_has_no_blob() -> None:
    assert encode_tree([]) == []
    assert decode_tree([]) == []


def test_a_large_directory_is_several_blobs() -> None:
    entries = [file(b"%06d" % i, content=os.urandom(32)) for i in range(40_000)]
    blobs = encode_tree(entries)
    assert len(blobs) > 1
    assert all(len(blob) <= BLOB_SIZE + 10 for blob in blobs)
    assert decode_tree(blobs) == entries


def test_an_entry_larger_than_a_blob_stands_alone() -> None:
    sparse = file(b"b", size=1 << 40, extents=[(i * 8192, 4096) for i in range(200_000)])
    blobs = encode_tree([file(b"a"), sparse, file(b"c")])
    assert len(blobs) == 3
    assert decode_tree(blobs)[1] == sparse


def test_extended_attributes_are_put_in_order() -> None:
    one, other = file(b"a", xattrs={b"b": b"2", b"a": b"1"}), file(b"a", xattrs={b"a": b"1", b"b": b"2"})
    assert encode_tree([one]) == encode_tree([other])


MALFORMED: list[tuple[str, list[Entry]]] = [
    ("slash", [file(b"a/b")]),
    ("NUL", [file(b"a\x00")]),
    ("dot", [file(b".")]),
    ("dots", [file(b"..")]),
    ("empty", [file(b"")]),
    ("long", [file(b"x" * 256)]),
    ("unsorted", [file(b"b"), file(b"a")]),
    ("twice", [file(b"a"), file(b"a")]),
    ("content", [file(b"a", content=b"x" * 33)]),
    ("subtree", [file(b"a", subtree=b"x")]),
    ("target", [file(b"a", target=b"a\x00b")]),
    ("overlap", [file(b"a", size=9, extents=[(0, 5), (4, 1)])]),
    ("backwards", [file(b"a", size=9, extents=[(4, 1), (0, 1)])]),
    ("nothing", [file(b"a", size=9, extents=[(0, 0)])]),
    ("beyond", [file(b"a", size=9, extents=[(0, 10)])]),
]


@pytest.mark.parametrize(("what", "entries"), MALFORMED, ids=[what for what, _ in MALFORMED])
def test_malformed_entries_are_neither_written_nor_read(what: str, entries: list[Entry]) -> None:
    with pytest.raises(ValueError, match=r"^b['\"]"):
        encode_tree(entries)
    with pytest.raises(IntegrityError):
        decode_tree([b"PTRE\x00\x01" + msgspec.msgpack.encode(entries)])


def test_order_holds_over_blobs() -> None:
    first, second = encode_tree([file(b"a")])[0], encode_tree([file(b"b")])[0]
    assert len(decode_tree([first, second])) == 2
    for blobs in ([second, first], [first, first]):
        with pytest.raises(IntegrityError, match="sorted"):
            decode_tree(blobs)


@pytest.mark.parametrize(
    "fields",
    [
        {"m": 0o200000},
        {"m": -1},
        {"u": -1},
        {"g": 2**32},
        {"s": -1},
        {"mt": 2**63},
        {"d": 2},
        {"t": 7},
        {"x": {b"": b""}},
        {"x": {b"a": b"x" * 65537}},
        {"l": b"x" * 4097},
        {"un": "x" * 257},
        {"unknown": 1},
        {"n": "text"},
    ],
    ids=str,
)
def test_fields_out_of_bounds(fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        decode_tree([b"PTRE\x00\x01" + msgspec.msgpack.encode([{"n": b"a", "t": 0, **fields}])])


def test_versions_and_other_formats() -> None:
    blob = encode_tree([file(b"a")])[0]
    with pytest.raises(UnknownVersion, match="format version 2"):
        decode_tree([b"PTRE\x00\x02" + blob[6:]])
    for data in (b"", b"PTRE", b"PSNP" + blob[4:], blob[:-1], blob + b"\x00"):
        with pytest.raises(IntegrityError):
            decode_tree([data])


def test_lists_of_chunks() -> None:
    ids = [ChunkId(i.to_bytes(32, "big")) for i in range(IDS_PER_LIST + 3)]
    lists = encode_content(ids)
    assert [len(piece) for piece in lists] == [BLOB_SIZE, 96]
    assert [id_ for piece in lists for id_ in split_ids(piece)] == ids
    with pytest.raises(IntegrityError):
        split_ids(b"x" * 31)
