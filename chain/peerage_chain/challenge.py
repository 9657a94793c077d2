"""Reference derivation of seeds and challenges, for auditors and provers: pure, and independent of the contracts' code.

seed(e)   = XOR over the beats of epoch e-1 of the last 160 bits of keccak256(abi.encode(bytes20 link, uint32 member))
own       = keccak256(abi.encode(seed, chain id, Proofs, agreement, provider))
index_i   = the start of part i + keccak256(abi.encode(own, i)) mod the size of part i, where part i of as many equal
            parts as samples is [leaves * i / samples, leaves * (i + 1) / samples), rounded down; an empty part has none
"""

from __future__ import annotations

from collections.abc import Iterable

from eth_hash.auto import keccak

from peerage_chain.typed import address_bytes
from peerage_chain.types import AgreementId, MemberId

LINK_BYTES = 20
"""Of a link of a hash onion, and of what a seed is made of."""
FREEZE_EPOCHS = 2
"""A challenge of epoch e is over the newest revision of an epoch <= e - 2: older than any link that became public."""


def seed_of(beats: Iterable[tuple[MemberId, bytes]]) -> bytes:
    """The seed that the (member, revealed link) pairs of one epoch make for the next. Order does not matter."""
    accumulator = 0
    for member, link in beats:
        if len(link) != LINK_BYTES:
            raise ValueError(f"a link has {LINK_BYTES} bytes")
        hashed = keccak(link + bytes(32 - LINK_BYTES) + member.to_bytes(32, "big"))
        accumulator ^= int.from_bytes(hashed[-LINK_BYTES:], "big")
    return accumulator.to_bytes(32, "big")


def seed_valid(beats: int, active: int) -> bool:
    """Whether an epoch with so many beats, of so many active members, makes a seed: two thirds, and at least one."""
    return beats > 0 and beats * 3 >= active * 2


def challenge_indices(
    seed: bytes, chain_id: int, proofs: str, agreement: AgreementId, provider: MemberId, samples: int, leaves: int
) -> tuple[int, ...]:
    """The leaves that a provider must open, ascending, each once: one of each part, all of them if there are few."""
    contract = bytes(12) + address_bytes(proofs)
    own = keccak(seed + chain_id.to_bytes(32, "big") + contract + agreement + provider.to_bytes(32, "big"))
    indices: list[int] = []
    for i in range(samples):
        start, end = leaves * i // samples, leaves * (i + 1) // samples
        if end > start:
            drawn = int.from_bytes(keccak(own + i.to_bytes(32, "big")), "big")
            indices.append(start + drawn % (end - start))
    return tuple(indices)


def word_and_bit(epoch: int) -> tuple[int, int]:
    """Where a bitmap of epochs holds one: (word, bit from the least significant)."""
    return epoch // 256, epoch % 256
