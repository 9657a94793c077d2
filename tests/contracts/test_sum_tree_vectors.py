"""The Merkle sum tree: the product's Python against golden vectors and against the definition worked out by hand. The
contracts are tested against the same vectors, in Vectors.t.sol."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.contracts import make_challenge_vectors

from peerage.errors import IntegrityError
from peerage.shard.tree import GROUP_SIZE, AgreementTree, object_path, object_tree, verify
from peerage_chain.codec import proof_of
from peerage_chain.types import Sample

VECTORS = Path(__file__).parents[1] / "vectors"
CASES: list[dict[str, Any]] = json.loads((VECTORS / "sum_tree.json").read_text())["cases"]
PROOFS: list[dict[str, Any]] = json.loads((VECTORS / "proofs.json").read_text())["cases"]


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def content(first: int, leaves: int) -> bytes:
    return b"".join(bytes([(first + i) % 251]) * 1024 for i in range(leaves))


def test_two_leaves_by_hand() -> None:
    left = sha256(b"\x00" + bytes(1024)).digest()
    right = sha256(b"\x00" + bytes([1]) * 1024).digest()
    one = (1).to_bytes(8, "big")
    root = sha256(b"\x01" + one + left + one + right).digest()
    assert root.hex() == "d92e58dc814482f23c3318e8bf1ed207c07c402b7d72d95b63fbaecfae07bd20"
    assert object_tree(content(0, 2))[:2] == (root, 2)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['objects']}-{case['index']}")
def test_the_prover_makes_the_vectors_path(case: dict[str, Any]) -> None:
    firsts = [sum(case["objects"][:i]) for i in range(len(case["objects"]))]
    data = [content(first, leaves) for first, leaves in zip(firsts, case["objects"], strict=True)]
    trees = [object_tree(piece) for piece in data]
    whole = AgreementTree((tree.root, tree.leaves) for tree in trees)
    assert whole.root == (raw(case["root"]), case["leaves"])

    position, within = whole.locate(case["index"])
    piece, tree = data[position], trees[position]
    leaf, lower = object_path(lambda at, length: piece[at : at + length], tree.subroots, tree.leaves, within)
    steps = lower + whole.path(position)
    assert leaf == bytes([case["fill"]]) * 1024
    assert [step[0] for step in steps] == [raw(sibling) for sibling in case["siblings"]]
    assert [step[1] for step in steps] == case["counts"]
    assert sum(1 << i for i, step in enumerate(steps) if step[2]) == case["lefts"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['objects']}-{case['index']}")
def test_the_verifier_finds_the_index(case: dict[str, Any]) -> None:
    leaf = bytes([case["fill"]]) * 1024
    steps = [
        (raw(sibling), count, bool(case["lefts"] >> i & 1))
        for i, (sibling, count) in enumerate(zip(case["siblings"], case["counts"], strict=True))
    ]
    assert verify(leaf, steps, raw(case["root"]), case["leaves"]) == case["index"]
    with pytest.raises(IntegrityError):
        verify(leaf[1:] + b"\xff", steps, raw(case["root"]), case["leaves"])


def test_vectors_reach_beyond_one_group() -> None:
    assert any(max(case["objects"]) * 1024 > 4 * GROUP_SIZE for case in CASES)


@pytest.mark.parametrize("case", PROOFS, ids=lambda case: f"{case['objects']}-{case['indices']}")
def test_the_prover_makes_the_vectors_proof(case: dict[str, Any]) -> None:
    firsts = [sum(case["objects"][:i]) for i in range(len(case["objects"]))]
    data = [content(first, leaves) for first, leaves in zip(firsts, case["objects"], strict=True)]
    trees = [object_tree(piece) if piece else None for piece in data]
    whole = AgreementTree((tree.root, tree.leaves) if tree else (bytes(32), 0) for tree in trees)
    assert whole.root == (raw(case["root"]), case["leaves"])
    samples: list[Sample] = []
    for index in case["indices"]:
        position, within = whole.locate(index)
        piece, tree = data[position], trees[position]
        assert tree is not None
        leaf, lower = object_path(reader(piece), tree.subroots, tree.leaves, within)
        samples.append(Sample(leaf, lower + whole.path(position)))
    assert proof_of(samples) == raw(case["proof"])
    assert proof_of(samples[::-1] * 2) == raw(case["proof"])


def reader(piece: bytes) -> Callable[[int, int], bytes]:
    return lambda at, length: piece[at : at + length]


def test_challenges_are_still_what_the_vectors_say() -> None:
    """Differential.t.sol compares the contracts with these; here a part of them is made anew."""
    columns = json.loads((VECTORS / "challenges.json").read_text())
    for number in range(0, make_challenge_vectors.CASES, 20):
        made = make_challenge_vectors.case(number)
        for name, value in made.items():
            shown = columns[name][number]
            assert value == (raw(shown) if isinstance(value, bytes) else shown), (number, name)
