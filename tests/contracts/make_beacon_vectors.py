"""Writes tests/vectors/beacon.json: random beats and the seeds that they make, and onions, from definitions that share
no code with the product. Run once; a released vector is never edited.

A case's beats are one string, 24 bytes a beat: the member's number, big-endian, and the link that it revealed.
"""

from __future__ import annotations

import json
import random
from hashlib import sha256
from pathlib import Path

from eth_hash.auto import keccak

VECTORS = Path(__file__).parents[1] / "vectors" / "beacon.json"
CASES = 400
MAX_BEATS = 9
ONIONS = 20


def seed(beats: list[tuple[int, bytes]]) -> bytes:
    """The XOR of each beat's last 20 bytes of keccak256(link, padded on the right; number, padded on the left)."""
    mixed = [0] * 20
    for number, link in beats:
        share = keccak(link.ljust(32, b"\0") + number.to_bytes(32, "big"))[12:]
        mixed = [a ^ b for a, b in zip(mixed, share, strict=True)]
    return bytes(12) + bytes(mixed)


def onion(start: bytes, length: int) -> list[bytes]:
    """Link 0 to the tip."""
    links = [sha256(start).digest()[:20]]
    for _ in range(length):
        links.append(sha256(links[-1]).digest()[:20])
    return links


def main() -> None:
    source = random.Random("peerage beacon vectors")
    beats, seeds = [], []
    for _ in range(CASES):
        # Small numbers and the whole range of them.
        numbers = source.sample(range(1, 1 << source.choice((5, 32))), source.randint(1, MAX_BEATS))
        case = [(number, source.randbytes(20)) for number in numbers]
        beats.append("0x" + b"".join(number.to_bytes(4, "big") + link for number, link in case).hex())
        seeds.append("0x" + seed(case).hex())
    onions = []
    for length in range(1, ONIONS + 1):
        start = source.randbytes(32)
        links = onion(start, length)
        onions.append({"seed": "0x" + start.hex(), "links": "0x" + b"".join(links).hex()})
    VECTORS.write_text(json.dumps({"beats": beats, "seeds": seeds, "onions": onions}, indent=0) + "\n")


if __name__ == "__main__":
    main()
