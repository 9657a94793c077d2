"""What an epoch's proofs cost a provider: CPU seconds, and bytes kept, for each terabyte that it holds.

The store is the node's own: an index with a row for every shard, and files of the shards' real size. They are sparse,
with one leaf written, so that a terabyte of them fits on any disk: a leaf is read and hashed as ever, but from a hole.
What the disk adds is measured on shards full of random bytes, out of the page cache, and added for every leaf. Before
each epoch every agreement gets a new revision, as from a backup.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from eth_account import Account
from meter import Failed, need_room

from peerage.flow.opening import LeafOpener
from peerage.model import LEAF_SIZE, AgreementId, Epoch, MemberId, ObjectKind, ShardRoot
from peerage.shard.tree import GROUP_SIZE, AgreementTree, object_tree, root_of_subroots
from peerage.store.object_index import NewObject
from peerage.store.objects import ObjectStore, SignedRevision
from peerage_chain.abi import artifact
from peerage_chain.client import MAX_CALLDATA_BYTES
from peerage_chain.codec import proof_of
from peerage_chain.types import Challenge

GOAL_CPU_S = 1.0
"""For a terabyte and an epoch."""
TB = 10**12
SAMPLES = 8
"""Leaves asked for of each agreement, by the networks' default (node/spec/proofs.md)."""
ADDED = 4
"""Shards that a new revision appends to each agreement before an epoch."""
ROUNDS = 3
_CLIENT = MemberId(1)
_EMPTY = object_tree(bytes(GROUP_SIZE)).root
_BATCH = 4_000
_KEY = hashlib.sha256(b"bench").digest()


def measure(options: argparse.Namespace, work: Path) -> None:
    need_room(work, options.held // options.shard * 16_384 + options.dense)
    disk_s = _disk(options, work)
    print(f"bench: the disk adds {disk_s * 1e6:.0f} µs of CPU to a leaf", file=sys.stderr)
    rows = [_case(options, work / f"{count}", count, disk_s) for count in options.agreements]
    (options.out / "prove.json").write_text(json.dumps({"disk_s_of_a_leaf": disk_s, "cases": rows}, indent=1))
    print("For a terabyte: CPU seconds of an epoch, and once after a start; megabytes kept on disk and in memory.")
    names = (
        "agreements",
        "shards",
        "opening",
        "the disk",
        "sending",
        "an epoch",
        "goal",
        "a start",
        "on disk",
        "memory",
    )
    print(" ".join(f"{name:>10}" for name in names))
    for row in rows:
        figures = [f"{row[key]:.3f}" for key in ("open_s", "disk_s", "send_s", "epoch_s")]
        met = "met" if row["epoch_s"] < GOAL_CPU_S else "missed"
        kept = [f"{row['index_bytes'] / 1e6:.0f}", f"{row['memory_bytes'] / 1e6:.0f}"]
        line = (f"{row['agreements']:,}", f"{row['shards']:,}", *figures, met, f"{row['start_s']:.2f}", *kept)
        print(" ".join(f"{text:>10}" for text in line))


def _case(options: argparse.Namespace, directory: Path, count: int, disk_s: float) -> dict[str, Any]:
    """A provider that holds `held` bytes under so many agreements of equal size."""
    shards = max(1, options.held // options.shard // count)
    print(f"bench: {count:,} agreements of {shards:,} shards: making them", file=sys.stderr)
    store = _open(directory)
    held = [_Agreement(store, number, options.shard) for number in range(count)]
    for agreement in held:
        agreement.add(shards)
    scale = TB / (count * shards * options.shard)
    index = store._index.one("PRAGMA page_count")[0] * store._index.one("PRAGMA page_size")[0]
    tracemalloc.start()
    LeafOpener(store).samples_for(held[0].challenge())
    opener = LeafOpener(store)
    before = tracemalloc.get_traced_memory()[0]
    opener.samples_for(held[0].challenge())
    memory = (tracemalloc.get_traced_memory()[0] - before) * count
    tracemalloc.stop()
    opener = LeafOpener(store)
    start_s = _open_all(opener, held)[0]
    found = []
    for _ in range(ROUNDS):
        for agreement in held:
            agreement.add(ADDED)
        found.append(_open_all(opener, held))
    open_s, proofs = min(found, key=lambda one: one[0])
    send_s = _send(proofs)
    store.close()
    shutil.rmtree(directory)
    disk_s *= sum(len(agreement.challenge().indices) for agreement in held)
    return {
        "agreements": count,
        "shards": count * shards,
        "open_s": open_s * scale,
        "disk_s": disk_s * scale,
        "send_s": send_s * scale,
        "epoch_s": (open_s + disk_s + send_s) * scale,
        "start_s": max(0.0, start_s - open_s) * scale,
        "index_bytes": index * scale,
        "memory_bytes": memory * scale,
    }


def _open_all(opener: LeafOpener, held: list[_Agreement]) -> tuple[float, list[tuple[AgreementId, bytes]]]:
    """CPU seconds, and the proofs as they are sent."""
    challenges = [agreement.challenge() for agreement in held]
    began_s = time.process_time()
    proofs = [(c.agreement, proof_of(opener.samples_for(c))) for c in challenges]
    return time.process_time() - began_s, proofs


def _send(proofs: list[tuple[AgreementId, bytes]]) -> float:
    """CPU seconds of putting them into transactions as the node does, and signing these."""
    method = artifact("Proofs").methods["prove"]
    began_s = time.process_time()
    group: list[tuple[AgreementId, bytes]] = []
    room = MAX_CALLDATA_BYTES
    for proof in proofs:
        size = len(method.encode([proof]))
        if size > room:
            _transaction(method.encode(group))
            group, room = [], MAX_CALLDATA_BYTES
        group.append(proof)
        room -= size
    _transaction(method.encode(group))
    return time.process_time() - began_s


def _transaction(data: bytes) -> None:
    fields = {"nonce": 1, "gas": 10**7, "gasPrice": 0, "to": "0x" + "11" * 20, "value": 0, "data": data, "chainId": 1}
    Account.sign_transaction(fields, _KEY)


def _disk(options: argparse.Namespace, work: Path) -> float:
    """CPU seconds that reading a leaf's group from the disk takes beyond reading it from a hole."""
    count = max(1, options.dense // options.shard)
    found = []
    for name, dense in (("hole", False), ("full", True)):
        store = _open(work / name)
        agreement = _Agreement(store, 0, options.shard, dense)
        agreement.add(count)
        challenge = agreement.challenge(SAMPLES * 64)
        opener = LeafOpener(store)
        opener.samples_for(challenge)  # makes the tree
        best = min(_uncached(store, opener, challenge) for _ in range(5))
        found.append(best / len(challenge.indices))
        store.close()
    return max(0.0, found[1] - found[0])


def _uncached(store: ObjectStore, opener: LeafOpener, challenge: Challenge) -> float:
    for path in store._files.directory.glob("*/*"):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)  # what is not on the disk yet stays in the cache
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
    began_s = time.process_time()
    opener.samples_for(challenge)
    return time.process_time() - began_s


def _open(directory: Path) -> ObjectStore:
    directory.mkdir()
    return ObjectStore.open(directory / "objects", directory / "index", reserve_bytes=0)


class _Agreement:
    """One that is on chain, with its shards in a store, written past the uploads' fsyncs."""

    def __init__(self, store: ObjectStore, number: int, shard: int, dense: bool = False) -> None:
        if shard % GROUP_SIZE:
            raise Failed(f"a shard has whole groups of {GROUP_SIZE} bytes")
        self._store = store
        self._number = number
        self._shard = shard
        self._dense = dense
        self._id = AgreementId(hashlib.sha256(b"agreement %d" % number).digest())
        self._tree = AgreementTree([])
        self._sequence = 0
        self._digest = bytes(32)
        store.set_agreement(self._id, _CLIENT, 1 << 60)
        store._files.path(self._id, ShardRoot(bytes(32))).parent.mkdir()

    def add(self, count: int) -> None:
        """A recorded revision that appends so many shards."""
        first = len(self._tree)
        rows: list[NewObject] = []
        for start in range(first, first + count, _BATCH):
            batch = [self._write(n) for n in range(start, min(first + count, start + _BATCH))]
            self._store._index.insert_objects(batch)
            rows += batch
        self._tree = AgreementTree([(row.root, row.leaves) for row in rows], self._tree)
        self._sequence += 1
        root, previous = self._tree.root, self._digest
        self._digest = hashlib.sha256(root.hash).digest()
        signed = SignedRevision(
            self._id, self._sequence, self._digest, previous, root.hash, root.leaves, Epoch(9), b"", b"", b""
        )
        self._store.revisions.keep(signed, [row.root for row in rows])
        self._store.mark_recorded(self._id, self._digest)

    def challenge(self, samples: int = SAMPLES) -> Challenge:
        """Over the newest revision."""
        root, draw = self._tree.root, Random(self._number << 32 | self._sequence)
        bounds = [root.leaves * i // samples for i in range(samples + 1)]
        indices = tuple(draw.randrange(a, b) for a, b in pairwise(bounds) if a < b)
        return Challenge(self._id, Epoch(3), True, bytes(32), self._sequence, root.hash, root.leaves, indices)

    def _write(self, n: int) -> NewObject:
        if self._dense:
            data = Random(n).randbytes(self._shard)
            root, leaves, subroots = object_tree(data)
        else:
            data = hashlib.sha256(b"%d %d" % (self._number, n)).digest() * (LEAF_SIZE // 32)
            first = object_tree(data.ljust(GROUP_SIZE, b"\0")).root
            leaves, subroots = self._shard // LEAF_SIZE, first + _EMPTY * (self._shard // GROUP_SIZE - 1)
            root = root_of_subroots(subroots, leaves)
        with self._store._files.path(self._id, root).open("wb") as file:
            file.write(data)
            file.truncate(self._shard)
        return NewObject(self._id, root, _CLIENT, ObjectKind.SHARD, 0, 0, self._shard, leaves, subroots, n)
