"""The provider behind its listener: what it signs, what it refuses to sign, and what it can prove."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import DOMAIN, Network, Peer, key, terms_between

from peerage.deal.policy import Policy
from peerage.errors import IntegrityError, PeerRefused
from peerage.model import AgreementId, ShardRoot
from peerage.shard.tree import AgreementTree, object_tree, verify
from peerage.wire.refusals import Refusal, RefusalCode
from peerage_chain import typed
from peerage_chain.types import (
    CREDIT,
    GIB,
    ZERO32,
    AgreementState,
    Challenge,
    Demand,
    DemandState,
    Epoch,
    MemberStatus,
    Revision,
)

Pair = tuple[Peer, Peer, AgreementId]
Objects = list[tuple[ShardRoot, int]]


@pytest.fixture
async def pair(network: Network) -> Pair:
    return await network.pair()


async def put(pair: Pair, count: int, size: int = 3 * 1024) -> Objects:
    client, provider, agreement = pair
    objects: Objects = []
    for _ in range(count):
        data = os.urandom(size)
        root = object_tree(data).root
        await client.client.put_object(provider.member, agreement, root, data)
        objects.append((root, size // 1024))
    return objects


def revision_over(pair: Pair, objects: Objects, sequence: int = 1, previous: bytes = ZERO32, life: int = 8) -> Revision:
    client, _, agreement = pair
    root = AgreementTree(objects).root
    expires = Epoch(client.ledger.epoch + life)
    return Revision(agreement, sequence, previous, root.hash, root.leaves, 0, 0, expires)


def digest(revision: Revision) -> bytes:
    return typed.revision_digest(revision, DOMAIN)


async def cosign(pair: Pair, revision: Revision, appended: Sequence[ShardRoot], signer: bytes | None = None) -> bytes:
    client, provider, _ = pair
    own = typed.sign(signer or client.node_key, digest(revision))
    return await provider.provider.cosign(client.info, revision, appended, own)


async def record(pair: Pair, revision: Revision) -> None:
    await pair[0].ledger.revise(revision, b"", b"")


async def refused(call: object, code: RefusalCode) -> str:
    with pytest.raises(Refusal) as refusal:
        await call  # type: ignore[misc]
    assert refusal.value.code == code, str(refusal.value)
    return str(refusal.value)


def roots(objects: Objects) -> list[ShardRoot]:
    return [root for root, _ in objects]


# --- co-signing -------------------------------------------------------------------------------------------------------


async def test_revisions_follow_each_other(pair: Pair) -> None:
    client, provider, agreement = pair
    first = await put(pair, 3)
    one = revision_over(pair, first)
    signature = await client.client.cosign(provider.member, one, roots(first), client.sign(digest(one)))
    assert typed.recover(digest(one), signature) == provider.address
    await record(pair, one)
    second = await put(pair, 2)
    two = revision_over(pair, first + second, 2, digest(one))
    await cosign(pair, two, roots(second))
    await record(pair, two)
    loose = await put(pair, 1)
    assert await client.client.list_objects(provider.member, agreement) == first + second + loose


async def test_the_same_revision_gets_the_same_signature(pair: Pair) -> None:
    objects = await put(pair, 1)
    one = revision_over(pair, objects)
    signature = await cosign(pair, one, roots(objects))
    assert await cosign(pair, one, roots(objects)) == signature
    await record(pair, one)
    assert await cosign(pair, one, roots(objects)) == signature


async def test_signed_revisions_are_durable_before_the_answer(pair: Pair, tmp_path: Path) -> None:
    objects = await put(pair, 1)
    one = revision_over(pair, objects)
    signature = await cosign(pair, one, roots(objects))
    with sqlite3.connect(tmp_path / "node1" / "objects.sqlite") as db:
        rows = db.execute("SELECT digest, provider_signature FROM revisions").fetchall()
    db.close()
    assert rows == [(digest(one), signature)]


async def test_a_wrong_tree_is_not_signed(pair: Pair) -> None:
    objects = await put(pair, 3)
    one = revision_over(pair, objects)
    for wrong in (
        replace(one, root=b"x" * 32),
        replace(one, leaves=one.leaves + 1),
        replace(one, leaves=1),
    ):
        await refused(cosign(pair, wrong, roots(objects)), RefusalCode.BAD_ROOT)
    await refused(cosign(pair, one, roots(objects)[::-1]), RefusalCode.BAD_ROOT)
    await refused(cosign(pair, one, roots(objects)[:2]), RefusalCode.BAD_ROOT)
    await refused(cosign(pair, one, [*roots(objects), roots(objects)[0]]), RefusalCode.BAD_REVISION)


async def test_what_is_not_stored_is_not_signed_for(pair: Pair) -> None:
    objects = await put(pair, 1)
    ghost = (ShardRoot(b"g" * 32), 3)
    one = revision_over(pair, [*objects, ghost])
    await refused(cosign(pair, one, roots([*objects, ghost])), RefusalCode.NO_SUCH_OBJECT)


async def test_what_is_known_to_be_damaged_is_not_signed_for(pair: Pair) -> None:
    _, provider, agreement = pair
    objects = await put(pair, 1)
    provider.store.mark_damaged(agreement, objects[0][0])
    one = revision_over(pair, objects)
    await refused(cosign(pair, one, roots(objects)), RefusalCode.NO_SUCH_OBJECT)


async def test_only_the_clients_own_live_key_asks(network: Network, pair: Pair) -> None:
    client, provider, _ = pair
    objects = await put(pair, 1)
    one = revision_over(pair, objects)
    await refused(cosign(pair, one, roots(objects), key(77)), RefusalCode.BAD_SIGNATURE)
    await refused(cosign(pair, one, roots(objects), provider.node_key), RefusalCode.BAD_SIGNATURE)
    await refused(provider.provider.cosign(client.info, one, roots(objects), b"\x00" * 65), RefusalCode.BAD_SIGNATURE)
    stranger = await network.add(listen=False)
    call = provider.provider.cosign(stranger.info, one, roots(objects), stranger.sign(digest(one)))
    await refused(call, RefusalCode.NO_SUCH_AGREEMENT)
    network.enlist(client, status=MemberStatus.SUSPENDED)
    await refused(cosign(pair, one, roots(objects)), RefusalCode.SUSPENDED)


async def test_a_replayed_or_skipped_number_is_stale(pair: Pair) -> None:
    first = await put(pair, 1)
    one = revision_over(pair, first)
    await cosign(pair, one, roots(first))
    await record(pair, one)
    second = await put(pair, 1)
    both = first + second
    for stale in (
        revision_over(pair, both, 1),
        revision_over(pair, both, 1, digest(one)),
        revision_over(pair, both, 2),
        revision_over(pair, both, 3, digest(one)),
        revision_over(pair, both, 2, b"p" * 32),
    ):
        await refused(cosign(pair, stale, roots(second)), RefusalCode.STALE_REVISION)
    await cosign(pair, revision_over(pair, both, 2, digest(one)), roots(second))


async def test_two_revisions_with_one_number(pair: Pair) -> None:
    """The second is signed only if it extends the first, or once the first can no longer be recorded."""
    objects = await put(pair, 4)
    one = revision_over(pair, objects[:2])
    await cosign(pair, one, roots(objects[:2]))
    rival = revision_over(pair, objects[2:])
    await refused(cosign(pair, rival, roots(objects[2:])), RefusalCode.STALE_REVISION)
    fewer = revision_over(pair, objects[:1])
    await refused(cosign(pair, fewer, roots(objects[:1])), RefusalCode.STALE_REVISION)
    longer = revision_over(pair, objects[:3])
    await cosign(pair, longer, roots(objects[:3]))
    pair[0].ledger.epoch += 9
    later = revision_over(pair, objects[2:])
    await asyncio.sleep(0.6)  # what the chain's time is was remembered
    await cosign(pair, later, roots(objects[2:]))
    await record(pair, later)
    assert (await pair[1].provider.refresh())[0].sequence == 1
    listed = pair[1].store.objects_of(pair[2])
    assert listed[:2] == objects[2:]


async def test_an_expired_revision_that_was_recorded_after_all_is_not_replaced(pair: Pair) -> None:
    objects = await put(pair, 2)
    one = revision_over(pair, objects[:1])
    await cosign(pair, one, roots(objects[:1]))
    await record(pair, one)  # the provider has not heard of it
    pair[0].ledger.epoch += 9
    await asyncio.sleep(0.6)
    rival = revision_over(pair, objects[1:])
    await refused(cosign(pair, rival, roots(objects[1:])), RefusalCode.STALE_REVISION)


@pytest.mark.parametrize("life", [-1, 65, 100_000])
async def test_the_expiry_has_bounds(pair: Pair, life: int) -> None:
    objects = await put(pair, 1)
    one = revision_over(pair, objects, life=life)
    await refused(cosign(pair, one, roots(objects)), RefusalCode.BAD_REVISION)


async def test_unknown_versions_and_extensions_are_refused(pair: Pair) -> None:
    client, provider, _ = pair
    objects = await put(pair, 1)
    one = revision_over(pair, objects)
    for odd in (replace(one, version=2), replace(one, extension=b"e" * 32)):
        call = provider.provider.cosign(client.info, odd, roots(objects), b"s" * 65)
        await refused(call, RefusalCode.BAD_REVISION)


async def test_nothing_is_signed_or_taken_once_the_agreement_is_over(pair: Pair) -> None:
    client, provider, agreement = pair
    objects = await put(pair, 1)
    client.ledger.change(agreement, state=AgreementState.FAILED)
    await provider.provider.refresh()
    await refused(cosign(pair, revision_over(pair, objects), roots(objects)), RefusalCode.AGREEMENT_NOT_LIVE)
    data = bytes(1024)
    call = provider.provider.receive(client.info, agreement, object_tree(data).root, 1024, 0, 0, 0)  # type: ignore[arg-type]
    await refused(call, RefusalCode.AGREEMENT_NOT_LIVE)
    assert await client.client.get_object(provider.member, objects[0][0])
    assert (await client.client.list_objects(provider.member, agreement)) == objects


async def test_data_goes_only_after_term_and_retention(pair: Pair) -> None:
    client, provider, agreement = pair
    await put(pair, 1)
    client.ledger.change(agreement, state=AgreementState.ENDED)
    terms = client.ledger.infos[agreement].terms
    client.ledger.epoch = terms.end_epoch + terms.min_retention_epochs
    await provider.provider.refresh()
    assert provider.store.usage().objects == 1
    client.ledger.epoch += 1
    await provider.provider.refresh()
    assert provider.store.usage().objects == 0


async def test_attack_a_client_demands_what_it_then_removes(pair: Pair) -> None:
    client, provider, agreement = pair
    await put(pair, 1)
    info, ledger = client.ledger.infos[agreement], client.ledger
    open_ = DemandState.OPEN
    args = (agreement, bytes(32), 1, 3, client.member, provider.member, Epoch(1), Epoch(1 << 30), open_, 1, (0,))
    ledger.demands = [Demand(0, *args)]
    ledger.change(agreement, state=AgreementState.ENDED)
    ledger.epoch = info.terms.end_epoch + info.terms.min_retention_epochs + 10
    await provider.provider.refresh()
    assert provider.store.usage().objects == 1, "the demand can still be answered"
    ledger.demands = []
    await provider.provider.refresh()
    assert provider.store.usage().objects == 0


async def test_with_the_chain_away_known_agreements_go_on(network: Network, pair: Pair) -> None:
    client, provider, agreement = pair
    first = await put(pair, 1)
    unseen = network.agree(client, provider, salt=9)
    client.ledger.away = True
    second = await put(pair, 1)
    one = revision_over(pair, first)
    await cosign(pair, one, roots(first))
    two = revision_over(pair, first + second, 2, digest(one))
    await cosign(pair, two, roots(second))
    assert await client.client.get_object(provider.member, first[0][0])
    data = bytes(1024)
    call = provider.provider.receive(client.info, unseen, object_tree(data).root, 1024, 0, 0, 0)  # type: ignore[arg-type]
    await refused(call, RefusalCode.CHAIN_UNAVAILABLE)
    call = provider.provider.propose(client.info, terms_between(client, provider, salt=5))
    await refused(call, RefusalCode.CHAIN_UNAVAILABLE)
    client.ledger.away = False
    await record(pair, one)
    await record(pair, two)
    await provider.provider.refresh()
    assert [r.recorded for r in provider.store.revisions.all_of(agreement)] == [True, True]


# --- proposals --------------------------------------------------------------------------------------------------------


async def test_room_is_promised_once(network: Network) -> None:
    provider = await network.add(Policy().set("give.capacity_bytes", "10GiB"))
    clients = [await network.add(listen=False) for _ in range(3)]
    for client in clients[:2]:
        _, signature, _ = await provider.provider.propose(client.info, terms_between(client, provider, 4 * GIB))
        assert signature
    terms, signature, reason = await provider.provider.propose(
        clients[2].info, terms_between(clients[2], provider, 4 * GIB)
    )
    assert signature is None
    assert terms.capacity == 2 * GIB
    assert "capacity" in reason
    network.ledger.open_now(terms_between(clients[0], provider, 4 * GIB))
    again = await provider.provider.propose(clients[2].info, terms)
    assert again[1] is not None, "what was opened is not counted twice"
    network.ledger.epoch += 17
    await asyncio.sleep(0.6)
    late = terms_between(clients[2], provider, 6 * GIB)
    assert (await provider.provider.propose(clients[2].info, late))[1], "what was never opened is free again"


async def test_terms_in_anothers_name_are_refused(network: Network, pair: Pair) -> None:
    client, provider, _ = pair
    other = await network.add(listen=False)
    call = provider.provider.propose(other.info, terms_between(client, provider, salt=3))
    await refused(call, RefusalCode.BAD_TERMS)


async def test_collateral_that_is_not_there_is_not_promised(pair: Pair) -> None:
    client, provider, _ = pair
    client.ledger.balances[provider.member] = CREDIT // 1000
    call = provider.provider.propose(client.info, terms_between(client, provider, salt=3))
    await refused(call, RefusalCode.POLICY_REFUSED)


# --- proofs -----------------------------------------------------------------------------------------------------------


def challenge_over(pair: Pair, revision: Revision, *indices: int) -> Challenge:
    epoch = Epoch(pair[0].ledger.epoch)
    leaves = revision.leaves
    return Challenge(pair[2], epoch, True, b"s" * 32, revision.sequence, revision.root, leaves, indices)


async def test_every_leaf_can_be_proven_of_every_revision(pair: Pair) -> None:
    first = await put(pair, 2) + await put(pair, 1, 100 * 1024)
    one = revision_over(pair, first)
    await cosign(pair, one, roots(first))
    await record(pair, one)
    second = await put(pair, 2, 1024)
    two = revision_over(pair, first + second, 2, digest(one))
    await cosign(pair, two, roots(second))
    for revision in (one, two, one):
        indices = range(revision.leaves)
        samples = pair[1].provider.samples_for(challenge_over(pair, revision, *indices))
        assert [verify(s.leaf, s.path, revision.root, revision.leaves) for s in samples] == list(indices)


async def test_a_proof_after_revisions_that_only_append_makes_no_tree_anew(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects: list[tuple[ShardRoot, int]] = []
    previous, whole = ZERO32, 0
    read = pair[1].store.objects_at

    def counted(*arguments: Any) -> Any:
        nonlocal whole
        whole += 1
        return read(*arguments)

    monkeypatch.setattr(pair[1].store, "objects_at", counted)
    for number in range(1, 7):
        new = await put(pair, 3, number * 1024)
        objects += new
        revision = revision_over(pair, objects, number, previous)
        await cosign(pair, revision, roots(new))
        await record(pair, revision)
        await pair[1].provider.refresh()
        previous = digest(revision)
        if number in (1, 2, 5, 6):  # revisions 3 and 4 asked for nothing
            samples = pair[1].provider.samples_for(challenge_over(pair, revision, *range(revision.leaves)))
            assert [verify(s.leaf, s.path, revision.root, revision.leaves) for s in samples] == list(
                range(revision.leaves)
            )
    assert whole == 1


async def test_damage_on_disk_is_found_by_the_proof_and_marked(pair: Pair) -> None:
    _, provider, agreement = pair
    objects = await put(pair, 2)
    one = revision_over(pair, objects)
    await cosign(pair, one, roots(objects))
    path = provider.store._files.path(agreement, objects[1][0])
    data = bytearray(path.read_bytes())
    data[1500] ^= 1
    path.write_bytes(data)
    provider.provider.samples_for(challenge_over(pair, one, 0, 1, 2))
    with pytest.raises(IntegrityError):
        provider.provider.samples_for(challenge_over(pair, one, 4))
    assert provider.store.damaged() == [(agreement, objects[1][0])]
    path.unlink()
    with pytest.raises(IntegrityError):
        provider.provider.samples_for(challenge_over(pair, one, 4))


async def test_a_revision_that_is_not_held_cannot_be_proven(pair: Pair) -> None:
    objects = await put(pair, 1)
    one = revision_over(pair, objects)
    with pytest.raises(IntegrityError, match="not held"):
        pair[1].provider.samples_for(challenge_over(pair, one, 0))


async def test_a_chain_that_hangs_does_not_slow_down_what_is_known(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peerage.flow.provided.PATIENCE_S", 0.2)
    monkeypatch.setattr("peerage.flow.provided.FRESH_S", 0.0)
    monkeypatch.setattr("peerage.flow.provided.TIME_FRESH_S", 0.0)
    await put(pair, 1)

    async def hang(*_arguments: object) -> object:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(pair[0].ledger, "now", hang)
    monkeypatch.setattr(pair[0].ledger, "agreement", hang)
    async with asyncio.timeout(5):
        await put(pair, 5)


async def test_guessed_ids_do_not_load_the_chain(pair: Pair) -> None:
    client, provider, _ = pair
    before = client.ledger.calls.count("agreement")
    for _ in range(10):
        await refused(
            provider.provider.list_objects(client.info, AgreementId(b"g" * 32), 0, 10), RefusalCode.NO_SUCH_AGREEMENT
        )
    assert client.ledger.calls.count("agreement") == before + 1


async def test_what_no_revision_lists_is_dropped_at_once(network: Network, pair: Pair) -> None:
    client, provider, agreement = pair
    (kept, _), (loose, _) = objects = await put(pair, 2)
    await cosign(pair, revision_over(pair, objects[:1]), [kept])
    drop = client.client.drop_object
    await drop(provider.member, agreement, loose)
    assert [root for root, _ in provider.store.objects_of(agreement)] == [kept]
    assert provider.store.usage(agreement=agreement).used_bytes == 3 * 1024
    stranger = await network.add(listen=False)
    for caller, of, root, code in (
        (client, agreement, loose, RefusalCode.NO_SUCH_OBJECT),
        (client, agreement, kept, RefusalCode.STALE_REVISION),
        (client, AgreementId(bytes(32)), kept, RefusalCode.NO_SUCH_AGREEMENT),
        (stranger, agreement, kept, RefusalCode.NO_SUCH_AGREEMENT),
    ):
        with pytest.raises(PeerRefused) as caught:
            await caller.client.drop_object(provider.member, of, root)
        assert caught.value.code == code
    network.enlist(client, status=MemberStatus.SUSPENDED)
    with pytest.raises(PeerRefused) as caught:
        await drop(provider.member, agreement, kept)
    assert caught.value.code == RefusalCode.SUSPENDED


async def test_attack_a_stolen_node_drops_what_is_recorded(pair: Pair) -> None:
    client, provider, agreement = pair
    objects = await put(pair, 1)
    revision = revision_over(pair, objects)
    await cosign(pair, revision, roots(objects))
    await record(pair, revision)
    await provider.provider.refresh()
    with pytest.raises(PeerRefused, match="listed by a revision"):
        await client.client.drop_object(provider.member, agreement, objects[0][0])
    assert provider.store.objects_of(agreement) == objects
