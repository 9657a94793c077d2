"""Snapshots, and the summaries of them that heads list. Normative: node/spec/snapshots.md.

A snapshot's id is the chunk id of its encoding, so it names all that is in it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from peerage.errors import IntegrityError
from peerage.model import ChunkId
from peerage.snapshot.codec import I64, ID_SIZE, U63, Id, decode, prefix

MAGIC = b"PSNP"
SUMMARY_MAGIC = b"PSUM"
VERSION = 1

Path = Annotated[bytes, msgspec.Meta(max_length=4096)]
Paths = Annotated[list[Path], msgspec.Meta(max_length=4096)]
MAX_TEXT = 256
MAX_TAGS = 64

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Ids = Annotated[bytes, msgspec.Meta(max_length=1 << 21)]
Tags = Annotated[list[Text], msgspec.Meta(max_length=MAX_TAGS)]


class Snapshot(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """The state of `paths` at one time.

    time_ns: by the client's clock, for people only. paths: absolute, as given. prefix: what source paths begin with
    before the root tree's names. subtree: ids of the root tree's blobs, none if it is empty. files, bytes: what the
    trees hold.
    """

    time_ns: I64
    host: Text = ""
    user: Text = ""
    paths: Paths = []
    prefix: Path = b""
    subtree: Ids = b""
    files: U63 = 0
    directories: U63 = 0
    bytes: U63 = 0
    tags: Tags = []


class SnapshotSummary(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What a head says of a snapshot. id: the chunk id of the snapshot's blob. hold: why it may not be forgotten, maybe
    without a word; None if it may."""

    id: Id
    time_ns: I64
    host: Text = ""
    user: Text = ""
    paths: Paths = []
    files: U63 = 0
    bytes: U63 = 0
    tags: Tags = []
    hold: Text | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)
_summary_decoder = msgspec.msgpack.Decoder(SnapshotSummary)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    return prefix(MAGIC, VERSION) + _encoder.encode(snapshot)


def decode_snapshot(data: bytes) -> Snapshot:
    """Raises IntegrityError, UnknownVersion."""
    snapshot = decode(data, MAGIC, VERSION, _decoder, "a snapshot")
    if len(snapshot.subtree) % ID_SIZE:
        raise IntegrityError("a snapshot is malformed: ids are cut short")
    return snapshot


def summary_of(snapshot: Snapshot, id: ChunkId) -> SnapshotSummary:
    return SnapshotSummary(
        id=id,
        time_ns=snapshot.time_ns,
        host=snapshot.host,
        user=snapshot.user,
        paths=snapshot.paths,
        files=snapshot.files,
        bytes=snapshot.bytes,
        tags=snapshot.tags,
    )


def encode_summary(summary: SnapshotSummary) -> bytes:
    """A summary by itself, for the local catalogue."""
    return prefix(SUMMARY_MAGIC, VERSION) + _encoder.encode(summary)


def decode_summary(data: bytes) -> SnapshotSummary:
    """Raises IntegrityError, UnknownVersion."""
    return decode(data, SUMMARY_MAGIC, VERSION, _summary_decoder, "a snapshot's summary")
