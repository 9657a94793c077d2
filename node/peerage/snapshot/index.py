"""The index: what every pack holds and where its shards are. Normative: node/spec/index.md.

Segments are read in the order of their packs and blobs. A later record of a pack replaces the earlier one's shards, and
its blobs too unless it lists none: that is how repair moves shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Annotated

import msgspec

from peerage.errors import IntegrityError
from peerage.model import (
    LEAF_SIZE,
    MIB,
    AgreementId,
    Code,
    MemberId,
    PackId,
    PackKind,
    PackRecord,
    ShardLocation,
    ShardRoot,
)
from peerage.pack.layout import MAX_PACK, decode_rows, encode_rows
from peerage.snapshot.codec import U32, Id, decode, prefix

MAGIC = b"PIDX"
VERSION = 1
SEGMENT_SIZE = 4 * MIB
"""Bytes of a segment at most, unless one record alone is larger."""
_SHARD = Struct(">32sI32s")


class Record(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """A PackRecord as it is written. shards: per shard, in order, root (32), provider u32, agreement (32). blobs: rows
    as in a pack's directory."""

    id: Id
    kind: PackKind
    generation: U32
    length: Annotated[int, msgspec.Meta(ge=0, le=MAX_PACK)]
    k: Annotated[int, msgspec.Meta(ge=1, le=32)]
    m: Annotated[int, msgspec.Meta(ge=1, le=16)]
    shard_length: Annotated[int, msgspec.Meta(ge=LEAF_SIZE, le=MAX_PACK + LEAF_SIZE, multiple_of=LEAF_SIZE)]
    shards: Annotated[bytes, msgspec.Meta(max_length=48 * 68)]
    blobs: bytes = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Record])
_PREFIX = prefix(MAGIC, VERSION)


def encode_segments(packs: Iterable[PackRecord]) -> Iterator[bytes]:
    """Index blobs of at most SEGMENT_SIZE that hold the records in order. Lazy: one segment is in memory at a time.

    Raises ValueError for a record that decode_segment would refuse.
    """
    rows: list[bytes] = []
    size = 0
    for pack in packs:
        row = _encoder.encode(to_record(pack))
        if rows and size + len(row) > SEGMENT_SIZE:
            yield _segment(rows)
            rows, size = [], 0
        rows.append(row)
        size += len(row)
    if rows:
        yield _segment(rows)


def decode_segment(data: bytes) -> list[PackRecord]:
    """The records of one index blob, in order. Raises IntegrityError, UnknownVersion."""
    return [from_record(record) for record in decode(data, MAGIC, VERSION, _decoder, "an index segment")]


def merged(earlier: PackRecord | None, later: PackRecord) -> PackRecord:
    """What is known of a pack after `later` was read: its shards; its blobs, or the earlier ones if it lists none."""
    if earlier is None or later.blobs:
        return later
    return PackRecord(
        later.id,
        later.kind,
        later.generation,
        later.length,
        later.code,
        later.shard_length,
        later.shards,
        earlier.blobs,
    )


def to_record(pack: PackRecord) -> Record:
    """The written form. Raises ValueError for a pack whose shards are not those of its code, in order."""
    if [shard.index for shard in pack.shards] != list(range(pack.code.n)):
        raise ValueError("a pack's shards are listed whole and in order")
    shards = b"".join(_SHARD.pack(s.root, s.provider, s.agreement) for s in pack.shards)
    return Record(
        pack.id,
        pack.kind,
        pack.generation,
        pack.length,
        pack.code.k,
        pack.code.m,
        pack.shard_length,
        shards,
        encode_rows(pack.blobs),
    )


def from_record(record: Record) -> PackRecord:
    """Raises IntegrityError."""
    code = Code(record.k, record.m)
    if len(record.shards) != code.n * _SHARD.size:
        raise IntegrityError(f"a pack of code {code.k}+{code.m} lists another number of shards")
    if not record.length <= code.k * record.shard_length < record.length + code.k * LEAF_SIZE + LEAF_SIZE:
        raise IntegrityError("a pack's length does not fit its shards")
    shards = tuple(
        ShardLocation(index, ShardRoot(root), MemberId(provider), AgreementId(agreement))
        for index, (root, provider, agreement) in enumerate(_SHARD.iter_unpack(record.shards))
    )
    blobs = decode_rows(record.blobs, record.kind)
    if blobs and blobs[-1].offset + blobs[-1].length > record.length:
        raise IntegrityError("a pack's blobs reach beyond it")
    return PackRecord(
        PackId(record.id), record.kind, record.generation, record.length, code, record.shard_length, shards, blobs
    )


def _segment(rows: list[bytes]) -> bytes:
    return _PREFIX + b"\xdd" + len(rows).to_bytes(4, "big") + b"".join(rows)
