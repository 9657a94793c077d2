"""Decrypts a pack and rebuilds a stripe, written from node/spec/ alone: it imports nothing of the product.

Sections name the pages they follow. It is slow and strict: anything that a page does not allow raises Wrong.
second_reader.py reads the other formats on top of it; scripts/verify-format runs both.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KIB, MIB = 1 << 10, 1 << 20
Keys = Mapping[int, bytes]


class Wrong(Exception):
    """The bytes are not what the pages say."""


class Blob(NamedTuple):
    id: bytes
    kind: int
    ordinal: int
    offset: int
    length: int
    raw_length: int


class Pack(NamedTuple):
    id: bytes
    kind: int
    generation: int
    length: int
    blobs: list[Blob]


def need(holds: bool, what: str) -> None:
    if not holds:
        raise Wrong(what)


# keys.md


def derive(key: bytes, name: str, salt: bytes | None = None, length: int = 32) -> bytes:
    return HKDF(SHA256(), length, salt, f"peerage/v1/{name}".encode()).derive(key)


def decrypt(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, associated)
    except InvalidTag:
        raise Wrong("a tag does not fit") from None


# sealing.md


def chunk_id(raw: bytes, key: bytes) -> bytes:
    return blake3(raw, key=derive(key, "chunk-id")).digest()


def nonce(ordinal: int) -> bytes:
    return struct.pack(">IQ", 0, ordinal)


def expand(payload: bytes, raw_length: int) -> bytes:
    need(raw_length <= 16 * MIB, "a plaintext above 16 MiB")
    if len(payload) == raw_length:
        return payload
    try:
        need(zstandard.frame_content_size(payload) == raw_length, "a frame that names another size")
        return zstandard.ZstdDecompressor().decompress(payload, max_output_size=raw_length, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Wrong(f"zstd: {error}") from None


def open_blob(pack: bytes, about: Pack, blob: Blob, keys: Keys) -> bytes:
    key = keys[about.generation]
    sealed = pack[blob.offset : blob.offset + blob.length]
    associated = struct.pack(">HB", 1, blob.kind) + blob.id
    payload = decrypt(derive(key, "pack", about.id), nonce(blob.ordinal), sealed, associated)
    raw = expand(payload, blob.raw_length)
    need(chunk_id(raw, key) == blob.id, "a blob's id")
    return raw


# packs.md

KINDS = {0: {0}, 1: {1, 2}, 2: {3}}


def rows(data: bytes, pack_kind: int) -> Iterator[Blob]:
    need(len(data) % 41 == 0, "rows of 41 bytes")
    offset = 48
    for ordinal, (id_, kind, length, raw_length) in enumerate(struct.iter_unpack(">32sBII", data)):
        need(kind in KINDS[pack_kind], "a blob of another family")
        need(raw_length <= 16 * MIB and 16 <= length <= raw_length + 16, "a blob's lengths")
        yield Blob(id_, kind, ordinal, offset, length, raw_length)
        offset += length


def open_pack(data: bytes, keys: Keys) -> Pack:
    """The directory of a pack, padded or not."""
    need(len(data) >= 48, "a pack without a header")
    magic, version, algorithm, generation, salt = struct.unpack_from(">8sHHI32s", data)
    need(magic == b"PEERPACK", "a pack's magic")
    need((version, algorithm) == (1, 1), f"pack version {version}, algorithm {algorithm}: not known here")
    need(generation in keys, f"no key of generation {generation}")
    body = data.rstrip(b"\0")
    need(len(body) >= 60, "a pack without a trailer")
    length, end = struct.unpack(">I8s", body[-12:])
    at = len(body) - 12 - length
    need(end == b"PEERAGE." and at >= 48, "a pack's trailer")
    key = derive(keys[generation], "pack", salt)
    directory = decrypt(key, nonce(2**64 - 1), data[at : len(body) - 12], data[:48])
    need(directory[0] in KINDS, "a pack's kind")
    blobs = list(rows(directory[1:], directory[0]))
    need(48 + sum(blob.length for blob in blobs) == at, "a directory that does not cover its blobs")
    return Pack(salt, directory[0], generation, len(body), blobs)


# shards.md


def _logarithms() -> tuple[list[int], list[int]]:
    exponentials, logarithms, value = [0] * 510, [0] * 256, 1
    for i in range(255):
        exponentials[i] = exponentials[i + 255] = value
        logarithms[value] = i
        value = value << 1 ^ (0x11D if value & 0x80 else 0)
    return exponentials, logarithms


EXP, LOG = _logarithms()


def multiply(a: int, b: int) -> int:
    return EXP[LOG[a] + LOG[b]] if a and b else 0


def inverse(a: int) -> int:
    return EXP[255 - LOG[a]]


def generator(k: int, m: int) -> list[list[int]]:
    return [[int(i == j) for j in range(k)] if i < k else [inverse(i ^ j) for j in range(k)] for i in range(k + m)]


def invert(matrix: list[list[int]]) -> list[list[int]]:
    """Gauss and Jordan, with the identity beside it."""
    size = len(matrix)
    wide = [[*row, *(int(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for column in range(size):
        pivot = next(row for row in range(column, size) if wide[row][column])
        wide[column], wide[pivot] = wide[pivot], wide[column]
        factor = inverse(wide[column][column])
        wide[column] = [multiply(factor, value) for value in wide[column]]
        for row in range(size):
            if row != column and (factor := wide[row][column]):
                wide[row] = [a ^ multiply(factor, b) for a, b in zip(wide[row], wide[column], strict=True)]
    return [row[size:] for row in wide]


def combine(row: list[int], shards: list[bytes]) -> bytes:
    total = 0
    for factor, shard in zip(row, shards, strict=True):
        scaled = shard.translate(bytes(multiply(factor, byte) for byte in range(256)))
        total ^= int.from_bytes(scaled, "big")
    return total.to_bytes(len(shards[0]), "big")


def rebuild(have: Mapping[int, bytes], k: int, m: int) -> list[bytes]:
    """All k + m shards from any k, by index."""
    chosen = sorted(have)[:k]
    need(len(chosen) == k and chosen[-1] < k + m, f"{len(have)} shards of {k}+{m}")
    payloads = [have[index] for index in chosen]
    need(len({len(payload) for payload in payloads}) == 1 and len(payloads[0]) % KIB == 0, "shards' lengths")
    matrix = generator(k, m)
    data = [combine(row, payloads) for row in invert([matrix[index] for index in chosen])]
    return data + [combine(row, data) for row in matrix[k:]]


# trees.md

Node = tuple[bytes, int]


def join(left: Node, right: Node) -> Node:
    data = b"\1" + struct.pack(">Q32sQ32s", left[1], left[0], right[1], right[0])
    return hashlib.sha256(data).digest(), left[1] + right[1]


def root_of(nodes: list[Node]) -> Node:
    if len(nodes) <= 1:
        return nodes[0] if nodes else (bytes(32), 0)
    split = 1 << (len(nodes) - 1).bit_length() - 1
    return join(root_of(nodes[:split]), root_of(nodes[split:]))


def object_root(data: bytes) -> Node:
    need(len(data) > 0 and len(data) % KIB == 0, "an object of whole leaves")
    return root_of([(hashlib.sha256(b"\0" + data[i : i + KIB]).digest(), 1) for i in range(0, len(data), KIB)])
