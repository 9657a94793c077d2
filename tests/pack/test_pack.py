"""Packs: filled, closed, opened, and damaged at every byte."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerage.errors import IntegrityError, UnknownVersion
from peerage.model import BlobEntry, BlobKind, ChunkId, Code, PackKind
from peerage.pack.layout import BLOB_COST, HEADER, MAX_BLOBS, TARGET, decode_rows, encode_rows
from peerage.pack.reader import BlobOpener, read_directory
from peerage.pack.writer import PackWriter, SealedPack
from peerage.seal.blob import aad, compress, nonce
from peerage.seal.keys import KeyRing

RING = KeyRing({0: b"\x10" * 32, 7: b"\x17" * 32})
KEY = RING.current
SALT = b"\x5a" * 32
CODE = Code(4, 2)
VECTOR = json.loads((Path(__file__).parent.parent / "vectors" / "packs.json").read_text())


def pack_of(raws: list[bytes], kind: BlobKind = BlobKind.DATA, code: Code = CODE) -> SealedPack:
    writer = PackWriter(KEY, {0: PackKind.DATA, 1: PackKind.META, 2: PackKind.META, 3: PackKind.INDEX}[kind], SALT)
    for raw in raws:
        writer.add(KEY.chunk_id(raw), kind, len(raw), compress(raw))
    return writer.finish(code)


def open_all(pack: SealedPack, entries: tuple[BlobEntry, ...]) -> list[bytes]:
    opener = BlobOpener(RING)
    view = memoryview(pack.data)
    return [opener.open(pack.generation, pack.id, e, view[e.offset : e.offset + e.length]) for e in entries]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=2000), max_size=12), st.sampled_from([(1, 1), (4, 2), (20, 10)]))
def test_blobs_come_back(raws: list[bytes], numbers: tuple[int, int]) -> None:
    code = Code(*numbers)
    pack = pack_of(raws, code=code)
    assert len(pack.data) == pack.shard_length * code.k
    assert not any(pack.data[pack.length :])
    assert open_all(pack, pack.entries) == raws
    for data in (pack.data, bytes(pack.data[: pack.length])):
        assert read_directory(RING, data) == (7, pack.id, PackKind.DATA, pack.entries)


def test_vector() -> None:
    """The bytes of a small pack, for ever. What zstd's next encoder would make of them is not part of the format."""
    data = bytes.fromhex(VECTOR["pack"])
    generation, id_, kind, entries = read_directory(RING, data)
    assert (generation, id_.hex(), kind) == (7, VECTOR["salt"], PackKind.META)
    opened = [BlobOpener(RING).open(generation, id_, e, data[e.offset : e.offset + e.length]) for e in entries]
    assert [raw.hex() for raw in opened] == VECTOR["blobs"]
    writer = PackWriter(KEY, PackKind.META, SALT)
    for e in entries:
        payload = KEY.pack_cipher(SALT).decrypt(
            nonce(e.ordinal), data[e.offset : e.offset + e.length], aad(e.kind, e.id)
        )
        writer.add(e.id, e.kind, e.raw_length, payload)
    pack = writer.finish(CODE)
    assert bytes(pack.data[: pack.length]) == data


def test_no_byte_of_a_blob_can_change() -> None:
    pack = pack_of([b"some plaintext " * 4, b"x" * 50])
    opener = BlobOpener(RING)
    for entry in pack.entries:
        sealed = bytearray(pack.data[entry.offset : entry.offset + entry.length])
        for i in range(len(sealed)):
            sealed[i] ^= 1
            with pytest.raises(IntegrityError, match="not authentic"):
                opener.open(7, pack.id, entry, sealed)
            sealed[i] ^= 1


def test_a_blob_opens_only_in_its_place() -> None:
    pack = pack_of([b"first blob", b"other blob"])
    first, second = pack.entries
    sealed = bytes(pack.data[first.offset : first.offset + first.length])
    opener = BlobOpener(RING)
    assert opener.open(7, pack.id, first, sealed) == b"first blob"
    for entry, generation, id_ in (
        (second, 7, pack.id),
        (first._replace(ordinal=1), 7, pack.id),
        (first._replace(kind=BlobKind.TREE), 7, pack.id),
        (first._replace(id=second.id), 7, pack.id),
        (first._replace(raw_length=11), 7, pack.id),
        (first._replace(raw_length=9), 7, pack.id),
        (first._replace(raw_length=1 << 40), 7, pack.id),
        (first._replace(length=25), 7, pack.id),
        (first, 0, pack.id),
        (first, 3, pack.id),
        (first, 7, type(pack.id)(bytes(32))),
    ):
        with pytest.raises(IntegrityError):
            opener.open(generation, id_, entry, sealed)


def test_a_sealed_blob_under_a_wrong_id_is_refused() -> None:
    writer = PackWriter(KEY, PackKind.DATA, SALT)
    writer.add(ChunkId(b"\x00" * 32), BlobKind.DATA, 5, b"hello")
    pack = writer.finish(CODE)
    with pytest.raises(IntegrityError, match="another chunk"):
        open_all(pack, pack.entries)


def test_no_byte_of_header_directory_or_trailer_can_change() -> None:
    pack = pack_of([b"abc" * 30, b"defg"])
    data = bytearray(pack.data[: pack.length])
    last = pack.entries[-1]
    for i in [*range(HEADER.size), *range(last.offset + last.length, len(data))]:
        data[i] ^= 1
        with pytest.raises(IntegrityError):
            read_directory(RING, data)
        data[i] ^= 1
    assert read_directory(RING, data)[3] == pack.entries


def test_cut_packs_are_refused() -> None:
    data = bytes(pack_of([b"abc" * 30, b"defg"]).data[: pack_of([b"abc" * 30, b"defg"]).length])
    for length in range(len(data)):
        with pytest.raises(IntegrityError):
            read_directory(RING, data[:length])


def test_later_versions_are_named() -> None:
    data = bytearray(pack_of([b"abc"]).data)
    data[9] = 2
    with pytest.raises(UnknownVersion, match="version 2"):
        read_directory(RING, data)
    data[9], data[11] = 1, 9
    with pytest.raises(UnknownVersion, match="algorithm 9"):
        read_directory(RING, data)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_one_way(junk: bytes) -> None:
    for data in (junk, b"PEERPACK\x00\x01\x00\x01" + junk):
        with pytest.raises(IntegrityError):
            read_directory(RING, data)


@given(st.binary(max_size=300))
def test_any_rows_are_refused_in_one_way(junk: bytes) -> None:
    try:
        entries = decode_rows(junk, PackKind.DATA)
    except IntegrityError:
        return
    assert encode_rows(entries) == junk


def test_what_a_pack_does_not_take() -> None:
    writer = PackWriter(KEY, PackKind.DATA, SALT)
    for kind, raw_length, payload in (
        (BlobKind.TREE, 3, b"abc"),
        (BlobKind.DATA, 2, b"abc"),
        (BlobKind.DATA, (16 << 20) + 1, b"abc"),
    ):
        with pytest.raises(ValueError, match="does not go into this pack"):
            writer.add(ChunkId(bytes(32)), kind, raw_length, payload)
    with pytest.raises(ValueError, match="salt"):
        PackWriter(KEY, PackKind.DATA, b"short")


def test_a_full_pack_holds_one_largest_blob_more() -> None:
    writer = PackWriter(KEY, PackKind.DATA, SALT)
    largest = bytes(16 << 20)
    id_ = KEY.chunk_id(largest)
    while not writer.full:
        assert writer.size < TARGET
        writer.add(id_, BlobKind.DATA, len(largest), largest)
    with pytest.raises(ValueError, match="does not go into this pack"):
        writer.add(id_, BlobKind.DATA, 1, b"x")
    pack = writer.finish(Code(32, 16))
    assert len(pack.entries) == 2
    assert read_directory(RING, pack.data)[3] == pack.entries
    assert hashlib.sha256(open_all(pack, pack.entries[-1:])[0]).digest() == hashlib.sha256(largest).digest()


def test_tiny_blobs_close_a_pack_before_its_directory_grows_too_large() -> None:
    assert TARGET // (BLOB_COST + 17) < MAX_BLOBS
    writer = PackWriter(KEY, PackKind.DATA, SALT)
    count = 0
    while not writer.full:
        writer.add(ChunkId(count.to_bytes(32, "big")), BlobKind.DATA, 1, b"x")
        count += 1
    pack = writer.finish(CODE)
    assert pack.length < 16 << 20
    assert len(read_directory(RING, pack.data)[3]) == count


def test_an_empty_pack_is_a_pack() -> None:
    pack = pack_of([])
    assert read_directory(RING, pack.data)[3] == ()


def test_equal_plaintexts_look_different_in_two_packs() -> None:
    one = pack_of([b"the same"])
    writer = PackWriter(KEY, PackKind.DATA, b"\x5b" * 32)
    writer.add(KEY.chunk_id(b"the same"), BlobKind.DATA, 8, b"the same")
    two = writer.finish(CODE)
    entry = one.entries[0]
    assert one.data[entry.offset : entry.offset + entry.length] != two.data[entry.offset : entry.offset + entry.length]
