"""The hash onion: a chain of hashes whose links a member reveals from the end, one per epoch, with its beat.

A link is 20 bytes. link(0) is the hash of the seed, link(i) that of link(i - 1), the tip is link(LENGTH); the hash is
the first 20 bytes of SHA-256. The contract knows the last link revealed and takes its predecessor: nobody can guess it,
and the member cannot choose another.
"""

from __future__ import annotations

from hashlib import sha256

from peerage.errors import IntegrityError, LocalFault
from peerage_chain.challenge import LINK_BYTES

LENGTH = 1 << 20
"""Links of an onion: 119 years of hourly epochs, 60 days of 5-second ones."""
_STRIDE = 1024
"""Every so many links one is kept, 20 KiB in all."""


def _hash(link: bytes) -> bytes:
    return sha256(link).digest()[:LINK_BYTES]


class Onion:
    """One onion. Making it hashes LENGTH times (0.4 s); everything else at most 2 * _STRIDE times (0.3 ms)."""

    def __init__(self, seed: bytes, length: int = LENGTH) -> None:
        if len(seed) != 32 or length < 1:
            raise ValueError("an onion's seed is 32 bytes, and it has at least one link")
        self.length = length
        link = _hash(seed)
        kept = [link]
        for index in range(1, length + 1):
            link = _hash(link)
            if index % _STRIDE == 0:
                kept.append(link)
        self._kept = kept
        self._places = {value: place * _STRIDE for place, value in enumerate(kept)}
        self._places[link] = length
        self.tip = link

    def __repr__(self) -> str:
        return f"Onion(tip={self.tip.hex()})"

    def link(self, index: int) -> bytes:
        """The link at 0 <= index <= length."""
        if not 0 <= index <= self.length:
            raise IndexError(f"link {index} of {self.length}")
        place, steps = divmod(index, _STRIDE)
        link = self._kept[place]
        for _ in range(steps):
            link = _hash(link)
        return link

    def holds(self, link: bytes) -> bool:
        """Whether this onion has this link."""
        return self._index(link) is not None

    def remaining(self, link: bytes) -> int:
        """How many links can still be revealed once this one is known. Raises IntegrityError for a foreign link."""
        index = self._index(link)
        if index is None:
            raise IntegrityError("the chain knows a beacon link that is not of this node's onion")
        return index

    def predecessor(self, of: bytes) -> bytes:
        """The link to reveal after this one. Raises IntegrityError for a foreign link, LocalFault when none is left."""
        index = self.remaining(of)
        if index == 0:
            raise LocalFault("the hash onion is used up: commit to a new one")
        return self.link(index - 1)

    def _index(self, link: bytes) -> int | None:
        """Hash forward to a link whose place is known. A foreign link never gets there."""
        current = link
        for steps in range(_STRIDE + 1):
            place = self._places.get(current)
            if place is not None:
                return place - steps
            current = _hash(current)
        return None
