"""Heads: sealed, peeked at, opened by a ring or by the words, and damaged at every byte."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snapshot.strategies import ids, pack_records, summaries, times

from peerage.errors import IntegrityError, UnknownVersion
from peerage.seal.keys import KeyRing, wrap
from peerage.snapshot.head import Head, open_head, peek_head, seal_head

VECTOR = json.loads((Path(__file__).parent.parent / "vectors" / "heads.json").read_text())
WRAP_KEY = b"\x77" * 32
RAW = {0: b"\x10" * 32, 1: b"\x11" * 32}
WRAPPED = {generation: wrap(raw, WRAP_KEY, generation, b"\x01" * 12) for generation, raw in RAW.items()}
RING = KeyRing(RAW)
SALT = b"\x5c" * 32
SIGNATURE = b"\x99" * 65
EMPTY = Head(member=3, repository=0, number=1, previous=bytes(32), time_ns=5, generation=1)


def seal(head: Head) -> bytes:
    return seal_head(head, RING[head.generation], WRAPPED, SALT, lambda digest: SIGNATURE)


@settings(max_examples=30, deadline=None)
@given(
    st.builds(
        Head,
        member=st.integers(0, 2**32 - 1),
        repository=st.integers(0, 2**32 - 1),
        number=st.integers(0, 2**64 - 1),
        previous=ids,
        time_ns=times,
        generation=st.sampled_from([0, 1]),
        index_packs=st.lists(pack_records(with_blobs=False), max_size=3),
        snapshots=st.lists(summaries, max_size=3),
    ),
    st.integers(0, 1500),
)
def test_heads_come_back_by_ring_and_by_words(head: Head, padding: int) -> None:
    data = seal(head)
    assert open_head(data + bytes(padding), RING) == head
    assert open_head(memoryview(data + bytes(padding)), WRAP_KEY) == head


def test_vector() -> None:
    data = bytes.fromhex(VECTOR["head"])
    head = open_head(data, WRAP_KEY)
    assert head == dataclasses.replace(EMPTY, number=9, previous=b"\xee" * 32)
    header = peek_head(data)
    assert header.hash.hex() == VECTOR["hash"]
    assert header.digest.hex() == VECTOR["digest"]
    assert open_head(seal(head), RING) == head


def test_what_is_signed_and_what_is_anchored() -> None:
    signed: list[bytes] = []

    def sign(digest: bytes) -> bytes:
        signed.append(digest)
        return SIGNATURE

    data = seal_head(EMPTY, RING[1], WRAPPED, SALT, sign)
    header = peek_head(data + bytes(777))
    assert header.length == len(data)
    assert header.signature == SIGNATURE
    assert header.digest == signed[0] == hashlib.sha256(data[:-65]).digest()
    assert header.hash == hashlib.sha256(data).digest()
    assert header.wrapped_keys == WRAPPED
    assert (header.member, header.repository, header.number, header.generation) == (3, 0, 1, 1)


def test_no_byte_can_change() -> None:
    """The signature alone is not the seal's business: it changes the hash, and the signer is checked by the caller."""
    data = bytearray(seal(EMPTY))
    before = peek_head(data)
    for i in range(len(data)):
        data[i] ^= 1
        if i < len(data) - 65:
            with pytest.raises(IntegrityError):
                open_head(data, RING)
            with pytest.raises(IntegrityError):
                open_head(data, WRAP_KEY)
        else:
            assert peek_head(data).hash != before.hash
            assert peek_head(data).signature != before.signature
        data[i] ^= 1


def test_other_keys_open_nothing() -> None:
    data = seal(EMPTY)
    with pytest.raises(IntegrityError):
        open_head(data, b"\x78" * 32)
    with pytest.raises(IntegrityError):
        open_head(data, KeyRing({1: b"\x12" * 32}))
    with pytest.raises(IntegrityError, match="generation 1"):
        open_head(data, KeyRing({0: RAW[0]}))


def test_cut_heads_are_refused() -> None:
    data = seal(EMPTY)
    for length in range(len(data)):
        with pytest.raises(IntegrityError):
            peek_head(data[:length])


def test_later_versions_are_named() -> None:
    data = bytearray(seal(EMPTY))
    data[9] = 2
    with pytest.raises(UnknownVersion, match="version 2"):
        peek_head(data)
    data[9], data[11] = 1, 3
    with pytest.raises(UnknownVersion, match="algorithm 3"):
        peek_head(data)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_one_way(junk: bytes) -> None:
    for data in (junk, b"PEERHEAD\x00\x01\x00\x01" + junk):
        with pytest.raises(IntegrityError):
            open_head(data, RING)


def test_a_head_names_the_key_that_seals_it() -> None:
    with pytest.raises(ValueError, match="sealed by the key"):
        seal_head(EMPTY, RING[0], WRAPPED, SALT, lambda digest: SIGNATURE)
    with pytest.raises(ValueError, match="65 bytes"):
        seal_head(EMPTY, RING[1], WRAPPED, SALT, lambda digest: b"short")
