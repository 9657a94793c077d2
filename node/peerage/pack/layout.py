"""The pack's bytes: header, blobs, directory, trailer. All integers are big-endian. Normative: node/spec/packs.md.

    header     48   magic (8), version u16, algorithm u16, generation u32, salt (32)
    blobs      …    ciphertext || tag of each, one after the other
    directory  …    AES-256-GCM, counter DIRECTORY_ORDINAL, associated data: the header
    trailer    12   length of the sealed directory u32, magic (8)

The directory's plaintext is pack kind u8, count u32, and per blob id (32), kind u8, sealed length u32, raw length u32.
Order gives each blob's ordinal and offset.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from peerage.errors import IntegrityError, UnknownVersion
from peerage.model import MIB, BlobEntry, BlobKind, ChunkId, PackId, PackKind
from peerage.seal.blob import MAX_RAW_LENGTH
from peerage.seal.keys import TAG_SIZE

MAGIC = b"PEERPACK"
TRAILER_MAGIC = b"PEERAGE."
VERSION = 1
ALGORITHM = 1
"""zstd or stored; AES-256-GCM; keyed BLAKE3 ids; HKDF-SHA256."""

TARGET = 32 * MIB
"""A pack is closed when it has reached this size."""
MAX_BLOBS = 1 << 16
"""Blobs of a pack at most: bounds the directory to 2.7 MB."""

HEADER = Struct(">8sHHI32s")
TRAILER = Struct(">I8s")
_DIRECTORY_HEAD = Struct(">BI")
_DIRECTORY_ENTRY = Struct(">32sBII")
MAX_DIRECTORY = _DIRECTORY_HEAD.size + MAX_BLOBS * _DIRECTORY_ENTRY.size + TAG_SIZE
MAX_PACK = HEADER.size + TARGET + MAX_RAW_LENGTH + TAG_SIZE + MAX_DIRECTORY + TRAILER.size

FAMILY = {
    BlobKind.DATA: PackKind.DATA,
    BlobKind.TREE: PackKind.META,
    BlobKind.SNAPSHOT: PackKind.META,
    BlobKind.INDEX: PackKind.INDEX,
}
"""The kind of pack that a kind of blob goes into."""


def encode_header(generation: int, salt: bytes) -> bytes:
    return HEADER.pack(MAGIC, VERSION, ALGORITHM, generation, salt)


def decode_header(data: bytes | bytearray | memoryview) -> tuple[int, PackId]:
    """(generation, id) of a pack. Raises IntegrityError; UnknownVersion for a pack of a later release."""
    if len(data) < HEADER.size:
        raise IntegrityError(f"a pack of {len(data)} bytes has no header")
    magic, version, algorithm, generation, salt = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise IntegrityError("these bytes are not a pack")
    if version != VERSION:
        raise UnknownVersion(f"pack format version {version} is not known here (known: {VERSION}): update Peerage")
    if algorithm != ALGORITHM:
        raise UnknownVersion(f"pack algorithm {algorithm} is not known here (known: {ALGORITHM}): update Peerage")
    return generation, PackId(salt)


def encode_directory(kind: PackKind, entries: Sequence[BlobEntry]) -> bytes:
    pack = _DIRECTORY_ENTRY.pack
    rows = [pack(entry.id, entry.kind, entry.length, entry.raw_length) for entry in entries]
    return _DIRECTORY_HEAD.pack(kind, len(entries)) + b"".join(rows)


def decode_directory(plain: bytes, blobs_end: int) -> tuple[PackKind, tuple[BlobEntry, ...]]:
    """The pack's kind and blobs. blobs_end: the offset at which the blobs must end. Raises IntegrityError."""
    if len(plain) < _DIRECTORY_HEAD.size:
        raise IntegrityError("a pack's directory is cut short")
    kind_number, count = _DIRECTORY_HEAD.unpack_from(plain)
    if count > MAX_BLOBS or len(plain) != _DIRECTORY_HEAD.size + count * _DIRECTORY_ENTRY.size:
        raise IntegrityError(f"a pack's directory of {len(plain)} bytes does not hold {count} blobs")
    entries: list[BlobEntry] = []
    offset = HEADER.size
    try:
        kind = PackKind(kind_number)
        for ordinal, (id_, blob_kind, length, raw_length) in enumerate(
            _DIRECTORY_ENTRY.iter_unpack(memoryview(plain)[_DIRECTORY_HEAD.size :])
        ):
            check_lengths(length, raw_length)
            entries.append(BlobEntry(ChunkId(id_), BlobKind(blob_kind), ordinal, offset, length, raw_length))
            offset += length
    except ValueError as error:
        raise IntegrityError(f"a pack's directory is malformed: {error}") from None
    if any(FAMILY[entry.kind] != kind for entry in entries):
        raise IntegrityError("a pack's directory lists blobs of another family")
    if offset != blobs_end:
        raise IntegrityError("a pack's directory does not cover its blobs")
    return kind, tuple(entries)


def check_lengths(length: int, raw_length: int) -> None:
    """Raises IntegrityError unless these can be a blob's sealed and raw lengths."""
    if raw_length > MAX_RAW_LENGTH or not TAG_SIZE <= length <= raw_length + TAG_SIZE:
        raise IntegrityError(f"a blob of {length} sealed and {raw_length} plain bytes cannot be")
