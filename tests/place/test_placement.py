"""Properties of placement, checked against a brute-force search where the networks are small."""

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerage.errors import TooFewProviders
from peerage.model import Code, MemberId
from peerage.place import Candidate, Placement, Relaxed, Spread, place

SHARD = 8 << 20


def member(n: int, entity: int = 0, site: str = "", free: int = 1 << 40, quality: float = 1.0) -> Candidate:
    return Candidate(MemberId(n), entity.to_bytes(32, "big"), site, free, quality)


@st.composite
def networks(draw: st.DrawFn, max_size: int = 9) -> list[Candidate]:
    size = draw(st.integers(2, max_size))
    return [
        member(
            n + 1,
            entity=draw(st.integers(0, 4)),
            site=draw(st.sampled_from(["", "a", "b", "c", "d"])),
            free=draw(st.sampled_from([0, SHARD - 1, SHARD, 10 * SHARD, 1 << 40])),
            quality=draw(st.floats(0, 1)),
        )
        for n in range(size)
    ]


codes = st.sampled_from([Code(1, 1), Code(2, 1), Code(3, 2), Code(4, 2)])


def domains(c: Candidate) -> tuple[object, object]:
    return (c.legal_entity if any(c.legal_entity) else c.member), (c.site or c.member)


def separated(chosen: tuple[Candidate, ...]) -> tuple[int, int]:
    entities, sites = zip(*map(domains, chosen), strict=True)
    return len(set(entities)), len(set(sites))


@given(networks(), codes, st.binary(max_size=4))
@settings(max_examples=300)
def test_never_two_shards_on_one_member_and_never_where_there_is_no_room(
    network: list[Candidate], code: Code, seed: bytes
) -> None:
    by_member = {c.member: c for c in network}
    fitting = [c for c in network if c.free_bytes >= SHARD]
    if len(fitting) < code.n:
        with pytest.raises(TooFewProviders, match=rf"^{len(fitting)} provider.* {code.n} are needed"):
            place(code, network, SHARD, seed=seed)
        return
    placement = place(code, network, SHARD, seed=seed)
    assert sorted(placement.shards) == list(range(code.n))
    assert len(set(placement.shards.values())) == code.n
    assert all(by_member[m].free_bytes >= SHARD for m in placement.shards.values())
    assert placement == place(code, network, SHARD, seed=seed), "the same inputs must give the same answer"


@given(networks(max_size=8), codes)
@settings(max_examples=200)
def test_domains_repeat_only_when_no_choice_avoids_it(network: list[Candidate], code: Code) -> None:
    fitting = [c for c in network if c.free_bytes >= SHARD]
    if len(fitting) < code.n:
        return
    by_member = {c.member: c for c in network}
    placement = place(code, network, SHARD)
    chosen = tuple(by_member[m] for m in placement.shards.values())
    entities, sites = separated(chosen)
    choices = [separated(choice) for choice in combinations(fitting, code.n)]
    assert entities == max(e for e, _ in choices), "a legal entity is shared only for want of others"
    if (code.n, code.n) in choices:
        assert (entities, sites) == (code.n, code.n)
        assert placement.relaxed == Relaxed.NOTHING
    assert (Relaxed.LEGAL_ENTITY in placement.relaxed) == (entities < code.n)
    assert (Relaxed.SITE in placement.relaxed) == (sites < code.n)


def test_a_greedy_choice_is_revised_by_an_augmenting_path() -> None:
    # Whoever takes site "a" with entity 1 first must give it up for entity 2, which is only there.
    network = [member(1, 1, "a", quality=1.0), member(2, 1, "b", quality=0.01), member(3, 2, "a", quality=0.01)]
    for seed in range(50):
        placement = place(Code(1, 1), network, SHARD, seed=bytes([seed]))
        assert set(placement.shards.values()) == {2, 3}
        assert placement.relaxed == Relaxed.NOTHING


@given(networks(), codes, st.data())
@settings(max_examples=200)
def test_repair_keeps_what_stands_and_avoids_its_members_and_domains(
    network: list[Candidate], code: Code, data: st.DataObject
) -> None:
    standing = data.draw(st.integers(0, min(code.n, len(network))))
    kept = {index: network[index].member for index in range(standing)}
    others = [c for c in network if c.member not in kept.values()]
    try:
        placement = place(code, others, SHARD, kept, domains=network)
    except TooFewProviders:
        assert len([c for c in others if c.free_bytes >= SHARD]) < code.n - standing
        return
    assert not set(placement.shards) & set(kept)
    assert not set(placement.shards.values()) & set(kept.values())
    assert set(placement.shards) | set(kept) == set(range(code.n))


def test_a_full_member_still_occupies_its_site() -> None:
    network = [member(2, 2, "a"), member(3, 3, "b")]
    placement = place(Code(1, 1), network, SHARD, {0: MemberId(1)}, domains=[member(1, 1, "A ", free=0)])
    assert placement == Placement({1: MemberId(3)})


def test_fewer_than_the_whole_stripe_only_when_allowed() -> None:
    network = [member(n) for n in range(1, 6)]
    with pytest.raises(TooFewProviders):
        place(Code(4, 2), network, SHARD)
    placement = place(Code(4, 2), network, SHARD, least=5)
    assert len(placement.shards) == 5
    assert len(placement.unplaced) == 1
    with pytest.raises(TooFewProviders):
        place(Code(4, 2), network[:4], SHARD, least=5)


def test_shares_follow_room_and_quality() -> None:
    gib = 1 << 30
    network = [
        member(1, free=300 * gib),
        member(2, free=100 * gib),
        member(3, free=300 * gib, quality=0.5),
        member(4, free=200 * gib),
    ]
    spread, count = Spread(), Counter[MemberId]()
    for stripe in range(1000):
        placement = place(Code(1, 1), network, SHARD, {}, spread, seed=stripe.to_bytes(4, "big"))
        for m in placement.shards.values():
            spread.add(m, SHARD)
            count[m] += 1
    # Weights 300, 100, 150, 200 of 750, two shards a stripe; member 1 would want 0.8 of a stripe, which it can have.
    for n, share in ((1, 300), (2, 100), (3, 150), (4, 200)):
        assert count[MemberId(n)] == pytest.approx(2000 * share / 750, rel=0.05)


def test_what_the_run_placed_counts_against_the_room() -> None:
    network = [member(n, free=2 * SHARD) for n in range(1, 4)]
    spread = Spread()
    for stripe in range(3):
        for m in place(Code(1, 1), network, SHARD, {}, spread, seed=bytes([stripe])).shards.values():
            spread.add(m, SHARD)
    assert sum(spread.placed_bytes.values()) == 6 * SHARD
    with pytest.raises(TooFewProviders, match=r"^0 providers have room"):
        place(Code(1, 1), network, SHARD, {}, spread)
    spread.take_back(MemberId(1), SHARD)
    spread.take_back(MemberId(2), SHARD)
    assert set(place(Code(1, 1), network, SHARD, {}, spread).shards.values()) == {1, 2}


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="outside 1\\+1"):
        place(Code(1, 1), [member(1)], SHARD, {2: MemberId(1)})
    with pytest.raises(ValueError, match="between 0 and 1"):
        member(1, quality=1.5)
