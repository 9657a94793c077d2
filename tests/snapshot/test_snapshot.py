"""Snapshots and their summaries as bytes."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from tests.snapshot.strategies import summaries

from peerage.errors import IntegrityError, UnknownVersion
from peerage.model import ChunkId
from peerage.snapshot.snapshot import (
    Snapshot,
    SnapshotSummary,
    decode_snapshot,
    decode_summary,
    encode_snapshot,
    encode_summary,
    summary_of,
)

VECTOR = json.loads((Path(__file__).parent.parent / "vectors" / "snapshots.json").read_text())
SNAPSHOT = Snapshot(
    time_ns=1_700_000_000_123_456_789,
    host="nas",
    user="ann",
    paths=[b"/srv/\xff", b"/etc"],
    prefix=b"/",
    subtree=b"\x33" * 32,
    files=5,
    directories=2,
    bytes=6_000_000_000,
    tags=["hold"],
)
ID = ChunkId(b"\x44" * 32)


def test_vectors() -> None:
    assert decode_snapshot(encode_snapshot(SNAPSHOT)) == SNAPSHOT
    assert decode_snapshot(bytes.fromhex(VECTOR["snapshot"])) == SNAPSHOT
    summary = summary_of(SNAPSHOT, ID)
    assert decode_summary(bytes.fromhex(VECTOR["summary"])) == summary
    held = msgspec.structs.replace(summary, hold="audit 2026")
    assert decode_summary(bytes.fromhex(VECTOR["summary_held"])) == held


@given(summaries)
def test_summaries_come_back(summary: SnapshotSummary) -> None:
    assert decode_summary(encode_summary(summary)) == summary


def test_what_is_not_a_snapshot() -> None:
    data = encode_snapshot(SNAPSHOT)
    with pytest.raises(UnknownVersion, match="format version 9"):
        decode_snapshot(data[:5] + b"\x09" + data[6:])
    with pytest.raises(UnknownVersion):
        decode_summary(encode_summary(summary_of(SNAPSHOT, ID))[:5] + b"\x02")
    for junk in (b"", data[:-1], data + b"\x00", b"PTRE" + data[4:], data[:6] + b"\x80", data[:6] + b"\xc0"):
        with pytest.raises(IntegrityError):
            decode_snapshot(junk)
    with pytest.raises(IntegrityError, match="cut short"):
        decode_snapshot(encode_snapshot(Snapshot(time_ns=0, subtree=b"x" * 31)))
