"""The keystore: what opens it, and what does not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.errors import IntegrityError, UnknownVersion, UserError
from peerage.keys import keystore as module
from peerage.keys.keystore import Keystore

VECTOR = json.loads((Path(__file__).parent.parent / "vectors" / "keystore.json").read_text())
STORE = Keystore(
    account="0xF278cF59F82eDcf871d630F28EcC8056f25C1cdb",
    node_key=b"\x01" * 32,
    tls_key_pem=b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n",
    certificate_der=b"\x30\x82",
    onion_seed=b"\x02" * 32,
    repository_keys={0: b"\x03" * 32, 1: b"\x04" * 32},
    wrapped_keys={0: b"\x05" * 60, 1: b"\x06" * 60},
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheap scrypt for files that these tests write; the vector has the real cost."""
    monkeypatch.setattr(module, "LOG2_N", 4)


@pytest.mark.parametrize("passphrase", ["", "correct horse", "påssphrase ☃", " spaces "])
def test_it_opens_with_its_passphrase_only(passphrase: str) -> None:
    data = STORE.seal(passphrase)
    assert Keystore.open(data, passphrase) == STORE
    with pytest.raises(UserError, match="wrong passphrase"):
        Keystore.open(data, passphrase + "x")


def test_one_passphrase_typed_on_two_keyboards() -> None:
    assert Keystore.open(STORE.seal("p\u00e5ss"), "pa\u030ass") == STORE


def test_two_files_of_one_store_share_nothing() -> None:
    assert STORE.seal("x")[13:] != STORE.seal("x")[13:]


def test_vector() -> None:
    assert Keystore.open(bytes.fromhex(VECTOR["keystore"]), VECTOR["passphrase"]) == STORE


def test_no_byte_can_change() -> None:
    data = bytearray(STORE.seal("x"))
    for i in range(len(data)):
        data[i] ^= 1
        with pytest.raises((IntegrityError, UserError)):
            Keystore.open(bytes(data), "x")
        data[i] ^= 1


def test_a_keystore_cannot_ask_for_more_work_or_memory_than_ours_do() -> None:
    data = bytearray(STORE.seal("x"))
    for log2_n, r, p in ((63, 8, 1), (20, 255, 1), (15, 0, 1), (15, 8, 0), (15, 8, 255), (0, 8, 1)):
        data[10:13] = bytes([log2_n, r, p])
        with pytest.raises(IntegrityError, match="more work"):
            Keystore.open(bytes(data), "x")


def test_versions_and_other_files() -> None:
    data = STORE.seal("x")
    with pytest.raises(UnknownVersion, match="version 2"):
        Keystore.open(data[:9] + b"\x02" + data[10:], "x")
    for junk in (b"", b"PEERKEYS", data[:40], b"x" + data[1:], data + bytes(1 << 20)):
        with pytest.raises(IntegrityError):
            Keystore.open(junk, "x")


@given(st.binary(max_size=100))
def test_any_bytes_are_refused_in_one_way(junk: bytes) -> None:
    with pytest.raises(IntegrityError):
        Keystore.open(junk, "")


def test_malformed_contents_are_refused() -> None:
    with pytest.raises(IntegrityError, match="malformed"):
        Keystore.open(dataclasses.replace(STORE, node_key=b"short").seal(""), "")


def test_no_secret_is_shown() -> None:
    assert "secret" not in repr(STORE)
    assert repr(STORE.node_key) not in repr(STORE)
