"""Index segments as bytes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snapshot.strategies import pack_records

from peerage.errors import IntegrityError, UnknownVersion
from peerage.model import BlobEntry, BlobKind, ChunkId, PackKind, PackRecord
from peerage.snapshot.index import SEGMENT_SIZE, decode_segment, encode_segments, from_record, merged, to_record

VECTOR = json.loads((Path(__file__).parent.parent / "vectors" / "snapshots.json").read_text())


@settings(max_examples=60, deadline=None)
@given(st.lists(pack_records(), max_size=5))
def test_records_come_back(packs: list[PackRecord]) -> None:
    segments = list(encode_segments(packs))
    assert [pack for segment in segments for pack in decode_segment(segment)] == packs
    assert all(len(segment) <= SEGMENT_SIZE + 11 for segment in segments)


def test_vector() -> None:
    data = bytes.fromhex(VECTOR["index"])
    (pack,) = decode_segment(data)
    assert (pack.id, pack.kind, pack.generation, pack.length) == (b"\x5a" * 32, PackKind.META, 7, 1500)
    assert (pack.code.k, pack.code.m, pack.shard_length) == (1, 1, 2048)
    assert [(s.index, s.root[0], s.provider, s.agreement[0]) for s in pack.shards] == [(0, 1, 4, 2), (1, 3, 0, 0)]
    assert pack.blobs == (
        BlobEntry(ChunkId(b"\x66" * 32), BlobKind.TREE, 0, 48, 116, 100),
        BlobEntry(ChunkId(b"\x77" * 32), BlobKind.SNAPSHOT, 1, 164, 50, 400),
    )
    assert list(encode_segments([pack])) == [data]


def sample(blobs: int = 0) -> PackRecord:
    (pack,) = decode_segment(bytes.fromhex(VECTOR["index"]))
    return dataclasses.replace(pack, blobs=pack.blobs[:blobs])


def test_segments_are_bounded_and_lazy() -> None:
    made = 0

    def endless() -> object:
        nonlocal made
        while True:
            made += 1
            yield sample()

    segments = encode_segments(endless())  # type: ignore[arg-type]
    assert len(next(segments)) <= SEGMENT_SIZE + 11
    assert made < SEGMENT_SIZE / 150


def test_a_later_record_moves_shards_and_keeps_blobs() -> None:
    earlier, moved = sample(2), sample(0)
    moved = dataclasses.replace(moved, shards=(moved.shards[0], dataclasses.replace(moved.shards[1], provider=9)))
    assert merged(None, earlier) == earlier
    assert merged(earlier, moved) == dataclasses.replace(moved, blobs=earlier.blobs)
    assert merged(moved, earlier) == earlier


def test_what_is_not_written() -> None:
    pack = sample(2)
    for wrong in (
        dataclasses.replace(pack, shards=pack.shards[:1]),
        dataclasses.replace(pack, shards=pack.shards[::-1]),
        dataclasses.replace(pack, blobs=pack.blobs[1:]),
        dataclasses.replace(pack, blobs=pack.blobs[::-1]),
    ):
        with pytest.raises(ValueError, match="whole and in order"):
            list(encode_segments([wrong]))


def test_records_that_cannot_be() -> None:
    record = to_record(sample(2))
    for field, value in (
        ("shards", record.shards[:-1]),
        ("shards", record.shards + record.shards),
        ("length", 2049),
        ("length", 10),
        ("shard_length", 4096),
        ("blobs", record.blobs[:-1]),
        ("blobs", record.blobs * 20),
        ("kind", PackKind.DATA),
    ):
        fields = {name: getattr(record, name) for name in record.__struct_fields__}
        with pytest.raises(IntegrityError):
            from_record(type(record)(**{**fields, field: value}))


def test_versions_and_other_formats() -> None:
    data = bytes.fromhex(VECTOR["index"])
    with pytest.raises(UnknownVersion):
        decode_segment(data[:5] + b"\x02" + data[6:])
    for junk in (b"", data[:-1], data + b"\x00", b"PTRE" + data[4:], data[:6] + b"\xdd\xff\xff\xff\xff"):
        with pytest.raises(IntegrityError):
            decode_segment(junk)
