"""Writes tests/vectors/repository.json and chunking.json with the product: a small repository as providers keep it, and
where files are cut. A released vector is never edited; scripts/verify-format reads them with a second implementation.

    python -m tests.formats.make_vectors
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from peerage.chunk.cut import MAX, MIN, cut
from peerage.model import (
    LEAF_SIZE,
    AgreementId,
    BlobKind,
    ChunkId,
    Code,
    MemberId,
    PackKind,
    PackRecord,
    ShardLocation,
    ShardRoot,
)
from peerage.pack.writer import PackWriter
from peerage.seal.blob import compress
from peerage.seal.keys import RepositoryKey, wrap
from peerage.shard.code import coder
from peerage.shard.tree import AgreementTree, object_tree
from peerage.snapshot.head import Head, seal_head, without_blobs
from peerage.snapshot.index import encode_segments
from peerage.snapshot.snapshot import Snapshot, encode_snapshot, summary_of
from peerage.snapshot.tree import Entry, EntryType, encode_content, encode_tree
from peerage_chain import typed

VECTORS = Path(__file__).parents[1] / "vectors"
CODE = Code(3, 2)
WRAP_KEY, RAW = bytes(range(32)), {0: b"\x30" * 32, 1: b"\x31" * 32}
NODE_KEY = b"\x11" * 32
DOMAIN = typed.Domain(31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
TIME_NS = 1_700_000_000_123_456_789
CUT_INPUT = "peerage chunking"


def noise(name: str, size: int) -> bytes:
    return hashlib.shake_256(name.encode()).digest(size)


class Builder:
    """Packs, and the objects that they become."""

    def __init__(self) -> None:
        self.objects: dict[ShardRoot, bytes] = {}
        self.packs: list[PackRecord] = []
        self.plain: list[bytes] = []
        self.key = RepositoryKey(1, RAW[1])

    def pack(self, kind: PackKind, blobs: list[tuple[BlobKind, bytes]]) -> PackRecord:
        writer = PackWriter(self.key, kind, noise(f"salt {kind}", 32))
        for blob_kind, raw in blobs:
            self.plain.append(raw)
            writer.add(self.key.chunk_id(raw), blob_kind, len(raw), compress(raw))
        sealed = writer.finish(CODE)
        parity = coder(CODE).encode(sealed.data, sealed.shard_length)
        each = sealed.shard_length
        shards = [bytes(sealed.data[i * each : (i + 1) * each]) for i in range(CODE.k)] + list(map(bytes, parity))
        places = tuple(
            ShardLocation(index, self.store(shard), MemberId(index + 2), AgreementId(bytes([index + 2]) * 32))
            for index, shard in enumerate(shards)
        )
        record = PackRecord(sealed.id, kind, sealed.generation, sealed.length, CODE, each, places, sealed.entries)
        self.packs.append(record)
        return record

    def store(self, data: bytes) -> ShardRoot:
        root = object_tree(data).root
        self.objects[root] = data
        return root

    def id(self, raw: bytes) -> ChunkId:
        return self.key.chunk_id(raw)


def repository() -> tuple[Builder, dict[str, Any]]:
    """Two directories with one of each kind of entry, in a data, a meta and an index pack, and the head over them."""
    builder = Builder()
    text, random, tail = b"the same line\n" * 150, noise("incompressible", 3_000), b"a tail under 64 bytes"
    data = builder.pack(PackKind.DATA, [(BlobKind.DATA, raw) for raw in (text, random, tail)])
    (listed,) = encode_content([builder.id(text), builder.id(tail)])
    common: dict[str, Any] = {"uid": 1000, "gid": 100, "user": "ann", "group": "users", "mtime_ns": TIME_NS}
    inner = encode_tree(
        [
            Entry(name=b"listed", type=EntryType.FILE, mode=0o600, size=len(text + tail), depth=1,
                  content=builder.id(listed), **common),
            Entry(name=b"sparse", type=EntryType.FILE, mode=0o600, size=12_300, content=builder.id(random),
                  extents=[(0, 300), (9_600, 2_700)], **common),
        ]
    )  # fmt: skip
    root = encode_tree(
        [
            Entry(name=b"all hole", type=EntryType.FILE, mode=0o644, size=5_000, **common),
            Entry(name=b"device", type=EntryType.CHAR, mode=0o666, rdev=(1 << 8) | 3, **common),
            Entry(name=b"empty", type=EntryType.DIRECTORY, mode=0o1777, **common),
            Entry(name=b"fifo \xff", type=EntryType.FIFO, mode=0o600, mtime_ns=-1),
            Entry(name=b"inner", type=EntryType.DIRECTORY, mode=0o755, subtree=b"".join(map(builder.id, inner)),
                  **common),
            Entry(name=b"link", type=EntryType.SYMLINK, mode=0o777, target=b"../\xff", **common),
            Entry(name=b"one", type=EntryType.FILE, mode=0o4755, size=len(text + random), links=1,
                  content=builder.id(text) + builder.id(random),
                  xattrs={b"user.a": b"\x00\xff", b"user.b": b""}, **common),
            Entry(name=b"two", type=EntryType.FILE, mode=0o4755, size=len(text + random), links=1,
                  content=builder.id(text) + builder.id(random), **common),
        ]
    )  # fmt: skip
    snapshot = Snapshot(
        time_ns=TIME_NS, host="nas", user="ann", paths=[b"/srv/files"], prefix=b"/srv/files",
        subtree=b"".join(map(builder.id, root)), files=8, directories=2, bytes=29_621, tags=["vector"],
    )  # fmt: skip
    encoded = encode_snapshot(snapshot)
    meta_blobs = [(BlobKind.TREE, raw) for raw in (listed, *inner, *root)] + [(BlobKind.SNAPSHOT, encoded)]
    meta = builder.pack(PackKind.META, meta_blobs)
    index = builder.pack(PackKind.INDEX, [(BlobKind.INDEX, segment) for segment in encode_segments([data, meta])])
    head = Head(
        member=1, repository=0, number=7, previous=b"\xee" * 32, time_ns=TIME_NS, generation=1,
        index_packs=[without_blobs(index)], snapshots=[summary_of(snapshot, builder.id(encoded))],
    )  # fmt: skip
    wrapped = {g: wrap(raw, WRAP_KEY, g, noise(f"nonce {g}", 12)) for g, raw in RAW.items()}
    sealed = seal_head(head, builder.key, wrapped, noise("salt of the head", 32), signer(head))
    stored = builder.store(sealed + bytes(-len(sealed) % LEAF_SIZE))
    tree = AgreementTree((root, len(data) // LEAF_SIZE) for root, data in builder.objects.items())
    return builder, {
        "about": "A repository of one snapshot as providers keep it, made by tests/formats/make_vectors.py: objects by "
        "root, the head among them. wrap_key opens all. Never edited: new cases are added.",
        "wrap_key": WRAP_KEY.hex(),
        "chain_id": DOMAIN.chain_id,
        "directory": DOMAIN.directory,
        "signer": typed.address_of(NODE_KEY),
        "anchor": hashlib.sha256(sealed).hexdigest(),
        "head": stored.hex(),
        "snapshot": builder.id(encoded).hex(),
        "files": files(
            "/srv/files",
            {"": root, "/inner": inner},
            {
                b"listed": text + tail,
                b"sparse": random[:300] + bytes(9_300) + random[300:],
                b"all hole": bytes(5_000),
                b"one": text + random,
                b"two": text + random,
            },
        ),
        "agreement": {
            "objects": [root.hex() for root in builder.objects],
            "root": tree.root.hash.hex(),
            "leaves": tree.root.leaves,
        },
        "objects": {root.hex(): data.hex() for root, data in builder.objects.items()},
    }


def signer(head: Head) -> Callable[[bytes], bytes]:
    def sign(digest: bytes) -> bytes:
        return typed.sign(NODE_KEY, typed.head_digest(head.member, head.repository, head.number, digest, DOMAIN))

    return sign


def files(prefix: str, trees: dict[str, list[bytes]], contents: dict[bytes, bytes]) -> dict[str, Any]:
    """Path -> the entry as msgpack has it, bytes in hexadecimal, and SHA-256 of the content."""
    found: dict[str, Any] = {}
    for directory, blobs in trees.items():
        for blob in blobs:
            for entry in msgspec.msgpack.decode(blob[6:]):
                content = contents.get(entry["n"], b"")
                found[f"{prefix}{directory}/{os.fsdecode(entry['n'])}"] = {
                    "entry": readable(entry),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
    return found


def readable(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {readable(key): readable(item) for key, item in value.items()}
    return [readable(item) for item in value] if isinstance(value, list) else value


def chunking() -> dict[str, Any]:
    cases = [(MIN - 1, 5), (MIN + 1, 5), (MAX + 7, 0), (MAX + 7, 0x0123_4567_89AB_CDEF), (2 * MAX, 2**64 - 1)]
    stream = noise(CUT_INPUT, 2 * MAX)
    return {
        "about": "Where files are cut: the input is SHAKE-256 of `input`, as long as each case says; `seed` is the "
        "repository's cut seed. Made by tests/formats/make_vectors.py. Never edited: new cases are added.",
        "input": CUT_INPUT,
        "cases": [
            {"size": size, "seed": seed, "lengths": [len(chunk) for chunk in cut(io.BytesIO(stream[:size]), seed)]}
            for size, seed in cases
        ],
    }


def vectors() -> dict[str, str]:
    """File name -> its text."""
    made = {"repository.json": repository()[1], "chunking.json": chunking()}
    return {name: json.dumps(vector, indent=1) + "\n" for name, vector in made.items()}


def main() -> None:
    for name, text in vectors().items():
        path = VECTORS / name
        if path.exists() and path.read_text() != text:
            sys.exit(f"{path} would change: a released vector is never edited; name a new one")
        path.write_text(text)


if __name__ == "__main__":
    main()
