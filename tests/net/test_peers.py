"""Client and listener over real TLS on loopback, with a real object store behind."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fakes import DOMAIN, Network, Peer

from peerage.errors import PeerRefused
from peerage.model import AgreementId, ObjectKind, ShardRoot
from peerage.shard.tree import AgreementTree, object_tree
from peerage_chain import typed
from peerage_chain.types import ZERO32, Epoch, Revision

MIB = 1 << 20


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    network = Network(tmp_path)
    yield network
    await network.close()


@pytest.fixture
async def pair(network: Network) -> tuple[Peer, Peer, AgreementId]:
    """A client that does not listen, a provider, and their agreement."""
    provider = await network.add()
    client = await network.add(listen=False)
    return client, provider, network.agree(client, provider)


def random_object(size: int) -> tuple[ShardRoot, bytearray]:
    data = bytearray(os.urandom(size))
    return object_tree(data).root, data


@pytest.mark.parametrize("size", [1024, 64 * 1024, MIB, 5 * MIB + 1024])
async def test_an_object_comes_back_as_it_went(pair: tuple[Peer, Peer, AgreementId], size: int) -> None:
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
