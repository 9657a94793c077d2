"""The hash onion, against plain hashing."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.errors import IntegrityError, LocalFault
from peerage.keys.onion import LENGTH, Onion

SEED = b"\x42" * 32
LINKS = [hashlib.sha256(SEED).digest()[:20]]
for _ in range(3000):
    LINKS.append(hashlib.sha256(LINKS[-1]).digest()[:20])
ONION = Onion(SEED, 3000)


def test_every_link() -> None:
    assert ONION.tip == LINKS[3000]
    assert all(ONION.link(i) == LINKS[i] for i in range(0, 3001, 37))


@given(st.integers(1, 3000))
def test_the_predecessor_hashes_to_what_is_known(index: int) -> None:
    revealed = ONION.predecessor(LINKS[index])
    assert revealed == LINKS[index - 1]
    assert hashlib.sha256(revealed).digest()[:20] == LINKS[index]
    assert ONION.remaining(LINKS[index]) == index


@pytest.mark.parametrize("length", [1, 2, 1023, 1024, 1025, 2048])
def test_lengths_about_the_stride(length: int) -> None:
    onion = Onion(SEED, length)
    for index in {1, 2, length // 2 or 1, length - 1 or 1, length}:
        assert onion.predecessor(LINKS[min(index, length)]) == LINKS[min(index, length) - 1]
    assert onion.tip == LINKS[length]
    assert onion.remaining(LINKS[0]) == 0


def test_the_end_and_foreign_links() -> None:
    with pytest.raises(LocalFault, match="used up"):
        ONION.predecessor(LINKS[0])
    assert ONION.holds(LINKS[5])
    assert not ONION.holds(bytes(20))
    with pytest.raises(IntegrityError, match="not of this node's onion"):
        ONION.predecessor(bytes(20))
    for index in (-1, 3001):
        with pytest.raises(IndexError):
            ONION.link(index)
    with pytest.raises(ValueError, match="32 bytes"):
        Onion(b"short")


def test_a_link_past_the_tip_is_foreign() -> None:
    assert not ONION.holds(hashlib.sha256(ONION.tip).digest()[:20])


def test_the_real_length_lasts_decades_of_hours() -> None:
    assert LENGTH / (24 * 365) > 100


def test_no_seed_is_shown() -> None:
    assert SEED.hex() not in repr(ONION)
