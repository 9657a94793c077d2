"""A backup that the product makes, restored by the second reader: from the wrap key and what lies at the providers."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from tests.flow.network import CLIENT, DOMAIN, NODE_KEY, network

from peerage.flow.backup import backup
from peerage.flow.context import silent
from peerage_chain import typed

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import second_reader as spec

WRAP_KEY = b"\x09" * 32  # as tests.flow.network has it


def make(source: Path) -> dict[str, bytes]:
    """A few files, a sparse one among them; what they hold, by their paths."""
    (source / "inner").mkdir(parents=True)
    large = random.Random(1).randbytes(1_500_000) + b"compressible " * 50_000
    contents = {"large": large, "inner/small": b"small", "inner/empty": b"", "again": large}
    for name, content in contents.items():
        (source / name).write_bytes(content)
    os.symlink("../large", source / "inner" / "link")
    (source / "sparse").write_bytes(b"")
    os.truncate(source / "sparse", 3_000_000)
    with open(source / "sparse", "r+b") as file:
        file.seek(1_000_000)
        file.write(b"in the middle")
    contents["sparse"] = (source / "sparse").read_bytes()
    return contents


async def test_the_second_reader_restores_what_the_product_backed_up(tmp_path: Path) -> None:
    source = tmp_path / "source"
    contents = make(source)
    with network(tmp_path, members=6) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        objects = {bytes(root): data for shelf in peers.shelves.values() for root, data in shelf.objects.items()}
        head_root = next(iter(peers.shelves.values())).heads[0][1]
        anchor = ledger.anchors[(CLIENT, 0)]
        id_of, seed = context.key.chunk_id, context.key.cut_seed

    head = spec.open_head(objects[head_root], WRAP_KEY, (DOMAIN.chain_id, DOMAIN.directory))
    assert spec.hashlib.sha256(objects[head_root][: head.length]).digest() == anchor.head
    assert head.signer == typed.address_of(NODE_KEY).lower()
    store = spec.Store(objects)
    for record in head.body["index_packs"]:
        store.add(record, head.keys)
    for blob in [blob.id for pack in store.packs for blob in pack.blobs]:
        for record in spec.message(store.blobs[blob], b"PIDX"):
            store.add(record, head.keys)
    snapshot = spec.message(store.blobs[head.body["snapshots"][0]["id"]], b"PSNP")
    found = {os.fsdecode(path): (entry, data) for path, entry, data in store.walk(snapshot["subtree"])}
    files = {path.removeprefix("/source/"): data for path, (entry, data) in found.items() if entry["t"] == 0}
    assert files == contents
    assert found["/source/inner/link"][0]["l"] == b"../large"
    for name in contents:
        assert found[f"/source/{name}"][0]["mt"] == (source / name).stat().st_mtime_ns
    pieces, at = [], 0
    for length in spec.cut(contents["large"], seed):
        pieces.append(id_of(contents["large"][at : at + length]))
        at += length
    assert spec.ids_of(found["/source/large"][0]["c"]) == pieces
