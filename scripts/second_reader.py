"""A second reader of Peerage's formats, written from node/spec/ alone: it imports nothing of the product.

Sections name the pages they follow. It is slow and strict: anything that a page does not allow raises Wrong.
scripts/verify-format runs it.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import zstandard
from blake3 import blake3
from coincurve import PublicKey
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from eth_hash.auto import keccak

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


def unwrap(wrapped: bytes, wrap_key: bytes, generation: int) -> bytes:
    associated = b"peerage/v1/wrapped-key" + struct.pack(">I", generation)
    return decrypt(wrap_key, wrapped[:12], wrapped[12:], associated)


def open_keystore(data: bytes, passphrase: str) -> Any:
    need(len(data) > 45 and data[:8] == b"PEERKEYS", "a keystore's magic")
    version, log2_n, r, p = struct.unpack_from(">HBBB", data, 8)
    need(version == 1, f"keystore version {version}: not known here")
    need(128 * r << log2_n <= 256 * MIB and p <= 4, "a keystore's cost")
    secret = unicodedata.normalize("NFKC", passphrase).encode()
    key = hashlib.scrypt(secret, salt=data[13:45], n=1 << log2_n, r=r, p=p, maxmem=300 * MIB, dklen=32)
    return msgspec.msgpack.decode(decrypt(key, bytes(12), data[45:], data[:45]))


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


def fold(leaf: bytes, path: list[tuple[str, int, bool]]) -> tuple[Node, int]:
    """(root, the leaf's index) of a path."""
    node, index = (hashlib.sha256(b"\0" + leaf).digest(), 1), 0
    for sibling, count, is_left in path:
        other = bytes.fromhex(sibling.removeprefix("0x")), count
        node, index = (join(other, node), index + count) if is_left else (join(node, other), index)
    return node, index


# snapshots.md, index.md, heads.md


def message(data: bytes, magic: bytes) -> Any:
    need(data[:4] == magic, f"not {magic.decode()}")
    version = int.from_bytes(data[4:6], "big")
    need(version == 1, f"{magic.decode()} version {version}: not known here")
    try:
        return msgspec.msgpack.decode(data[6:])
    except ValueError as error:
        raise Wrong(f"{magic.decode()}: {error}") from None


def ids_of(data: bytes) -> list[bytes]:
    need(len(data) % 32 == 0, "ids of 32 bytes")
    return [data[i : i + 32] for i in range(0, len(data), 32)]


ENTRY = {"n", "t", "m", "u", "g", "un", "gn", "mt", "s", "c", "d", "l", "r", "h", "x", "b", "e"}


class Head(NamedTuple):
    number: int
    keys: Keys
    body: Any
    length: int
    signer: str


def open_head(data: bytes, wrap_key: bytes, domain: tuple[int, str] | None) -> Head:
    """domain: (chain id, address of the directory); without it the signature is not looked at."""
    clear = struct.Struct(">8sHHIIIQI32sIH")
    need(len(data) >= clear.size and data[:8] == b"PEERHEAD", "a head's magic")
    fields = clear.unpack_from(data)
    _, version, algorithm, length, member, repository, number, generation, salt, raw_length, count = fields
    need((version, algorithm) == (1, 1), f"head version {version}, algorithm {algorithm}: not known here")
    need(count <= 256 and length <= len(data) and not any(data[length:]), "a head's lengths")
    body_at = clear.size + 64 * count
    wrapped = dict(struct.iter_unpack(">I60s", data[clear.size : body_at]))
    need(list(wrapped) == sorted(wrapped) and len(wrapped) == count, "wrapped keys in order")
    keys = {g: unwrap(key, wrap_key, g) for g, key in wrapped.items()}
    sealed = data[body_at : length - 65]
    payload = decrypt(derive(keys[generation], "head", salt), nonce(0), sealed, data[:body_at])
    signer = ""
    if domain is not None:
        digest = hashlib.sha256(data[: length - 65]).digest()
        signer = signer_of(digest, data[length - 65 : length], (member, repository, number), domain)
    return Head(number, keys, msgspec.msgpack.decode(expand(payload, raw_length)), length, signer)


def signer_of(digest: bytes, signature: bytes, named: tuple[int, int, int], domain: tuple[int, str]) -> str:
    """agreements.md: EIP-712 `Head`, and the address of the key that signed it."""
    what = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    place = domain[0].to_bytes(32, "big") + bytes.fromhex(domain[1][2:]).rjust(32, b"\0")
    separator = keccak(keccak(what) + keccak(b"Peerage") + keccak(b"1") + place)
    kind = b"Head(uint16 version,uint32 member,uint32 repository,uint64 number,bytes32 digest)"
    struct_hash = keccak(keccak(kind) + b"".join(n.to_bytes(32, "big") for n in (1, *named)) + digest)
    typed = keccak(b"\x19\x01" + separator + struct_hash)
    recoverable = signature[:64] + bytes([signature[64] - 27])
    key = PublicKey.from_signature_and_message(recoverable, typed, hasher=None)
    return "0x" + keccak(key.format(compressed=False)[1:])[12:].hex()


class Store:
    """Stored objects by root, and the blobs that can be had from them: a restore in small, with m shards of n lost."""

    def __init__(self, objects: Mapping[bytes, bytes]) -> None:
        self.objects = objects
        self.blobs: dict[bytes, bytes] = {}
        self.packs: list[Pack] = []

    def add(self, record: list[Any], keys: Keys) -> None:
        """Rebuild one pack of an index record from each k of its shards, and open every blob."""
        pack_id, kind, generation, length, k, m, shard_length, shards, *_ = record
        named = [root for root, _, _ in struct.iter_unpack(">32sI32s", shards)]
        need(len(named) == k + m, "a record's shards")
        have = {index: self.objects[root] for index, root in enumerate(named)}
        for index, shard in have.items():
            need(object_root(shard)[0] == named[index] and len(shard) == shard_length, f"shard {index}'s root")
        for lost in itertools.combinations(range(k + m), m):
            whole = rebuild({index: shard for index, shard in have.items() if index not in lost}, k, m)
            need([object_root(shard)[0] for shard in whole] == named, f"a stripe without shards {lost}")
        data = b"".join(have[index] for index in range(k))
        pack = open_pack(data, keys)
        need((pack.id, pack.kind, pack.generation, pack.length) == (pack_id, kind, generation, length), "a record")
        need(shard_length == KIB * max(1, -(-length // (KIB * k))), "a stripe's shard length")
        if any(record[8:]):
            need(list(rows(record[8], kind)) == pack.blobs, "a record's rows")
        self.packs.append(pack)
        for blob in pack.blobs:
            self.blobs[blob.id] = open_blob(data, pack, blob, keys)

    def walk(self, subtree: bytes, prefix: bytes = b"") -> Iterator[tuple[bytes, dict[str, Any], bytes]]:
        """(path, entry, content) of every name below."""
        previous = b""
        for id_ in ids_of(subtree):
            for entry in message(self.blobs[id_], b"PTRE"):
                need(entry["n"] > previous and entry.keys() <= ENTRY, "names in order, and known keys")
                previous = entry["n"]
                path = prefix + b"/" + previous
                yield path, entry, self.content(entry)
                if entry["t"] == 1:
                    yield from self.walk(entry.get("b", b""), path)

    def content(self, entry: dict[str, Any]) -> bytes:
        chunks = ids_of(entry.get("c", b""))
        if entry.get("d", 0) == 1:
            chunks = ids_of(b"".join(self.blobs[id_] for id_ in chunks))
        data = b"".join(self.blobs[id_] for id_ in chunks)
        size = entry.get("s", 0)
        extents = entry.get("e", [[0, len(data)]] if data else [])
        whole = bytearray(size)
        for offset, length in extents:
            need(offset + length <= size, "an extent beyond its file")
            whole[offset : offset + length], data = data[:length], data[length:]
        need(not data and len(whole) == size, "a file and its chunks differ in length")
        return bytes(whole)


# chunking.md

GEAR = [int.from_bytes(hashlib.md5(bytes([i]) * 64, usedforsecurity=False).digest()[:8], "big") for i in range(256)]
MIN, AVG, MAX = 256 * KIB, MIB, 4 * MIB
EARLY, LATE = 0x0000D93767537000, 0x0000D90707537000


def cut(data: bytes, seed: int) -> list[int]:
    """The chunks' lengths."""
    gear = [value ^ seed & 2**63 - 1 for value in GEAR]
    lengths, start = [], 0
    while start < len(data):
        rest = len(data) - start
        end = min(rest, MAX)
        length, state = end, 0
        for at in range(MIN, end - end % 2) if rest > MIN else ():
            state = (state << 1) + gear[data[start + at]] & 2**64 - 1
            if not state & (EARLY if at < min(AVG, rest) // 2 * 2 else LATE):
                length = at
                break
        lengths.append(length)
        start += length
    return lengths
