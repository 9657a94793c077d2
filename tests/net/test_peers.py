"""Client and listener over real TLS on loopback, with a real object store behind."""

from __future__ import annotations

import asyncio
import os

import pytest
from tests.fakes import DOMAIN, Network, Peer, key, terms_between

from peerage.deal.policy import Policy
from peerage.errors import PeerFault, PeerRefused, PeerUnavailable
from peerage.model import AgreementId, ObjectKind, ShardRoot
from peerage.net.client import PeerClient
from peerage.net.tls import TlsIdentity, make_certificate
from peerage.shard.tree import object_tree
from peerage_chain import typed
from peerage_chain.types import MemberStatus

MIB = 1 << 20
Pair = tuple[Peer, Peer, AgreementId]


def random_object(size: int) -> tuple[ShardRoot, bytearray]:
    data = bytearray(os.urandom(size))
    return object_tree(data).root, data


def client_with(peer: Peer, identity: TlsIdentity) -> PeerClient:
    return PeerClient(identity, peer.ledger.newest_roster, peer.ledger.now_s, DOMAIN, idle_s=3.0)


@pytest.mark.parametrize("size", [1024, 64 * 1024, MIB, 5 * MIB + 1024])
async def test_an_object_comes_back_as_it_went(pair: Pair, size: int) -> None:
    client, provider, agreement = pair
    root, data = random_object(size)
    receipt = await client.client.put_object(provider.member, agreement, root, data)
    assert (receipt.agreement, receipt.root, receipt.leaves) == (agreement, root, size // 1024)
    assert receipt.epoch == client.ledger.epoch
    digest = typed.receipt_digest(agreement, root, receipt.leaves, receipt.epoch, DOMAIN)
    assert typed.recover(digest, receipt.signature) == provider.address
    assert await client.client.get_object(provider.member, root) == data
    assert await client.client.get_object(provider.member, root, 100, 900) == data[100:1000]
    assert await client.client.get_object(provider.member, root, 1000) == data[1000:]
    assert await client.client.list_objects(provider.member, agreement) == [(root, size // 1024)]
    again = await client.client.put_object(provider.member, agreement, root, memoryview(data))
    assert again == receipt
    traffic = client.client.traffic[provider.member]
    assert traffic.sent == 2 * size
    assert traffic.received > 2 * size - 1100


async def test_many_objects_at_once(pair: Pair) -> None:
    client, provider, agreement = pair
    objects = [random_object(256 * 1024) for _ in range(24)]
    await asyncio.gather(*(client.client.put_object(provider.member, agreement, r, d) for r, d in objects))
    back = await asyncio.gather(*(client.client.get_object(provider.member, r) for r, _ in objects))
    assert back == [d for _, d in objects]
    assert provider.store.usage().used_bytes == 24 * 256 * 1024


async def test_heads_are_listed_newest_first(pair: Pair) -> None:
    client, provider, agreement = pair
    heads = [random_object(2048) for _ in range(3)]
    for number, (root, data) in enumerate(heads, 1):
        await client.client.put_object(provider.member, agreement, root, data, ObjectKind.HEAD, 5, number)
    expected = [(number, heads[number - 1][0], 2048) for number in (3, 2, 1)]
    assert await client.client.list_heads(provider.member, 5) == expected
    assert await client.client.list_heads(provider.member, 0) == []


async def test_hello_says_who_answers(pair: Pair) -> None:
    client, provider, _ = pair
    hello = await client.client.hello(provider.member)
    assert (hello.member, hello.protocols, hello.release) == (provider.member, [1], "test")
    assert hello.free_bytes > 0


async def test_terms_are_signed_or_countered(network: Network) -> None:
    provider = await network.add(Policy().set("give.price_per_gib_epoch", "2000"))
    client = await network.add(listen=False)
    asked = terms_between(client, provider)
    countered, signature = await client.client.propose(provider.member, asked)
    assert signature is None
    assert countered.price_per_gib_epoch == 2000
    accepted, signature = await client.client.propose(provider.member, countered)
    assert accepted == countered
    assert typed.recover(typed.terms_digest(countered, DOMAIN), signature) == provider.address


# --- who may talk at all ----------------------------------------------------------------------------------------------


async def test_a_stranger_gets_no_word_in(pair: Pair) -> None:
    client, provider, agreement = pair
    pem, certificate = make_certificate(client.address)
    async with client_with(client, TlsIdentity(pem, certificate)) as stranger:
        root, data = random_object(1024)
        with pytest.raises((PeerRefused, PeerUnavailable)):
            await stranger.put_object(provider.member, agreement, root, data)
        with pytest.raises((PeerRefused, PeerUnavailable)):
            await stranger.hello(provider.member)
    assert provider.store.usage().objects == 0


async def test_a_newly_enrolled_node_is_let_in_without_a_restart(network: Network, pair: Pair) -> None:
    client, provider, _ = pair
    await client.client.hello(provider.member)
    newcomer = await network.add(listen=False)
    await client.client.hello(provider.member)  # on the open connection, after the newcomer is on the roster
    assert (await newcomer.client.hello(provider.member)).member == provider.member


async def test_a_revoked_node_is_cut_off_even_on_an_open_connection(network: Network, pair: Pair) -> None:
    client, provider, agreement = pair
    root, data = random_object(1024)
    await client.client.put_object(provider.member, agreement, root, data)
    network.enlist(client, revoked=True)
    for call in (
        client.client.get_object(provider.member, root),
        client.client.put_object(provider.member, agreement, root, data),
    ):
        with pytest.raises(PeerRefused) as refused:
            await call
        assert refused.value.code == "not_a_member"


async def test_an_expired_node_key_is_nobodys(network: Network, pair: Pair) -> None:
    client, provider, _ = pair
    await client.client.hello(provider.member)
    network.ledger.epoch = 1 << 40
    with pytest.raises((PeerRefused, PeerUnavailable)):
        await client.client.hello(provider.member)


async def test_a_node_with_another_certificate_than_on_chain_is_not_talked_to(network: Network, pair: Pair) -> None:
    client, provider, agreement = pair
    network.enlist(provider, certificate=make_certificate(provider.address)[1])
    root, data = random_object(1024)
    with pytest.raises(PeerFault, match="another certificate"):
        await client.client.put_object(provider.member, agreement, root, data)
    assert client.client.traffic[provider.member].sent == 0


async def test_a_member_with_garbage_for_a_certificate_locks_out_only_itself(network: Network, pair: Pair) -> None:
    client, provider, _ = pair
    vandal = await network.add(listen=False)
    network.enlist(vandal, certificate=b"\x30\x82garbage")
    assert (await client.client.hello(provider.member)).member == provider.member
    with pytest.raises((PeerFault, PeerUnavailable)):
        await client.client.hello(vandal.member)


async def test_nobody_listens(network: Network, pair: Pair) -> None:
    client, provider, _ = pair
    await provider.server.close(grace_s=0)
    with pytest.raises(PeerUnavailable):
        await client.client.hello(provider.member)
    with pytest.raises(PeerUnavailable, match="no live node"):
        await provider.client.hello(client.member)


# --- what is refused --------------------------------------------------------------------------------------------------


async def refused_code(call: object) -> str:
    with pytest.raises(PeerRefused) as refused:
        await call  # type: ignore[misc]
    return refused.value.code


async def test_another_members_object_is_not_there(network: Network, pair: Pair) -> None:
    client, provider, agreement = pair
    thief = await network.add(listen=False)
    root, data = random_object(4096)
    await client.client.put_object(provider.member, agreement, root, data)
    assert await refused_code(thief.client.get_object(provider.member, root)) == "no_such_object"
    assert await refused_code(thief.client.list_objects(provider.member, agreement)) == "no_such_agreement"
    assert await refused_code(thief.client.put_object(provider.member, agreement, root, data)) == "no_such_agreement"
    assert await thief.client.list_heads(provider.member, 0) == []


@pytest.mark.parametrize("size", [4096, 2 * MIB])
async def test_a_wrong_root_is_found_out_and_nothing_is_kept(pair: Pair, size: int) -> None:
    client, provider, agreement = pair
    root, data = random_object(size)
    data[size // 2] ^= 1
    assert await refused_code(client.client.put_object(provider.member, agreement, root, data)) == "bad_root"
    assert provider.store.usage().used_bytes == 0
    assert list((provider.store._files.directory / "incoming").iterdir()) == []


async def test_over_capacity_is_refused_before_any_byte_is_sent(network: Network, pair: Pair) -> None:
    client, provider, _ = pair
    small = network.agree(client, provider, MIB, salt=1)
    root, data = random_object(4 * MIB)
    sent = client.client.traffic.get(provider.member)
    assert sent is None
    assert await refused_code(client.client.put_object(provider.member, small, root, data)) == "over_capacity"
    assert client.client.traffic[provider.member].sent == 0


async def test_an_oversized_object_is_refused_before_any_byte_is_sent(pair: Pair) -> None:
    client, provider, agreement = pair
    data = bytes(64 * MIB + 1024)
    call = client.client.put_object(provider.member, agreement, ShardRoot(b"r" * 32), data)
    assert await refused_code(call) == "too_large"
    assert client.client.traffic[provider.member].sent == 0


async def test_a_suspended_member_reads_and_does_not_write(network: Network, pair: Pair) -> None:
    client, provider, agreement = pair
    root, data = random_object(4096)
    await client.client.put_object(provider.member, agreement, root, data)
    network.enlist(client, status=MemberStatus.SUSPENDED)
    assert await client.client.get_object(provider.member, root) == data
    assert await client.client.list_objects(provider.member, agreement) == [(root, 4)]
    assert await refused_code(client.client.put_object(provider.member, agreement, root, data)) == "suspended"
    assert await refused_code(client.client.propose(provider.member, terms_between(client, provider))) == "suspended"


@pytest.mark.parametrize(("offset", "length"), [(5000, 10), (4096, None), (4000, 97)])
async def test_ranges_outside_the_object_are_refused(pair: Pair, offset: int, length: int | None) -> None:
    client, provider, agreement = pair
    root, data = random_object(4096)
    await client.client.put_object(provider.member, agreement, root, data)
    assert await refused_code(client.client.get_object(provider.member, root, offset, length)) == "bad_range"


async def test_a_member_in_a_hurry_is_slowed_down_and_served_in_the_end(pair: Pair) -> None:
    client, provider, _ = pair
    provider.server._quota._per_s, provider.server._quota._burst = 50.0, 5.0
    answers = await asyncio.gather(*(client.client.hello(provider.member) for _ in range(12)))
    assert len(answers) == 12


# --- a provider that cheats -------------------------------------------------------------------------------------------


async def test_a_receipt_signed_by_a_stranger_is_not_believed(pair: Pair) -> None:
    client, provider, agreement = pair
    provider.provider._node_key = key(666)
    root, data = random_object(1024)
    with pytest.raises(PeerFault, match="no live node key"):
        await client.client.put_object(provider.member, agreement, root, data)


async def test_terms_signed_by_a_stranger_are_not_believed(pair: Pair) -> None:
    client, provider, _ = pair
    provider.provider._node_key = key(666)
    with pytest.raises(PeerFault, match="no live node key"):
        await client.client.propose(provider.member, terms_between(client, provider))


async def test_a_damaged_file_breaks_off_rather_than_ending_short(pair: Pair) -> None:
    client, provider, agreement = pair
    root, data = random_object(3 * MIB)
    await client.client.put_object(provider.member, agreement, root, data)
    path = provider.store._files.path(agreement, root)
    os.truncate(path, 2 * MIB)
    assert await refused_code(client.client.get_object(provider.member, root)) == "damaged"


async def test_a_client_remembers_at_what_rates_bodies_moved(pair: Pair) -> None:
    client, provider, agreement = pair
    root, data = random_object(512 * 1024)
    small, little = random_object(1024)
    await client.client.put_object(provider.member, agreement, root, data)
    await client.client.put_object(provider.member, agreement, small, little)
    for _ in range(2):
        await client.client.get_object(provider.member, root)
    moved = client.client.take_moved()[provider.member]
    assert (moved.up_bytes, moved.down_bytes) == (512 * 1024, 2 * 512 * 1024), "small ones say nothing of the line"
    assert moved.up_s > 0
    assert moved.down_s > 0
    assert client.client.take_moved() == {}
