"""Repository keys: derivation against HMAC written out, and wrapping."""

from __future__ import annotations

import hmac
import json
import os
from pathlib import Path

import pytest
from blake3 import blake3

from peerage.errors import IntegrityError
from peerage.seal.keys import KeyRing, RepositoryKey, derive, unwrap, unwrap_all, wrap

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "sealing.json").read_text())


def hkdf(key: bytes, info: bytes, salt: bytes, length: int = 32) -> bytes:
    """RFC 5869 for one block of output."""
    return hmac.digest(hmac.digest(salt or bytes(32), key, "sha256"), info + b"\x01", "sha256")[:length]


def test_subkeys_are_rfc_5869s() -> None:
    raw, salt = os.urandom(32), os.urandom(32)
    key = RepositoryKey(3, raw)
    assert key.pack_key(salt) == hkdf(raw, b"peerage/v1/pack", salt)
    assert key.head_key(salt) == hkdf(raw, b"peerage/v1/head", salt)
    assert key.cut_seed == int.from_bytes(hkdf(raw, b"peerage/v1/cut", b"", 8), "big")
    data = os.urandom(5000)
    assert key.chunk_id(data) == blake3(data, key=hkdf(raw, b"peerage/v1/chunk-id", b"")).digest()
    assert derive(raw, b"x") == hkdf(raw, b"x", b"")


def test_vectors() -> None:
    case = VECTORS["repository_key"]
    key = RepositoryKey(case["generation"], bytes.fromhex(case["raw"]))
    salt = bytes.fromhex(case["salt"])
    assert key.pack_key(salt).hex() == case["pack_key"]
    assert key.head_key(salt).hex() == case["head_key"]
    assert key.cut_seed == case["cut_seed"]
    assert key.chunk_id(case["text"].encode()).hex() == case["chunk_id"]
    wrapped = wrap(key.raw, bytes.fromhex(case["wrap_key"]), key.generation, bytes.fromhex(case["nonce"]))
    assert wrapped.hex() == case["wrapped"]


def test_wrapping_binds_key_generation_and_every_byte() -> None:
    raw, words = os.urandom(32), os.urandom(32)
    wrapped = wrap(raw, words, 5, os.urandom(12))
    assert unwrap(wrapped, words, 5) == raw
    assert unwrap_all({5: wrapped}, words)[5].raw == raw
    for damaged in [bytes([*wrapped[:i], wrapped[i] ^ 1, *wrapped[i + 1 :]]) for i in range(60)] + [wrapped[:-1], b""]:
        with pytest.raises(IntegrityError):
            unwrap(damaged, words, 5)
    with pytest.raises(IntegrityError, match="generation 4"):
        unwrap(wrapped, words, 4)
    with pytest.raises(IntegrityError):
        unwrap(wrapped, os.urandom(32), 5)


def test_a_ring_seals_with_its_newest_key() -> None:
    ring = KeyRing({0: bytes(32), 2: b"\x02" * 32, 1: b"\x01" * 32})
    assert ring.current.generation == 2
    assert sorted(ring) == [0, 1, 2]
    with pytest.raises(IntegrityError, match="generation 9"):
        ring.need(9)
    with pytest.raises(IntegrityError):
        _ = KeyRing({}).current


def test_no_key_is_ever_shown() -> None:
    key = RepositoryKey(1, b"secret-secret-secret-secret-secr")
    assert "secret" not in repr(key)
    assert "secret" not in repr(KeyRing({1: key.raw}))


@pytest.mark.parametrize(("generation", "raw"), [(0, b"short"), (-1, bytes(32)), (2**32, bytes(32))])
def test_malformed_keys(generation: int, raw: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        RepositoryKey(generation, raw)
