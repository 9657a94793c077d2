"""Writes tests/vectors/sum_tree.json (trees, paths and leaves) and proofs.json (trees cut down to some leaves), from
recursive definitions that share no code with the product. Run once; a released vector is never edited.

Leaf n of a tree is 1,024 bytes of value n % 251. An agreement's tree is given by its objects' leaf counts.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parents[1] / "vectors"
LEAF_SIZE = 1024
Node = tuple[bytes, int]
Step = tuple[bytes, int, bool]


def leaf(index: int) -> bytes:
    return bytes([index % 251]) * LEAF_SIZE


def fold(nodes: list[Node], wanted: int) -> tuple[Node, list[Step]]:
    """RFC 6962's tree over nodes, and the steps from node `wanted` up (none if it is -1)."""
    if len(nodes) == 1:
        return nodes[0], []
    split = 1
    while split * 2 < len(nodes):
        split *= 2
    inside = wanted >= 0
    left, steps = fold(nodes[:split], wanted if inside and wanted < split else -1)
    right, others = fold(nodes[split:], wanted - split if inside and wanted >= split else -1)
    top = sha256(b"\x01" + left[1].to_bytes(8, "big") + left[0] + right[1].to_bytes(8, "big") + right[0]).digest()
    if inside:
        steps = [*steps, (*right, False)] if wanted < split else [*others, (*left, True)]
    return (top, left[1] + right[1]), steps


def agreement(counts: list[int], index: int) -> dict[str, Any]:
    objects: list[Node] = []
    lower: list[Step] = []
    position, first = -1, 0
    for number, count in enumerate(counts):
        leaves = [(sha256(b"\x00" + leaf(first + i)).digest(), 1) for i in range(count)]
        within = index - first if first <= index < first + count else -1
        root, steps = fold(leaves, within)
        if within >= 0:
            position, lower = number, steps
        objects.append(root)
        first += count
    root, upper = fold(objects, position)
    path = lower + upper
    return {
        "objects": counts,
        "index": index,
        "root": "0x" + root[0].hex(),
        "leaves": root[1],
        "fill": index % 251,
        "siblings": ["0x" + hash_.hex() for hash_, _, _ in path],
        "counts": [count for _, count, _ in path],
        "lefts": sum(1 << i for i, (_, _, is_left) in enumerate(path) if is_left),
    }


Tree = bytes | list["Tree"]
"""A leaf's bytes; or one or two subtrees. No subtree: a removed object."""


def tree_over(nodes: list[Tree]) -> Tree:
    split = 1
    while split * 2 < len(nodes):
        split *= 2
    return nodes[0] if len(nodes) == 1 else [tree_over(nodes[:split]), tree_over(nodes[split:])]


def top(tree: Tree) -> Node:
    if isinstance(tree, bytes):
        return sha256(b"\x00" + tree).digest(), 1
    if not tree:
        return bytes(32), 0
    (left, n), (right, m) = (top(side) for side in tree)
    return sha256(b"\x01" + n.to_bytes(8, "big") + left + m.to_bytes(8, "big") + right).digest(), n + m


def tokens(tree: Tree, wanted: set[int], first: int) -> list[bytes]:
    """The tree cut down, left to right, children first: 40 bytes closed, a leaf opened, nothing for a parent."""
    hash_, count = top(tree)
    if not wanted & set(range(first, first + count)):
        return [count.to_bytes(8, "big") + hash_]
    if isinstance(tree, bytes):
        return [tree]
    left, right = tree
    return [*tokens(left, wanted, first), *tokens(right, wanted, first + top(left)[1]), b""]


def written(parts: list[bytes]) -> bytes:
    """The tokens as a proof has them: what comes before each leaf, the leaf, and the steps after it."""
    text = b""
    while parts:
        lefts = next(i for i, part in enumerate(parts) if len(part) == LEAF_SIZE)
        text += bytes([lefts]) + b"".join(parts[: lefts + 1])
        parts = parts[lefts + 1 :]
        bits, rights = "", b""
        # A closed subtree that is at once joined is a step of its own; one that is not comes before a leaf.
        while parts and (not parts[0] or (len(parts) > 1 and len(parts[0]) == 40 and not parts[1])):
            bits = ("1" if parts[0] else "0") + bits
            rights += parts[0]
            parts = parts[2 if parts[0] else 1 :]
        text += int("1" + bits, 2).to_bytes(8, "big") + rights
    return text


def proof(counts: list[int], indices: list[int]) -> dict[str, Any]:
    objects: list[Tree] = []
    first = 0
    for count in counts:
        objects.append(tree_over([leaf(first + i) for i in range(count)]) if count else [])
        first += count
    whole = tree_over(objects)
    root, leaves = top(whole)
    return {
        "objects": counts,
        "indices": indices,
        "root": "0x" + root.hex(),
        "leaves": leaves,
        "proof": "0x" + written(tokens(whole, set(indices), 0)).hex(),
    }


def write(name: str, about: str, cases: list[dict[str, Any]]) -> None:
    text = {"about": about + " Never edited: new cases are added.", "cases": cases}
    (VECTORS / name).write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    shapes = {
        (1,): [0],
        (2,): [0, 1],
        (3,): [0, 2],
        (1, 1, 1): [1, 2],
        (64, 64): [0, 63, 64, 127],
        (65,): [0, 63, 64],
        (1, 2, 5, 64, 100, 7): [0, 1, 2, 3, 7, 8, 71, 72, 171, 172, 178],
        (300, 1, 1, 1): [255, 256, 299, 300, 302],
    }
    cases = [agreement(list(counts), index) for counts, indices in shapes.items() for index in indices]
    write("sum_tree.json", "Paths in Merkle sum trees.", cases)
    openings: list[tuple[list[int], list[int]]] = [
        ([1], [0]),
        ([2], [1]),
        ([3], [0, 1, 2]),
        ([13], [4, 9]),
        ([64, 64], [0, 63, 64, 127]),
        ([0, 3, 0, 0, 2], [0, 2, 3]),
        ([3, 0, 2, 0], [2, 4]),
        ([1, 2, 5, 64, 100, 7], [0, 1, 3, 8, 71, 72, 171, 178]),
        ([300, 1, 1, 1], [17, 255, 256, 299, 300, 302]),
    ]
    write("proofs.json", "Proofs that open leaves of Merkle sum trees.", [proof(*opening) for opening in openings])


if __name__ == "__main__":
    main()
