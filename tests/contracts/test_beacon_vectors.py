"""Seeds and onions: the product's Python against golden vectors and by hand; what a coalition gains by choosing among
seeds, against the table of the specification."""

from __future__ import annotations

import json
import random
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from peerage.keys.onion import Onion
from peerage_chain.challenge import challenge_indices, seed_of
from peerage_chain.types import AgreementId, MemberId

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "beacon.json").read_text())
SPEC = Path(__file__).parents[2] / "node" / "spec" / "beacon.md"
PROOFS = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
SAMPLES = 8
LEAVES = 800
TRIALS = 1500


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def test_one_beat_by_hand() -> None:
    link = bytes(range(20))
    share = keccak(link + bytes(12) + (7).to_bytes(32, "big"))
    assert seed_of([(MemberId(7), link)]) == bytes(12) + share[12:]


def test_the_vectors_seeds_in_whatever_order() -> None:
    for text, seed in zip(VECTORS["beats"], VECTORS["seeds"], strict=True):
        packed = raw(text)
        beats = [
            (MemberId(int.from_bytes(packed[i : i + 4], "big")), packed[i + 4 : i + 24])
            for i in range(0, len(packed), 24)
        ]
        assert seed_of(beats) == seed_of(reversed(beats)) == raw(seed)


@pytest.mark.parametrize("case", VECTORS["onions"], ids=lambda case: case["seed"][:10])
def test_the_vectors_onions(case: dict[str, str]) -> None:
    packed = raw(case["links"])
    links = [packed[i : i + 20] for i in range(0, len(packed), 20)]
    onion = Onion(raw(case["seed"]), len(links) - 1)
    assert [onion.link(i) for i in range(len(links))] == links
    assert onion.tip == links[-1]
    assert links[0] == sha256(raw(case["seed"])).digest()[:20]


def table() -> dict[int, list[float]]:
    """Of the spec: share lost in per cent -> probability to pass in per cent, by the number of seeds to choose from."""
    rows: dict[int, list[float]] = {}
    for line in SPEC.read_text().split("| share lost |")[1].splitlines()[2:]:
        if not line.startswith("|"):
            break
        share, *odds = [cell.strip().removesuffix(" %") for cell in line.strip("|").split("|")]
        rows[int(share)] = [float(o) for o in odds]
    return rows


def test_the_table_is_the_formula() -> None:
    assert sorted(table()) == [5, 10, 20, 50]
    for share, odds in table().items():
        for seeds, percent in zip((1, 2, 4, 8), odds, strict=True):
            passes = 1 - (1 - (1 - share / 100) ** SAMPLES) ** seeds
            assert percent == round(100 * passes, 1)


@pytest.mark.parametrize("share", [5, 20])
def test_a_coalition_passes_as_often_as_the_table_says(share: int) -> None:
    """Three members who beat last choose among the eight seeds that their links can make."""
    source = random.Random(share)
    lost = {leaf for leaf in range(LEAVES) if leaf % 100 < share}
    passed = [0] * 4
    for _ in range(TRIALS):
        beats = [(MemberId(m), source.randbytes(20)) for m in range(1, 10)]
        best = False
        for choice in range(8):
            kept = [beat for i, beat in enumerate(beats) if i >= 3 or choice >> i & 1]
            drawn = challenge_indices(seed_of(kept), 1, PROOFS, AgreementId(bytes(32)), MemberId(4), SAMPLES, LEAVES)
            best = best or not lost.intersection(drawn)
            if choice in (0, 1, 3, 7):
                passed[(choice + 1).bit_length() - 1] += best
    for found, percent in zip(passed, table()[share], strict=True):
        deviation = (TRIALS * percent / 100 * (1 - percent / 100)) ** 0.5
        assert abs(found - TRIALS * percent / 100) <= 4 * deviation + 1
