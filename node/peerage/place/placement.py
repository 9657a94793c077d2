"""One stripe's shards onto members: spread over failure domains first, by free room and quality second.

A stripe's shards are interchangeable, so the question is which members to take. Each candidate joins a legal entity to
a site; a set in which neither repeats is a matching between entities and sites, and a largest one is found with
augmenting paths (Kuhn), as Tahoe's "servers of happiness" does for servers and shares. Only what that leaves open is
filled by sharing sites, then entities, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Flag, auto
from hashlib import blake2b
from math import log

from peerage.errors import TooFewProviders
from peerage.model import Code, MemberId

__all__ = ["Candidate", "Placement", "Relaxed", "Spread", "place"]

_NO_ENTITY = (b"", bytes(32))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider that policy allows and that has a live agreement.

    legal_entity, site: failure domains as declared on chain; empty (or a zero hash) means not declared, and stands for
    the member alone. free_bytes: room left in the agreement when the Spread was begun. quality: 0 (worst) to 1, from
    measured rates and kept promises.
    """

    member: MemberId
    legal_entity: bytes = b""
    site: str = ""
    free_bytes: int = 0
    quality: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.quality <= 1.0:
            raise ValueError(f"quality of member {self.member} must lie between 0 and 1, not {self.quality}")


@dataclass(slots=True)
class Spread:
    """What one run has placed so far, so that the next stripe goes where least was put for its room.

    Not thread-safe: one run owns one. `place` only reads it.
    """

    placed_bytes: dict[MemberId, int] = field(default_factory=dict)

    def add(self, member: MemberId, shard_length: int) -> None:
        self.placed_bytes[member] = self.placed_bytes.get(member, 0) + shard_length

    def take_back(self, member: MemberId, shard_length: int) -> None:
        """A shard that could not be stored there after all."""
        self.placed_bytes[member] = max(0, self.placed_bytes.get(member, 0) - shard_length)

    def of(self, member: MemberId) -> int:
        return self.placed_bytes.get(member, 0)


class Relaxed(Flag):
    """Which separation could not be had for some pair of this stripe's shards."""

    NOTHING = 0
    SITE = auto()
    LEGAL_ENTITY = auto()


@dataclass(frozen=True, slots=True)
class Placement:
    """shards: index -> member for each index that was open. relaxed: separations given up for want of candidates.

    unplaced: indices that found no member; empty unless `least` allowed it.
    """

    shards: dict[int, MemberId]
    relaxed: Relaxed = Relaxed.NOTHING
    unplaced: tuple[int, ...] = ()


def place(
    code: Code,
    candidates: Sequence[Candidate],
    shard_length: int,
    already: Mapping[int, MemberId] | None = None,
    spread: Spread | None = None,
    *,
    seed: bytes = b"",
    least: int | None = None,
    domains: Sequence[Candidate] = (),
) -> Placement:
    """Choose a member for every shard index that `already` does not hold.

    At most one shard of the stripe per member, always. Per legal entity and per site at most one while there are
    enough candidates; otherwise sites are shared first, entities last. Among equals, the member that has got least
    for its free_bytes * quality comes first, blurred by `seed` (use the pack's id), so the same inputs give the same
    answer on every machine, and shares follow room and quality over many stripes.

    already: index -> member of shards that stay where they are. domains: where those members are, when they are not
    among the candidates (a full provider still occupies its site). least: accept a stripe of that many shards in all
    (see commit_threshold); by default all code.n.

    Raises TooFewProviders, which says how many there are and how many are needed.
    """
    kept = dict(already or {})
    given = spread or Spread()
    if any(not 0 <= index < code.n for index in kept):
        raise ValueError(f"shard index outside {code.k}+{code.m}")
    open_indices = [index for index in range(code.n) if index not in kept]
    holders = set(kept.values())
    fitting = {
        c.member: c for c in candidates if c.member not in holders and c.free_bytes - given.of(c.member) >= shard_length
    }
    needed = (code.n if least is None else least) - len(kept)
    if len(fitting) < needed:
        raise TooFewProviders(
            f"{len(fitting)} provider{'s have' if len(fitting) != 1 else ' has'} room for {shard_length} bytes, "
            f"{needed} are needed for a {code.k}+{code.m} stripe: "
            "more members must offer space, or your policy must allow more of them"
        )
    order = sorted(fitting.values(), key=lambda c: (_turn(c, shard_length, given, seed), c.member))
    where = {c.member: c for c in (*domains, *candidates)}
    occupied = [where.get(member, Candidate(member)) for member in holders]
    chosen = _choose(order, occupied, len(open_indices))
    filled = open_indices[: len(chosen)]
    # Which of the chosen gets a data shard (read first at restore) is left to the seed: load spreads over stripes.
    chosen.sort(key=lambda c: _draw(seed, b"index", c.member))
    return Placement(
        shards={index: c.member for index, c in zip(filled, chosen, strict=True)},
        relaxed=_shared([*occupied, *chosen]),
        unplaced=tuple(open_indices[len(chosen) :]),
    )


def _choose(order: Sequence[Candidate], occupied: Sequence[Candidate], count: int) -> list[Candidate]:
    """Up to `count` candidates: as many as possible in fresh entities and sites, then fresh entities, then any."""
    entities = {_entity(c) for c in occupied}
    sites = {_site(c) for c in occupied}
    chosen = _match(
        [c for c in order if _entity(c) not in entities and _site(c) not in sites],
        count,
    )
    entities |= {_entity(c) for c in chosen}
    for c in order:
        if len(chosen) == count:
            return chosen
        if _entity(c) not in entities:
            entities.add(_entity(c))
            chosen.append(c)
    taken = {c.member for c in chosen}
    rest = [c for c in order if c.member not in taken]
    return chosen + rest[: count - len(chosen)]


def _match(order: Sequence[Candidate], count: int) -> list[Candidate]:
    """A largest set (at most `count`) in which no entity and no site repeats; earlier candidates are preferred."""
    by_entity: dict[Hashable, list[Candidate]] = {}
    for c in order:
        by_entity.setdefault(_entity(c), []).append(c)
    at_site: dict[Hashable, Candidate] = {}

    def settle(entity: Hashable, seen: set[Hashable]) -> bool:
        for c in by_entity[entity]:
            site = _site(c)
            if site in seen:
                continue
            seen.add(site)
            sitting = at_site.get(site)
            if sitting is None or settle(_entity(sitting), seen):
                at_site[site] = c
                return True
        return False

    for entity in by_entity:
        if len(at_site) == count:
            break
        settle(entity, set())
    return list(at_site.values())


def _turn(c: Candidate, shard_length: int, spread: Spread, seed: bytes) -> float:
    """When this candidate is next in turn: bytes it got, blurred by one shard, over its weight.

    With an exponential blur and nothing placed yet this is weighted sampling without replacement (Efraimidis and
    Spirakis); what was placed then pulls the shares back to the weights.
    """
    weight = max(c.free_bytes, 1) * max(c.quality, 0.01)
    blur = -log(1.0 - _draw(seed, b"turn", c.member))
    return (spread.of(c.member) + blur * shard_length) / weight


def _draw(seed: bytes, use: bytes, member: MemberId) -> float:
    """A number in [0, 1) fixed by its arguments."""
    digest = blake2b(seed + use + member.to_bytes(8, "big"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def _entity(c: Candidate) -> Hashable:
    return c.member if c.legal_entity in _NO_ENTITY else c.legal_entity


def _site(c: Candidate) -> Hashable:
    return c.site.strip().casefold() or c.member


def _shared(stripe: Sequence[Candidate]) -> Relaxed:
    relaxed = Relaxed.NOTHING
    if len({_site(c) for c in stripe}) < len(stripe):
        relaxed |= Relaxed.SITE
    if len({_entity(c) for c in stripe}) < len(stripe):
        relaxed |= Relaxed.LEGAL_ENTITY
    return relaxed
