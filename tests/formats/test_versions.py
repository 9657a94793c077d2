"""A reader names a version that it does not know, and reads nothing of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.formats.make_vectors import VECTORS, WRAP_KEY
from tests.fuzz.targets import SEEDS

from peerage.errors import UnknownVersion
from peerage.flow.enrol import decode_enrolment
from peerage.keys.keystore import Keystore
from peerage.pack.reader import read_directory
from peerage.seal.keys import KeyRing
from peerage.snapshot.head import open_head, peek_head
from peerage.snapshot.index import decode_segment
from peerage.snapshot.snapshot import decode_snapshot, decode_summary
from peerage.snapshot.tree import decode_tree
from peerage.store.catalogue import Catalogue
from peerage.store.home import Home
from peerage.store.objects import ObjectStore
from peerage.wire import version
from peerage.wire.refusals import Refusal, RefusalCode


def vector(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


REPOSITORY, SNAPSHOTS = vector("repository"), vector("snapshots")
HEAD = bytes.fromhex(REPOSITORY["objects"][REPOSITORY["head"]])
PACK = bytes.fromhex(vector("packs")["pack"])
RING = KeyRing({7: b"\x17" * 32})
FORMATS: dict[str, tuple[bytes, int, Callable[[bytes], object]]] = {
    "pack": (PACK, 8, lambda data: read_directory(RING, data)),
    "pack algorithm": (PACK, 10, lambda data: read_directory(RING, data)),
    "tree": (bytes.fromhex(SNAPSHOTS["tree"][0]), 4, lambda data: decode_tree([data])),
    "snapshot": (bytes.fromhex(SNAPSHOTS["snapshot"]), 4, decode_snapshot),
    "summary": (bytes.fromhex(SNAPSHOTS["summary_held"]), 4, decode_summary),
    "index segment": (bytes.fromhex(SNAPSHOTS["index"]), 4, decode_segment),
    "head": (HEAD, 8, lambda data: open_head(data, WRAP_KEY)),
    "head algorithm": (HEAD, 10, peek_head),
    "keystore": (
        bytes.fromhex(vector("keystore")["keystore"]),
        8,
        lambda data: Keystore.open(data, vector("keystore")["passphrase"]),
    ),
}
"""Format -> golden bytes, the offset of its u16 version, its reader."""


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("number", [0, 2, 65535])
def test_unknown_versions_are_refused_by_name(name: str, number: int) -> None:
    data, at, read = FORMATS[name]
    assert data[at : at + 2] == b"\x00\x01"
    read(data)
    with pytest.raises(UnknownVersion, match=rf"\b{number}\b.*update Peerage"):
        read(data[:at] + number.to_bytes(2, "big") + data[at + 2 :])


def test_a_newer_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    Catalogue(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 4711")
    db.close()
    with pytest.raises(UnknownVersion, match="4711"):
        Catalogue(path)


def test_a_newer_object_index(tmp_path: Path) -> None:
    ObjectStore.open(tmp_path / "objects", tmp_path / "objects.sqlite", reserve_bytes=0).close()
    with sqlite3.connect(tmp_path / "objects.sqlite") as db:
        db.execute("PRAGMA user_version = 4711")
    db.close()
    with pytest.raises(UnknownVersion, match="4711"):
        ObjectStore.open(tmp_path / "objects", tmp_path / "objects.sqlite", reserve_bytes=0)


def test_a_newer_enrolment() -> None:
    data = (SEEDS / "enrolment" / "full").read_bytes()
    decode_enrolment(data)
    with pytest.raises(UnknownVersion, match="4711"):
        decode_enrolment(data.replace(b'"format": 1', b'"format": 4711'))


def test_a_newer_home(tmp_path: Path) -> None:
    Home.create(tmp_path / "home")
    (tmp_path / "home" / "version").write_text("4711\n")
    with pytest.raises(UnknownVersion, match="4711"):
        Home.open(tmp_path / "home")


@pytest.mark.parametrize("header", ["0", "2", "65535", "1.0", "", None])
def test_another_protocol(header: str | None) -> None:
    with pytest.raises(Refusal, match=f"this node speaks {version.offer()}") as raised:
        version.check(header)
    assert raised.value.code is RefusalCode.UNKNOWN_VERSION
    if header:
        assert header in str(raised.value)
