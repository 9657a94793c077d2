"""Addresses that keep failing to say who they are."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

import pytest
from tests.fakes import Network, Peer

from peerage.errors import PeerRefused
from peerage.model import AgreementId
from peerage.net import strikes
from peerage.net.strikes import ADDRESSES, FORGIVEN_EVERY_S, STRIKES, TRUSTED_S, Strikes
from peerage.net.tls import TlsIdentity, make_certificate
from peerage.shard.tree import object_tree

Pair = tuple[Peer, Peer, AgreementId]
HERE, THERE = "192.0.2.7", "192.0.2.8"


def test_strikes_are_forgiven_with_time() -> None:
    table = Strikes()
    for _ in range(10 * STRIKES):
        table.fail(HERE, 100.0)
    assert table.refuses(HERE, 100.0)
    assert not table.refuses(THERE, 100.0)
    assert not table.refuses(HERE, 100.0 + 2 * FORGIVEN_EVERY_S)
    table.fail(HERE, 100.0 + 2 * FORGIVEN_EVERY_S)
    assert not table.refuses(HERE, 100.0 + 2 * FORGIVEN_EVERY_S)


def test_attack_a_stranger_gets_a_member_banned() -> None:
    """From behind the same router, before and after the member was heard."""
    table = Strikes()
    table.hear(HERE, 0.0)
    for second in range(10 * STRIKES):
        table.fail(HERE, second / 10)
        assert not table.refuses(HERE, second / 10)
    assert not table.refuses(HERE, TRUSTED_S - 1)
    for _ in range(STRIKES):
        table.fail(HERE, TRUSTED_S + 1)
    assert table.refuses(HERE, TRUSTED_S + 1), "a member that was last heard of long ago covers nobody"


def test_attack_many_addresses_fill_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Strikes()
    for _ in range(STRIKES):
        table.fail(HERE, 0.0)
    for number in range(2 * ADDRESSES):
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        table.fail(address, 0.0)
        table.hear(address, 0.0)
        table.fail(HERE, 0.0)
    assert len(table._failed) == len(table._heard) == ADDRESSES
    assert table.refuses(HERE, 0.0), "who goes on is not forgotten"


def test_a_network_of_addresses_is_one() -> None:
    table = Strikes()
    for number in range(STRIKES):
        table.fail(f"2001:db8:1:2::{number:x}", 0.0)
        table.fail(f"::ffff:{HERE}", 0.0)
    assert table.refuses("2001:db8:1:2:ffff::1", 0.0)
    assert not table.refuses("2001:db8:1:3::1", 0.0)
    assert table.refuses(HERE, 0.0)


async def knock(provider: Peer, identity: TlsIdentity) -> str:
    """How a stranger's attempt ends: 'refused' in the handshake, 'hung up' before it."""
    context = identity.client_context(provider.identity.certificate)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", provider.port, ssl=context, server_hostname="")
    except (ConnectionError, ssl.SSLError):
        return "hung up"
    with suppress(ConnectionError, ssl.SSLError):  # TLS 1.3 tells a client afterwards
        assert await reader.read() == b""
    writer.transport.abort()
    return "refused"


async def test_attack_an_address_tries_keys_without_end(
    network: Network, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strikes, "STRIKES", 5)
    monkeypatch.setattr(strikes, "FORGIVEN_EVERY_S", 3600.0)
    client, provider, _ = pair
    for _ in range(5):
        identity = TlsIdentity(*make_certificate(client.address))
        assert await knock(provider, identity) == "refused"
    stranger = TlsIdentity(*make_certificate(client.address))
    assert await knock(provider, stranger) == "hung up", "before a handshake"


async def test_attack_a_member_among_strangers_of_its_address_is_served(
    network: Network, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strikes, "STRIKES", 5)
    monkeypatch.setattr(strikes, "FORGIVEN_EVERY_S", 3600.0)
    client, provider, agreement = pair
    assert client.client is not None
    data = bytes(4096)
    root = object_tree(data).root
    await client.client.put_object(provider.member, agreement, root, data)
    stranger = TlsIdentity(*make_certificate(client.address))
    for _ in range(12):
        assert await knock(provider, stranger) == "refused"
    await client.client.close()
    other = await network.add(listen=False)  # and a new member behind the same router
    assert other.client is not None
    with pytest.raises(PeerRefused):
        await other.client.get_object(provider.member, root)


async def test_attack_a_provider_fetches_what_it_should_keep_from_others(network: Network, pair: Pair) -> None:
    """Bob has signed for Alice's shard, as Carol has, and thrown it away: whom he asks, nobody gives it to him."""
    alice, carol, agreement = pair
    bob = await network.add()
    assert alice.client is not None
    assert bob.client is not None
    data = bytes(range(256)) * 16
    root = object_tree(data).root
    await alice.client.put_object(carol.member, agreement, root, data)
    await alice.client.put_object(bob.member, network.agree(alice, bob), root, data)
    assert await bob.client.hello(carol.member)
    for offset, length in ((0, 1024), (0, 4096), (3072, 1024)):
        with pytest.raises(PeerRefused) as refused:
            await bob.client.get_object(carol.member, root, offset, length)
        assert refused.value.code == "no_such_object"
    with pytest.raises(PeerRefused) as refused:
        await bob.client.list_objects(carol.member, agreement)
    assert refused.value.code == "no_such_agreement"
    assert await bob.client.list_heads(carol.member, 0) == []
