"""Reads the golden vectors, or packs, stripes and heads, with the second reader. See scripts/verify-format."""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.dont_write_bytecode = True

from pack_reader import (  # noqa: E402 - the lines above make it importable
    KIB,
    Keys,
    Wrong,
    chunk_id,
    derive,
    need,
    object_root,
    open_blob,
    open_pack,
    rebuild,
    root_of,
    rows,
)
from second_reader import Store, cut, fold, message, open_head, open_keystore, unwrap  # noqa: E402


def check_repository(vector: dict[str, Any]) -> str:
    """From the wrap key and what providers store to every file's content."""
    objects = {bytes.fromhex(root): bytes.fromhex(data) for root, data in vector["objects"].items()}
    for root, data in objects.items():
        need(object_root(data)[0] == root, "an object's root")
    agreement = vector["agreement"]
    found = root_of([object_root(objects[bytes.fromhex(root)]) for root in agreement["objects"]])
    need(found == (bytes.fromhex(agreement["root"]), agreement["leaves"]), "the agreement's root")
    domain = (vector["chain_id"], vector["directory"])
    data = objects[bytes.fromhex(vector["head"])]
    head = open_head(data, bytes.fromhex(vector["wrap_key"]), domain)
    need(hashlib.sha256(data[: head.length]).hexdigest() == vector["anchor"], "the head's anchor")
    need(head.signer == vector["signer"].lower(), "the head's signer")
    store = Store(objects)
    for record in head.body["index_packs"]:
        store.add(record, head.keys)
    index = [message(store.blobs[blob.id], b"PIDX") for pack in store.packs for blob in pack.blobs]
    for record in itertools.chain(*index):
        store.add(record, head.keys)
    (summary,) = head.body["snapshots"]
    snapshot = message(store.blobs[summary["id"]], b"PSNP")
    need(summary["id"].hex() == vector["snapshot"], "the snapshot's id")
    files = {
        os.fsdecode(path): {
            "entry": {k: readable(v) for k, v in entry.items()},
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for path, entry, data in store.walk(snapshot["subtree"], snapshot["prefix"].rstrip(b"/"))
    }
    need(files == vector["files"], "the snapshot's files")
    return f"{len(objects)} objects, {len(store.packs)} packs, {len(store.blobs)} blobs, {len(files)} files"


def readable(value: Any) -> Any:
    """A msgpack value as JSON has it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {readable(key): readable(item) for key, item in value.items()}
    return [readable(item) for item in value] if isinstance(value, list) else value


def check_pack(vector: dict[str, Any]) -> str:
    keys = {7: b"\x17" * 32}
    data = bytes.fromhex(vector["pack"])
    pack = open_pack(data, keys)
    plain = [open_blob(data, pack, blob, keys).hex() for blob in pack.blobs]
    need(plain == vector["blobs"] and pack.id.hex() == vector["salt"], "the pack's blobs")
    return f"{len(plain)} blobs"


def check_sealing(vector: dict[str, Any]) -> str:
    case = vector["repository_key"]
    raw, salt = bytes.fromhex(case["raw"]), bytes.fromhex(case["salt"])
    need(derive(raw, "pack", salt).hex() == case["pack_key"], "the pack key")
    need(derive(raw, "head", salt).hex() == case["head_key"], "the head key")
    need(int.from_bytes(derive(raw, "cut", length=8), "big") == case["cut_seed"], "the cut seed")
    need(chunk_id(case["text"].encode(), raw).hex() == case["chunk_id"], "the chunk id")
    wrapped = bytes.fromhex(case["wrapped"])
    need(unwrap(wrapped, bytes.fromhex(case["wrap_key"]), case["generation"]) == raw, "the wrapped key")
    return "5 derivations"


def check_keystore(vector: dict[str, Any]) -> str:
    found = open_keystore(bytes.fromhex(vector["keystore"]), vector["passphrase"])
    sizes = {len(key) for key in found["repository_keys"].values()}, {len(k) for k in found["wrapped_keys"].values()}
    need(sizes == ({32}, {60}) and len(found["onion_seed"]) == len(found["node_key"]) == 32, "the keys' sizes")
    return f"the node of {found['account']}"


def check_head(vector: dict[str, Any]) -> str:
    data = bytes.fromhex(vector["head"])
    head = open_head(data, b"\x77" * 32, None)
    need(hashlib.sha256(data).hexdigest() == vector["hash"], "the head's hash")
    need(hashlib.sha256(data[: head.length - 65]).hexdigest() == vector["digest"], "the head's digest")
    return f"number {head.number}, {len(head.keys)} keys"


def check_snapshots(vector: dict[str, Any]) -> str:
    for tree in vector["tree"]:
        names = [entry["n"] for entry in message(bytes.fromhex(tree), b"PTRE")]
        need(names == sorted(set(names)), "names in order")
    for name, magic in (("snapshot", b"PSNP"), ("summary", b"PSUM"), ("summary_held", b"PSUM")):
        need("time_ns" in message(bytes.fromhex(vector[name]), magic), name)
    for record in message(bytes.fromhex(vector["index"]), b"PIDX"):
        need(len(record[7]) == (record[4] + record[5]) * 68 and bool(list(rows(record[8], record[1]))), "a record")
    return "a tree, a snapshot, its summaries, an index segment"


def check_shards(vector: dict[str, Any]) -> str:
    for case in vector["cases"]:
        k, m, size = case["k"], case["m"], case["leaves"] * KIB
        stream = hashlib.shake_256(b"peerage shards").digest(k * size)
        data = {i: stream[i * size : (i + 1) * size] for i in range(k)}
        whole = rebuild(data, k, m)
        found = [hashlib.sha256(shard).hexdigest() for shard in whole[k:]]
        need(found == case["parity_sha256"], f"the parity of {k}+{m}")
        lost = min(k, m)
        last = {i: whole[i] for i in range(lost, k + lost)}
        need(rebuild(last, k, m) == whole, f"{k}+{m} without its first {lost}")
    return f"{len(vector['cases'])} codes"


def check_trees(vector: dict[str, Any]) -> str:
    for case in vector["objects"]:
        data = hashlib.shake_256(b"peerage trees").digest(case["leaves"] * KIB)
        need(object_root(data)[0].hex() == case["root"], f"the root of {case['leaves']} leaves")
    agreement = vector["agreement"]
    root = root_of([(bytes.fromhex(o["root"]), o["leaves"]) for o in agreement["objects"]])
    need(root == (bytes.fromhex(agreement["root"]), agreement["leaves"]), "the agreement's root")
    proof = agreement["proof"]
    leaf = hashlib.shake_256(proof["leaf_seed"].encode()).digest(KIB)
    need(fold(leaf, proof["steps"]) == (root, proof["index"]), "a proof")
    return f"{len(vector['objects'])} objects, an agreement, a proof"


def check_sums(vector: dict[str, Any]) -> str:
    for case in vector["cases"]:
        lefts = [bool(case["lefts"] >> i & 1) for i in range(len(case["siblings"]))]
        path = list(zip(case["siblings"], case["counts"], lefts, strict=True))
        root = bytes.fromhex(case["root"].removeprefix("0x")), case["leaves"]
        need(fold(bytes([case["fill"]]) * KIB, path) == (root, case["index"]), "a path")
    return f"{len(vector['cases'])} paths"


def check_chunking(vector: dict[str, Any]) -> str:
    stream = hashlib.shake_256(vector["input"].encode()).digest(max(case["size"] for case in vector["cases"]))
    for case in vector["cases"]:
        need(cut(stream[: case["size"]], case["seed"]) == case["lengths"], f"the cuts of {case['size']} bytes")
    return f"{len(vector['cases'])} inputs"


VECTORS = {
    "chunking": check_chunking,
    "heads": check_head,
    "keystore": check_keystore,
    "packs": check_pack,
    "repository": check_repository,
    "sealing": check_sealing,
    "shards": check_shards,
    "snapshots": check_snapshots,
    "sum_tree": check_sums,
    "trees": check_trees,
}


def check_vectors(directory: Path, names: list[str]) -> int:
    failed = 0
    for name in names:
        try:
            print(f"{name:12} ok: {VECTORS[name](json.loads((directory / f'{name}.json').read_bytes()))}")
        except (Wrong, KeyError, IndexError, ValueError, OSError) as error:
            print(f"{name:12} WRONG: {type(error).__name__}: {error}")
            failed = 1
    return failed


def show(pack: bytes, keys: Keys) -> None:
    about = open_pack(pack, keys)
    kind = ("data", "meta", "index")[about.kind]
    print(f"pack {about.id.hex()}: {kind}, generation {about.generation}, {about.length} bytes")
    for blob in about.blobs:
        open_blob(pack, about, blob, keys)
        print(f"{blob.ordinal:6} {blob.id.hex()} kind {blob.kind} at {blob.offset}, {blob.length} of {blob.raw_length}")


def main() -> int:
    about = "Reads the golden vectors, or packs, stripes and heads, by a second implementation of node/spec/."
    parser = argparse.ArgumentParser(prog="scripts/verify-format", description=about)
    commands = parser.add_subparsers(dest="command", required=True)
    vectors = commands.add_parser("vectors", help="the golden vectors, or those in DIR")
    default = Path(__file__).parents[1] / "tests" / "vectors"
    vectors.add_argument("directory", type=Path, nargs="?", default=default)
    vectors.add_argument("--only", choices=VECTORS, action="append", help="of these names; may repeat")
    pack = commands.add_parser("pack", help="decrypt a pack, list its blobs and check their ids")
    stripe = commands.add_parser("stripe", help="rebuild a stripe from any k shards and print all roots")
    head = commands.add_parser("head", help="open a head and print what it lists")
    stripe.add_argument("code", help="K+M")
    stripe.add_argument("shard", nargs="+", help="INDEX:FILE")
    for command in (pack, stripe):
        command.add_argument("--key", action="append", default=[], metavar="GENERATION:HEX")
    for command in (pack, head):
        command.add_argument("file", type=Path)
    head.add_argument("--wrap-key", required=True, type=bytes.fromhex, metavar="HEX")
    given = parser.parse_args()
    if given.command == "vectors":
        return check_vectors(given.directory, given.only or list(VECTORS))
    try:
        if given.command == "head":
            print(json.dumps(readable(open_head(given.file.read_bytes(), given.wrap_key, None).body), indent=1))
            return 0
        keys = {int(number): bytes.fromhex(key) for number, _, key in (text.partition(":") for text in given.key)}
        if given.command == "pack":
            show(given.file.read_bytes(), keys)
            return 0
        k, m = map(int, given.code.split("+"))
        named = (text.partition(":") for text in given.shard)
        whole = rebuild({int(index): Path(file).read_bytes() for index, _, file in named}, k, m)
        for index, shard in enumerate(whole):
            print(f"shard {index}: {object_root(shard)[0].hex()}")
        if keys:
            show(b"".join(whole[:k]), keys)
    except (Wrong, OSError) as error:
        sys.exit(f"wrong: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
