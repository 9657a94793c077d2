"""The head: the one object that recovery starts from. Normative: node/spec/heads.md. All integers are big-endian.

    magic       8    "PEERHEAD"
    version     u16
    algorithm   u16
    length      u32  of the whole head, signature included, padding not
    member      u32
    repository  u32
    number      u64
    generation  u32  of the repository key that seals the body
    salt        32   random; gives the body a key of its own
    raw length  u32  of the body's plaintext
    wrapped     u16  number of wrapped repository keys
    per key     64   generation u32, nonce (12), ciphertext (32), tag (16)
    body        …    AES-256-GCM, nonce counter 0, associated data: all of the above; zstd frame of msgpack
    signature   65   by a node key of the member, over EIP-712 Head whose digest is SHA-256 of all that stands before

The words alone open a head: they unwrap the repository key that stands in the clear part. The anchor on chain is the
SHA-256 of the whole, padding not included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from struct import Struct
from typing import Annotated, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from peerage.errors import IntegrityError, UnknownVersion
from peerage.model import LEAF_SIZE, PackRecord
from peerage.seal.blob import MAX_RAW_LENGTH, compress, decompress, nonce
from peerage.seal.keys import SALT_SIZE, TAG_SIZE, WRAPPED_SIZE, KeyRing, RepositoryKey, unwrap_all
from peerage.snapshot.codec import I64, Id, decode_plain
from peerage.snapshot.index import Record, from_record, to_record
from peerage.snapshot.snapshot import SnapshotSummary

Buffer = bytes | bytearray | memoryview

MAGIC = b"PEERHEAD"
VERSION = 1
ALGORITHM = 1
SIGNATURE_SIZE = 65
MAX_WRAPPED = 256
_CLEAR = Struct(">8sHHIIIQI32sIH")
_WRAPPED = Struct(f">I{WRAPPED_SIZE}s")
MAX_HEAD = _CLEAR.size + MAX_WRAPPED * _WRAPPED.size + MAX_RAW_LENGTH + TAG_SIZE + SIGNATURE_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a member's repository is. number: grows by one with each head. previous: the hash of the head before, zeros
    for the first. time_ns: the client's clock, for people. generation: of the key that seals it. index_packs: records
    without blobs, in the order in which their segments are to be read. snapshots: oldest first."""

    member: int
    repository: int
    number: int
    previous: bytes
    time_ns: int
    generation: int
    index_packs: list[PackRecord] = field(default_factory=list)
    snapshots: list[SnapshotSummary] = field(default_factory=list)


class HeadHeader(NamedTuple):
    """A head's clear part. length: of the unpadded head. digest: what EIP-712 Head signs. hash: what is anchored."""

    member: int
    repository: int
    number: int
    generation: int
    salt: bytes
    wrapped_keys: dict[int, bytes]
    length: int
    raw_length: int
    body_at: int
    digest: bytes
    signature: bytes
    hash: bytes


class _Body(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    previous: Id
    time_ns: I64
    index_packs: Annotated[list[Record], msgspec.Meta(max_length=1 << 16)]
    snapshots: list[SnapshotSummary]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Body)


def seal_head(
    head: Head, key: RepositoryKey, wrapped_keys: Mapping[int, bytes], salt: bytes, sign: Callable[[bytes], bytes]
) -> bytes:
    """The head's bytes, unpadded.

    salt: 32 random bytes, never used before. sign: SHA-256 digest -> 65-byte signature over EIP-712 Head. Raises
    ValueError for a head that open_head would refuse.
    """
    if head.generation != key.generation or len(salt) != SALT_SIZE or len(wrapped_keys) > MAX_WRAPPED:
        raise ValueError("a head is sealed by the key that it names, with a salt of 32 bytes")
    body = _Body(
        head.previous, head.time_ns, [to_record(without_blobs(pack)) for pack in head.index_packs], head.snapshots
    )
    raw = _encoder.encode(body)
    if len(raw) > MAX_RAW_LENGTH:
        raise ValueError(f"a head of {len(raw)} bytes is too large")
    payload = compress(raw)
    wrapped = b"".join(_WRAPPED.pack(generation, wrapped_keys[generation]) for generation in sorted(wrapped_keys))
    length = _CLEAR.size + len(wrapped) + len(payload) + TAG_SIZE + SIGNATURE_SIZE
    fixed = _CLEAR.pack(
        MAGIC,
        VERSION,
        ALGORITHM,
        length,
        head.member,
        head.repository,
        head.number,
        head.generation,
        salt,
        len(raw),
        len(wrapped_keys),
    )
    clear = fixed + wrapped
    signed = clear + AESGCM(key.head_key(salt)).encrypt(nonce(0), payload, clear)
    signature = sign(sha256(signed).digest())
    if len(signature) != SIGNATURE_SIZE:
        raise ValueError("a signature is 65 bytes")
    return signed + signature


def padded(body: bytes) -> bytes:
    """A sealed head as providers keep it: whole leaves, filled up with zeros."""
    return body + bytes(-len(body) % LEAF_SIZE)


def peek_head(data: Buffer) -> HeadHeader:
    """The clear part of a head, padded or not; nothing is authenticated yet. Raises IntegrityError, UnknownVersion."""
    view = memoryview(data)
    if len(view) < _CLEAR.size or bytes(view[:8]) != MAGIC:
        raise IntegrityError("these bytes are not a head")
    (_, version, algorithm, length, member, repository, number, generation, salt, raw_length, count) = (
        _CLEAR.unpack_from(view)
    )
    if version != VERSION or algorithm != ALGORITHM:
        raise UnknownVersion(
            f"head format version {version}, algorithm {algorithm} is not known here (known: {VERSION}, {ALGORITHM}): "
            "update Peerage"
        )
    body_at = _CLEAR.size + count * _WRAPPED.size
    if count > MAX_WRAPPED or raw_length > MAX_RAW_LENGTH:
        raise IntegrityError("a head's lengths are beyond the limits")
    if not body_at + TAG_SIZE + SIGNATURE_SIZE <= length <= min(len(view), MAX_HEAD):
        raise IntegrityError("a head is cut short, or its length is wrong")
    wrapped = dict(_WRAPPED.iter_unpack(view[_CLEAR.size : body_at]))
    if list(wrapped) != sorted(wrapped) or len(wrapped) != count:
        raise IntegrityError("a head's wrapped keys are not in order")
    signed = view[: length - SIGNATURE_SIZE]
    signature = bytes(view[length - SIGNATURE_SIZE : length])
    digest = sha256(signed)
    whole = digest.copy()
    whole.update(signature)
    return HeadHeader(
        member,
        repository,
        number,
        generation,
        salt,
        wrapped,
        length,
        raw_length,
        body_at,
        digest.digest(),
        signature,
        whole.digest(),
    )


def open_head(data: Buffer, keys: KeyRing | bytes) -> Head:
    """A head's content. keys: the node's ring, or the words' wrap key. The signature is the caller's to check.

    Raises IntegrityError, UnknownVersion.
    """
    header = peek_head(data)
    ring = keys if isinstance(keys, KeyRing) else unwrap_all(header.wrapped_keys, keys)
    view = memoryview(data)
    sealed = view[header.body_at : header.length - SIGNATURE_SIZE]
    cipher = AESGCM(ring.need(header.generation).head_key(header.salt))
    try:
        payload = cipher.decrypt(nonce(0), sealed, bytes(view[: header.body_at]))
    except InvalidTag:
        raise IntegrityError(f"head {header.number} is not authentic") from None
    body = decode_plain(decompress(payload, header.raw_length), _decoder, "a head")
    return Head(
        member=header.member,
        repository=header.repository,
        number=header.number,
        previous=body.previous,
        time_ns=body.time_ns,
        generation=header.generation,
        index_packs=[from_record(record) for record in body.index_packs],
        snapshots=body.snapshots,
    )


def without_blobs(pack: PackRecord) -> PackRecord:
    """The record with its shards only."""
    return PackRecord(
        pack.id, pack.kind, pack.generation, pack.length, pack.code, pack.shard_length, pack.shards, blobs=()
    )
