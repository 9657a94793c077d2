"""The pack's bytes: header, blobs, directory, trailer. All integers are big-endian. Normative: node/spec/packs.md.

    header     48   magic (8), version u16, algorithm u16, generation u32, salt (32)
    blobs      …    ciphertext || tag of each, one after the other
    directory  …    AES-256-GCM, counter DIRECTORY_ORDINAL, associated data: the header
    trailer    12   length of the sealed directory u32, magic (8)

The directory's plaintext is the pack's kind u8, then per blob a row of id (32), kind u8, sealed length u32, raw length
u32. Their order gives each blob's ordinal and offset.
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
"""A pack is closed when its size, as PackWriter counts it, has reached this."""
BLOB_COST = 128
"""Bytes that each blob counts for beside its own: its rows in the directory, the index and the catalogue."""
MAX_BLOBS = 1 << 18
"""Blobs of a pack at most; BLOB_COST closes a pack of tiny blobs before. Bounds the directory to 11 MB."""

HEADER = Struct(">8sHHI32s")
TRAILER = Struct(">I8s")
_ROW = Struct(">32sBII")
MAX_DIRECTORY = 1 + MAX_BLOBS * _ROW.size + TAG_SIZE
MAX_PACK = HEADER.size + TARGET + MAX_RAW_LENGTH + TAG_SIZE + MAX_DIRECTORY + TRAILER.size

FAMILY = {
    BlobKind.DATA: PackKind.DATA,
    BlobKind.TREE: PackKind.META,
    BlobKind.SNAPSHOT: PackKind.META,
    BlobKind.INDEX: PackKind.INDEX,
}
"""The kind of pack that a kind of blob goes into."""
_KINDS = {kind.value: kind for kind in BlobKind}


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


def encode_rows(entries: Sequence[BlobEntry]) -> bytes:
    """The blobs of a pack, 41 bytes each. Raises ValueError unless all are given, in order: rows have no offsets."""
    pack = _ROW.pack
    offset = HEADER.size
    rows: list[bytes] = []
    for ordinal, entry in enumerate(entries):
        if entry.ordinal != ordinal or entry.offset != offset:
            raise ValueError("a pack's blobs are listed whole and in order")
        rows.append(pack(entry.id, entry.kind, entry.length, entry.raw_length))
        offset += entry.length
    return b"".join(rows)


def decode_rows(rows: bytes | memoryview, kind: PackKind) -> tuple[BlobEntry, ...]:
    """The blobs of a pack of this kind, each placed behind the one before. Raises IntegrityError."""
    if len(rows) % _ROW.size or len(rows) > MAX_BLOBS * _ROW.size:
        raise IntegrityError(f"{len(rows)} bytes are no list of a pack's blobs")
    entries: list[BlobEntry] = []
    offset = HEADER.size
    for ordinal, (id_, kind_number, length, raw_length) in enumerate(_ROW.iter_unpack(rows)):
        blob_kind = _KINDS.get(kind_number)
        if blob_kind is None or FAMILY[blob_kind] != kind:
            raise IntegrityError("a pack lists a blob of another family")
        if raw_length > MAX_RAW_LENGTH or not TAG_SIZE <= length <= raw_length + TAG_SIZE:
            raise IntegrityError(f"a blob of {length} sealed and {raw_length} plain bytes cannot be")
        entries.append(BlobEntry(ChunkId(id_), blob_kind, ordinal, offset, length, raw_length))
        offset += length
    return tuple(entries)


def encode_directory(kind: PackKind, entries: Sequence[BlobEntry]) -> bytes:
    return bytes([kind]) + encode_rows(entries)


def decode_directory(plain: bytes, blobs_end: int) -> tuple[PackKind, tuple[BlobEntry, ...]]:
    """The pack's kind and blobs. blobs_end: the offset at which the blobs must end. Raises IntegrityError."""
    try:
        kind = PackKind(plain[0])
    except (ValueError, IndexError):
        raise IntegrityError("a pack's directory names no known kind of pack") from None
    entries = decode_rows(memoryview(plain)[1:], kind)
    end = entries[-1].offset + entries[-1].length if entries else HEADER.size
    if end != blobs_end:
        raise IntegrityError("a pack's directory does not cover its blobs")
    return kind, entries
