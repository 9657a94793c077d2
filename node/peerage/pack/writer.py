"""Filling a pack: blobs are encrypted straight into its one buffer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from peerage.model import LEAF_SIZE, BlobEntry, BlobKind, ChunkId, Code, PackId, PackKind
from peerage.pack.layout import (
    BLOB_COST,
    FAMILY,
    HEADER,
    MAX_PACK,
    TARGET,
    TRAILER,
    TRAILER_MAGIC,
    encode_directory,
    encode_header,
)
from peerage.seal.blob import DIRECTORY_ORDINAL, MAX_RAW_LENGTH, aad, nonce
from peerage.seal.keys import SALT_SIZE, TAG_SIZE, RepositoryKey
from peerage.seal.memory import zeroed
from peerage.shard.code import shard_length

Buffer = bytes | bytearray | memoryview

_MAX_PADDING = 32 * LEAF_SIZE
"""Zeros behind a pack at most: less than a leaf for each data shard."""


@dataclass(frozen=True, slots=True)
class SealedPack:
    """A finished pack. data: the pack and zeros up to k * shard_length bytes, writable; length: of the pack proper."""

    id: PackId
    kind: PackKind
    generation: int
    data: memoryview
    length: int
    shard_length: int
    entries: tuple[BlobEntry, ...]


class PackWriter:
    """One pack in the making. Not for two threads at once: the caller holds a lock around add() and finish().

    salt: 32 random bytes, never used before; it is the pack's id and gives it a key of its own.
    """

    def __init__(self, key: RepositoryKey, kind: PackKind, salt: bytes) -> None:
        if len(salt) != SALT_SIZE:
            raise ValueError("a pack's salt is 32 bytes")
        self.kind = kind
        self.id = PackId(bytes(salt))
        self.generation = key.generation
        self.entries: list[BlobEntry] = []
        self.size = HEADER.size
        """Bytes so far, and BLOB_COST for each blob; from TARGET on the pack is full."""
        self._end = HEADER.size
        self._header = encode_header(key.generation, self.id)
        self._cipher = key.pack_cipher(self.id)
        self._view = zeroed(MAX_PACK + _MAX_PADDING)
        self._view[: HEADER.size] = self._header

    @property
    def full(self) -> bool:
        """Whether the pack should be finished now; add() refuses a full pack."""
        return self.size >= TARGET

    def add(self, id: ChunkId, kind: BlobKind, raw_length: int, payload: Buffer) -> BlobEntry:
        """Seal one blob. payload: what compress() returned for the raw_length bytes whose id this is."""
        size = len(payload)
        if self.full or FAMILY[kind] != self.kind or size > raw_length or raw_length > MAX_RAW_LENGTH:
            raise ValueError("the blob does not go into this pack")
        ordinal, offset, length = len(self.entries), self._end, size + TAG_SIZE
        target = self._view[offset : offset + length]
        self._cipher.encrypt_into(nonce(ordinal), payload, aad(kind, id), target)
        entry = BlobEntry(id, kind, ordinal, offset, length, raw_length)
        self.entries.append(entry)
        self._end = offset + length
        self.size += length + BLOB_COST
        return entry

    def finish(self, code: Code) -> SealedPack:
        """Close the pack for a code: directory, trailer, zeros to k whole shards. The writer is spent."""
        directory = self._cipher.encrypt(
            nonce(DIRECTORY_ORDINAL), encode_directory(self.kind, self.entries), self._header
        )
        tail = directory + TRAILER.pack(len(directory), TRAILER_MAGIC)
        length = self._end + len(tail)
        each = shard_length(length, code.k)
        padded = each * code.k
        data = self._view[:padded]
        self._view = self._view[:0]
        data[self._end : length] = tail
        return SealedPack(self.id, self.kind, self.generation, data, length, each, tuple(self.entries))


def padded_for(pack: SealedPack, code: Code) -> SealedPack:
    """The same pack with the zeros that another code needs; the bytes are copied."""
    each = shard_length(pack.length, code.k)
    data = bytearray(each * code.k)
    data[: pack.length] = pack.data[: pack.length]
    return replace(pack, data=memoryview(data), shard_length=each)
