"""A second reader of Peerage's formats, written from node/spec/ alone: it imports nothing of the product.

Sections name the pages they follow; packs and stripes are pack_reader.py's. scripts/verify-format runs it.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from coincurve import PublicKey
from eth_hash.auto import keccak
from pack_reader import (
    KIB,
    MIB,
    Keys,
    Node,
    Pack,
    Wrong,
    decrypt,
    derive,
    expand,
    join,
    need,
    nonce,
    object_root,
    open_blob,
    open_pack,
    rebuild,
    rows,
)

# keys.md


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


# trees.md


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
