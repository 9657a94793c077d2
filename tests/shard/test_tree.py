"""The Merkle sum tree, against RFC 6962's own recursive definition."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerage.errors import IntegrityError
from peerage.model import LEAF_SIZE
from peerage.shard.tree import (
    GROUP_LEAVES,
    AgreementTree,
    Node,
    Step,
    TreeHasher,
    object_path,
    object_tree,
    root_of_subroots,
    verify,
)

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "trees.json").read_text())
SIZES = [1, 2, 3, 5, 63, 64, 65, 127, 128, 129, 191, 200, 321]


def object_of(leaves: int, seed: int = 0) -> bytes:
    return random.Random(leaves * 1000 + seed).randbytes(leaves * LEAF_SIZE)


def node(left: Node, right: Node) -> Node:
    data = b"\x01" + left.leaves.to_bytes(8, "big") + left.hash + right.leaves.to_bytes(8, "big") + right.hash
    return Node(hashlib.sha256(data).digest(), left.leaves + right.leaves)


def reference(nodes: list[Node]) -> Node:
    """The definition: split at the largest power of two that is smaller than the count."""
    if len(nodes) == 1:
        return nodes[0]
    split = 1
    while split * 2 < len(nodes):
        split *= 2
    return node(reference(nodes[:split]), reference(nodes[split:]))


def leaves_of(data: bytes) -> list[Node]:
    return [Node(hashlib.sha256(b"\x00" + data[i : i + LEAF_SIZE]).digest(), 1) for i in range(0, len(data), LEAF_SIZE)]


@pytest.mark.parametrize("leaves", SIZES)
def test_an_objects_root_is_the_definitions(leaves: int) -> None:
    data = object_of(leaves)
    tree = object_tree(data)
    assert Node(tree.root, tree.leaves) == reference(leaves_of(data))
    assert len(tree.subroots) == 32 * -(-leaves // GROUP_LEAVES)
    assert root_of_subroots(tree.subroots, leaves) == tree.root


@pytest.mark.parametrize("case", VECTORS["objects"], ids=lambda case: str(case["leaves"]))
def test_object_vectors(case: dict[str, object]) -> None:
    data = hashlib.shake_256(b"peerage trees").digest(int(str(case["leaves"])) * LEAF_SIZE)
    assert object_tree(data).root.hex() == case["root"]


def test_agreement_vector() -> None:
    case = VECTORS["agreement"]
    tree = AgreementTree((bytes.fromhex(o["root"]), o["leaves"]) for o in case["objects"])
    assert (tree.root.hash.hex(), tree.root.leaves) == (case["root"], case["leaves"])
    proof = case["proof"]
    steps = tuple((bytes.fromhex(h), count, left) for h, count, left in proof["steps"])
    leaf = hashlib.shake_256(proof["leaf_seed"].encode()).digest(LEAF_SIZE)
    assert verify(leaf, steps, tree.root.hash, tree.root.leaves) == proof["index"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 150_000), max_size=6), st.integers(1, 200))
def test_pieces_of_any_size_make_the_same_tree(cuts: list[int], leaves: int) -> None:
    data = object_of(leaves)
    hasher = TreeHasher()
    start = 0
    for cut in sorted(c for c in cuts if c < len(data)):
        hasher.update(memoryview(data)[start:cut])
        start = cut
    hasher.update(data[start:])
    assert hasher.finish() == object_tree(data)


@pytest.mark.parametrize("size", [0, 1, 1023, 1025, 65536 + 512])
def test_an_object_is_whole_leaves(size: int) -> None:
    with pytest.raises(IntegrityError):
        object_tree(bytes(size))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_leaf_of_an_agreement_is_proven_at_its_index(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.sampled_from(SIZES), min_size=1, max_size=9))
    objects = [object_of(size, seed) for seed, size in enumerate(sizes)]
    trees = [object_tree(o) for o in objects]
    agreement = AgreementTree((t.root, t.leaves) for t in trees)
    assert agreement.root == reference([Node(t.root, t.leaves) for t in trees])
    index = data.draw(st.integers(0, agreement.root.leaves - 1))
    position, within = agreement.locate(index)
    whole = objects[position]

    def read(offset: int, length: int) -> bytes:
        return whole[offset : offset + length]

    leaf, steps = object_path(read, trees[position].subroots, trees[position].leaves, within)
    assert leaf == whole[within * LEAF_SIZE : (within + 1) * LEAF_SIZE]
    path = steps + agreement.path(position)
    assert verify(leaf, path, *agreement.root) == index
    assert within + sum(t.leaves for t in trees[:position]) == index


def test_a_changed_proof_proves_nothing() -> None:
    data = object_of(200)
    tree = object_tree(data)
    leaf, steps = object_path(lambda o, n: data[o : o + n], tree.subroots, tree.leaves, 130)
    assert verify(leaf, steps, tree.root, tree.leaves) == 130

    def refuse(leaf: bytes, steps: tuple[Step, ...], root: bytes, leaves: int) -> None:
        with pytest.raises(IntegrityError):
            verify(leaf, steps, root, leaves)

    refuse(bytes([leaf[0] ^ 1]) + leaf[1:], steps, tree.root, 200)
    refuse(leaf[:-1], steps, tree.root, 200)
    refuse(leaf, steps, bytes(32), 200)
    refuse(leaf, steps, tree.root, 199)
    refuse(leaf, steps, tree.root, 201)
    refuse(leaf, steps[:-1], tree.root, 200)
    refuse(leaf, steps + steps[-1:], tree.root, 200)
    refuse(leaf, ((bytes(32), 0, False),) * 65, tree.root, 200)
    for i, (hash_, count, left) in enumerate(steps):
        for other in (
            (bytes([hash_[0] ^ 1]) + hash_[1:], count, left),
            (hash_[:31], count, left),
            (hash_, count + 1, left),
            (hash_, -count, left),
            (hash_, count, not left),
        ):
            refuse(leaf, (*steps[:i], other, *steps[i + 1 :]), tree.root, 200)


def test_a_node_is_no_leaf() -> None:
    """Domain separation: the 81 bytes of an inner node cannot pass for a leaf, nor a leaf for them."""
    data = object_of(2)
    tree = object_tree(data)
    with pytest.raises(IntegrityError):
        verify(hashlib.sha256(data).digest() * 32, (), tree.root, 1)


def test_damage_on_disk_is_noticed_before_it_is_proven() -> None:
    data = bytearray(object_of(130))
    tree = object_tree(data)
    data[70 * LEAF_SIZE + 5] ^= 1

    def read(offset: int, length: int) -> bytes:
        return bytes(data[offset : offset + length])

    for leaf in (64, 70, 127):
        with pytest.raises(IntegrityError, match="not what was stored"):
            object_path(read, tree.subroots, tree.leaves, leaf)
    object_path(read, tree.subroots, tree.leaves, 63)
    object_path(read, tree.subroots, tree.leaves, 128)
    with pytest.raises(IntegrityError, match="cut short"):
        object_path(lambda o, n: read(o, n)[:-1], tree.subroots, tree.leaves, 0)
    with pytest.raises(IntegrityError):
        object_path(read, tree.subroots[:-32], tree.leaves, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=40), st.lists(st.integers(0, 5), max_size=40))
def test_a_tree_that_extends_another_is_the_tree_of_all(before: list[int], after: list[int]) -> None:
    objects = [(hashlib.sha256(b"%d" % n).digest(), leaves) for n, leaves in enumerate(before + after)]
    whole = AgreementTree(objects)
    first = AgreementTree(objects[: len(before)])
    root = first.root
    extended = AgreementTree(objects[len(before) :], first)
    assert (extended.root, len(extended)) == (whole.root, len(whole))
    assert extended._levels == whole._levels
    assert [extended.locate(i) for i in range(whole.root.leaves)] == [whole.locate(i) for i in range(whole.root.leaves)]
    assert first.root == root
    assert first._levels == AgreementTree(objects[: len(before)])._levels, "the one that was extended stays as it is"


def test_places_outside_a_tree() -> None:
    empty = AgreementTree([])
    assert empty.root == (bytes(32), 0)
    assert len(empty) == 0
    tree = AgreementTree([(bytes(32), 5), (bytes(32), 7)])
    assert [tree.locate(i) for i in (0, 4, 5, 11)] == [(0, 0), (0, 4), (1, 0), (1, 6)]
    for call in (lambda: tree.locate(12), lambda: tree.locate(-1), lambda: empty.locate(0), lambda: tree.path(2)):
        with pytest.raises(IndexError):
            call()
    with pytest.raises(IndexError):
        object_path(lambda o, n: b"", bytes(32), 5, 5)


def test_a_deleted_object_is_a_subtree_of_no_leaves() -> None:
    tree = AgreementTree([(bytes(32), 5), (bytes(32), 0), (b"\x01" * 32, 7)])
    assert tree.root.leaves == 12
    assert tree.locate(5) == (2, 0)
