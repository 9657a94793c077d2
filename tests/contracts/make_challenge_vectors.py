"""Writes tests/vectors/challenges.json: random trees, challenges, and proofs that answer them, by the product's Python.
Differential.t.sol compares them with the contract's challenge, the tests' own prover, and the contract's fold.

Leaf n of a tree is 32 copies of keccak256(abi.encode(tag, n)).
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from peerage.model import LEAF_SIZE
from peerage.shard.tree import object_path, object_tree
from peerage_chain.challenge import challenge_indices
from peerage_chain.codec import proof_of
from peerage_chain.types import AgreementId, MemberId, Sample

VECTORS = Path(__file__).parents[1] / "vectors" / "challenges.json"
CASES = 2000
CHAIN_ID = 31337
PROOFS = "0x00000000000000000000000000000000000f00D5"
SAMPLES = 8


def case(number: int) -> dict[str, Any]:
    chance = random.Random(number)
    leaves = chance.randint(1, 12) if number % 4 else chance.randint(1, 40)
    provider = MemberId(chance.randint(1, 1 << 31))
    tag, seed = chance.randbytes(32), chance.randbytes(32)
    data = b"".join(keccak(tag + n.to_bytes(32, "big")) * (LEAF_SIZE // 32) for n in range(leaves))
    tree = object_tree(data)
    indices = challenge_indices(seed, CHAIN_ID, PROOFS, AgreementId(tag), provider, SAMPLES, leaves)
    proof = proof_of([
        Sample(*object_path(lambda at, length: data[at : at + length], tree.subroots, leaves, index))
        for index in indices
    ])  # fmt: skip
    return {
        "leaves": leaves,
        "providers": provider,
        "tags": tag,
        "seeds": seed,
        "roots": tree.root,
        "challenges": keccak(b"".join(index.to_bytes(32, "big") for index in indices)),
        "proofs": keccak(proof),
    }


def main() -> None:
    """By columns: forge reads a list much faster than as many objects."""
    cases = [case(number) for number in range(CASES)]
    columns: dict[str, Any] = {
        name: [f"0x{c[name].hex()}" if isinstance(c[name], bytes) else c[name] for c in cases] for name in cases[0]
    }
    text = json.dumps({"proofsAt": PROOFS, "samples": SAMPLES, **columns}, indent=0)
    VECTORS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
