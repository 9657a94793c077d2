"""Value types that every layer shares: ids, codes, and the records of packs and shards. Pure.

Words as in node/spec/glossary.md. Ids are bytes under distinct NewTypes, so mypy tells them apart at no cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, NewType

from peerage_chain.types import AgreementId, Epoch, MemberId

__all__ = [
    "KIB",
    "LEAF_SIZE",
    "MIB",
    "AgreementId",
    "BlobEntry",
    "BlobKind",
    "ChunkId",
    "Code",
    "Epoch",
    "MemberId",
    "ObjectKind",
    "PackId",
    "PackKind",
    "PackRecord",
    "Receipt",
    "ShardLocation",
    "ShardRoot",
]

KIB = 1 << 10
MIB = 1 << 20
LEAF_SIZE = 1024
"""Bytes of a leaf, the unit of a proof; every stored object is a whole number of leaves."""

ChunkId = NewType("ChunkId", bytes)
"""32 bytes: keyed BLAKE3 of a plaintext."""
PackId = NewType("PackId", bytes)
"""32 bytes: the pack's random salt."""
ShardRoot = NewType("ShardRoot", bytes)
"""32 bytes: the Merkle sum root of a stored object (a shard or a head); its name at the provider."""


class BlobKind(IntEnum):
    DATA = 0
    TREE = 1
    SNAPSHOT = 2
    INDEX = 3


class PackKind(IntEnum):
    """A pack holds blobs of one family: DATA, META (trees and snapshots) or INDEX."""

    DATA = 0
    META = 1
    INDEX = 2


class ObjectKind(IntEnum):
    """What a provider stores: a shard of a stripe, or a head in full."""

    SHARD = 0
    HEAD = 1


@dataclass(frozen=True, slots=True)
class Code:
    """A systematic Reed-Solomon code: any k of k+m shards rebuild the pack."""

    k: int
    m: int

    def __post_init__(self) -> None:
        if not (1 <= self.k <= 32 and 1 <= self.m <= 16):
            raise ValueError(f"no such code: {self.k}+{self.m}")

    @classmethod
    def parse(cls, text: str) -> Code:
        """From "4+2". Raises ValueError."""
        k, plus, m = text.partition("+")
        if not (plus and k.isascii() and k.isdigit() and m.isascii() and m.isdigit()):
            raise ValueError(f"{text[:20]!r} is no code: write k+m, as in 4+2")
        return cls(int(k), int(m))

    def __str__(self) -> str:
        return f"{self.k}+{self.m}"

    @property
    def n(self) -> int:
        return self.k + self.m


class BlobEntry(NamedTuple):
    """Where one blob lies in its pack. offset, length: of the sealed bytes, tag included; raw_length: of the plaintext.

    The blob is stored uncompressed exactly when length - 16 == raw_length.
    """

    id: ChunkId
    kind: BlobKind
    ordinal: int
    offset: int
    length: int
    raw_length: int


@dataclass(frozen=True, slots=True)
class ShardLocation:
    """Where one shard of a stripe is: its root, and the agreement that keeps it. provider 0: nowhere yet (a debt)."""

    index: int
    root: ShardRoot
    provider: MemberId
    agreement: AgreementId


@dataclass(frozen=True, slots=True)
class PackRecord:
    """A pack as the index knows it. length: bytes of the pack before padding; shard_length: bytes of each shard."""

    id: PackId
    kind: PackKind
    generation: int
    length: int
    code: Code
    shard_length: int
    shards: tuple[ShardLocation, ...]
    blobs: tuple[BlobEntry, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's signed word that it stored an object durably. signature: 65 bytes, node key, EIP-712 `Receipt`."""

    agreement: AgreementId
    root: ShardRoot
    leaves: int
    epoch: Epoch
    signature: bytes
