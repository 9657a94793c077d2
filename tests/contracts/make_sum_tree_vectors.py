"""Writes tests/vectors/sum_tree.json: trees, paths and leaves, from a recursive definition that shares no code with the
product. Run once; a released vector is never edited.

Leaf n of a tree is 1,024 bytes of value n % 251. An agreement's tree is given by its objects' leaf counts.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parents[1] / "vectors" / "sum_tree.json"
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
    text = {"about": "Paths in Merkle sum trees. Never edited: new cases are added.", "cases": cases}
    VECTORS.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
