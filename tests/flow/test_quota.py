"""No member gets more of a provider than was agreed: at storing, and at signing; at once, and over restarts."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import pytest
from tests.fakes import DOMAIN, Network, Peer, terms_between

from peerage.deal.policy import Policy
from peerage.errors import PeerRefused
from peerage.flow.provide import Provider
from peerage.model import KIB, AgreementId, ShardRoot
from peerage.net.server import PeerServer
from peerage.shard.tree import object_tree
from peerage.store import refusals
from peerage.store.objects import ObjectStore
from peerage_chain import typed
from peerage_chain.types import GIB, Amendment, Epoch

SIZE = 512 * KIB


def data_of(n: int) -> bytes:
    return hashlib.sha256(b"%d" % n).digest() * (SIZE // 32)


async def put(client: Peer, provider: Peer, agreement: AgreementId, n: int) -> ShardRoot:
    assert client.client is not None
    root = ShardRoot(object_tree(data_of(n)).root)
    await client.client.put_object(provider.member, agreement, root, data_of(n))
    return root


async def restart(network: Network, peer: Peer) -> None:
    """The same home, opened again by a new node on another port."""
    assert peer.server is not None
    assert peer.store is not None
    await peer.server.close(grace_s=0.2)
    peer.store.close()
    home = network.directory / f"node{peer.member}"
    ledger = network.ledger
    peer.store = ObjectStore.open(home / "objects", home / "objects.sqlite", reserve_bytes=0)
    peer.provider = Provider(
        peer.member, peer.node_key, DOMAIN, ledger, peer.store, lambda: peer.policy, ledger.newest_roster, ledger.now_s
    )
    peer.server = PeerServer(peer.provider, peer.identity, peer.member, ledger.newest_roster, ledger.now_s)
    peer.port = await peer.server.start("127.0.0.1", 0)
    network.enlist(peer)


async def test_attack_uploads_at_once_race_past_what_the_agreement_reserves(network: Network) -> None:
    provider = await network.add()
    client, other = await network.add(listen=False), await network.add(listen=False)
    agreement = network.agree(client, provider, 4 * SIZE)
    theirs = network.agree(other, provider, 4 * SIZE)
    results = await asyncio.gather(*(put(client, provider, agreement, n) for n in range(12)), return_exceptions=True)
    refused = [r for r in results if isinstance(r, PeerRefused)]
    assert len(refused) == 8
    assert {r.code for r in refused} == {"over_capacity"}
    assert provider.store is not None
    assert provider.store.usage(client.member).used_bytes == 4 * SIZE
    await put(other, provider, theirs, 0)  # what one member was refused is nothing to another

    await restart(network, provider)
    with pytest.raises(PeerRefused, match="more than the 0 left of the agreement's 2097152"):
        await put(client, provider, agreement, 99)
    stored = next(r for r in results if isinstance(r, bytes))
    assert client.client is not None
    await client.client.drop_object(provider.member, agreement, ShardRoot(stored))
    again = await asyncio.gather(*(put(client, provider, agreement, n) for n in (50, 51, 52)), return_exceptions=True)
    assert sum(isinstance(r, bytes) for r in again) == 1, "what was let go makes room for one"
    assert provider.store.usage(client.member).used_bytes == 4 * SIZE


async def test_attack_what_is_stored_again_while_it_is_dropped_takes_room_twice(network: Network) -> None:
    provider, client = await network.add(), await network.add(listen=False)
    agreement = network.agree(client, provider, 2 * SIZE)
    roots = [await put(client, provider, agreement, n) for n in (1, 2)]
    store = provider.store
    assert store is not None
    uploads = [store.begin(client.member, agreement, root, SIZE) for root in roots]  # stored already: no more room
    for root in roots:
        store.drop_unlisted(client.member, agreement, root)
    with pytest.raises(refusals.OverCapacity):
        store.begin(client.member, agreement, ShardRoot(bytes(32)), SIZE)
    for n, upload in enumerate(uploads, 1):
        tree = object_tree(data_of(n))
        upload.write(data_of(n))
        upload.commit(tree.root, tree.leaves, tree.subroots)
    assert store.usage(client.member).used_bytes == 2 * SIZE
    assert store.read(client.member, roots[0], 0, SIZE) == data_of(1)


async def test_attack_a_client_opens_all_that_was_signed_for_it(network: Network) -> None:
    """Each of several terms is within the most that one member gets, but not all of them together."""
    policy = Policy().set("give.max_bytes_per_member", "4GiB")
    provider, client = await network.add(policy), await network.add(listen=False)
    assert client.client is not None
    asked = [terms_between(client, provider, 3 * GIB, salt) for salt in (1, 2)]
    assert (await client.client.propose(provider.member, asked[0]))[1]
    assert (await client.client.propose(provider.member, asked[0]))[1], "the same terms are the same room"
    counter, none = await client.client.propose(provider.member, asked[1])
    assert (counter.capacity, none) == (GIB, None)

    await restart(network, provider)
    counter, none = await client.client.propose(provider.member, asked[1])
    assert (counter.capacity, none) == (GIB, None), "what was signed before the restart may still be opened"
    id = network.ledger.open_now(asked[0])
    counter, none = await client.client.propose(provider.member, asked[1])
    assert (counter.capacity, none) == (GIB, None), "and counts once when it was"

    grown = Amendment(
        id, 1, 4 * GIB, asked[0].price_per_gib_epoch, asked[0].egress_price_per_gib, asked[0].collateral,
        asked[0].min_retention_epochs, asked[0].end_epoch, Epoch(network.ledger.epoch + 8),
    )  # fmt: skip
    _, signature = await client.client.amend(provider.member, grown)
    assert signature
    await restart(network, provider)
    with pytest.raises(PeerRefused, match="no room for another agreement"):
        await client.client.propose(provider.member, replace(asked[1], capacity=GIB))
    _, again = await client.client.amend(provider.member, grown)
    assert again, "the same growth is the same room"
    await network.ledger.amend(grown, client.sign(typed.amendment_digest(grown, DOMAIN)), signature)
    with pytest.raises(PeerRefused, match="no room for another agreement"):
        await client.client.propose(provider.member, replace(asked[1], capacity=GIB))


async def test_terms_that_were_never_opened_are_let_go_when_their_time_is_over(network: Network) -> None:
    provider, client = await network.add(), await network.add(listen=False)
    assert client.client is not None
    for salt in (1, 2):
        assert (await client.client.propose(provider.member, terms_between(client, provider, GIB, salt)))[1]
    with pytest.raises(PeerRefused, match="2 terms signed for you are not open yet") as caught:
        await client.client.propose(provider.member, terms_between(client, provider, GIB, 3))
    assert caught.value.code == "over_capacity"
    network.ledger.epoch += 17
    await asyncio.sleep(0.6)
    assert (await client.client.propose(provider.member, terms_between(client, provider, GIB, 4)))[1]
    assert provider.store is not None
    assert len(provider.store.reservations.all()) == 1
