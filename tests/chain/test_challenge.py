"""Seeds and challenges, without a chain."""

from __future__ import annotations

import random

import pytest
from eth_hash.auto import keccak

from peerage_chain.challenge import challenge_indices, seed_of, seed_valid, word_and_bit
from peerage_chain.types import AgreementId, MemberId

PROOFS = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


def test_the_order_of_beats_does_not_matter() -> None:
    beats = [(MemberId(m), bytes([m]) * 20) for m in range(1, 8)]
    shuffled = random.Random(1).sample(beats, len(beats))
    assert seed_of(beats) == seed_of(shuffled) != seed_of(beats[1:])
    assert seed_of([(MemberId(1), bytes(20))]) == bytes(12) + keccak(bytes(32) + (1).to_bytes(32, "big"))[12:]
    assert seed_of([]) == bytes(32)
    with pytest.raises(ValueError, match="20 bytes"):
        seed_of([(MemberId(1), b"short")])


@pytest.mark.parametrize(
    ("beats", "active", "valid"),
    [
        (0, 0, False),
        (1, 0, True),
        (1, 1, True),
        (1, 2, False),
        (2, 3, True),
        (5, 9, False),
        (6, 9, True),
        (0, 9, False),
    ],
)
def test_two_thirds_make_a_seed(beats: int, active: int, valid: bool) -> None:
    assert seed_valid(beats, active) is valid


def test_a_challenge_is_one_provider_s_and_one_agreement_s() -> None:
    def indices(seed: bytes = bytes(32), chain_id: int = 1, agreement: int = 1, provider: int = 2) -> tuple[int, ...]:
        id = AgreementId(agreement.to_bytes(32, "big"))
        return challenge_indices(seed, chain_id, PROOFS, id, MemberId(provider), 8, 1 << 40)

    others = {indices(bytes([1]) * 32), indices(chain_id=2), indices(agreement=2), indices(provider=3), indices()}
    assert len(others) == 5
    assert all(len(drawn) == 8 and max(drawn) < 1 << 40 for drawn in others)
    assert challenge_indices(bytes(32), 1, PROOFS, AgreementId(bytes(32)), MemberId(1), 8, 0) == ()


def test_every_leaf_is_drawn_about_equally_often() -> None:
    """Chi-squared over 64 leaves and 8,000 draws: far beyond chance only if the draw is not uniform."""
    counts = [0] * 64
    for number in range(1000):
        for index in challenge_indices(
            keccak(number.to_bytes(4, "big")), 1, PROOFS, AgreementId(bytes(32)), MemberId(1), 8, 64
        ):
            counts[index] += 1
    expected = 8000 / 64
    assert sum((c - expected) ** 2 / expected for c in counts) < 115  # 63 degrees of freedom, p = 0.0001


def test_where_the_bitmap_holds_an_epoch() -> None:
    assert [word_and_bit(e) for e in (0, 255, 256, 1000)] == [(0, 0), (0, 255), (1, 0), (3, 232)]
