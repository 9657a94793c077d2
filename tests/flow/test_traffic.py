"""What is read is counted by both, signed for by who read it, and missed by who served it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes import DOMAIN, Network, Peer, terms_between

from peerage.errors import PeerRefused
from peerage.flow import traffic
from peerage.model import MIB, AgreementId, MemberId, ObjectKind, ShardRoot
from peerage.shard.tree import AgreementTree, object_tree
from peerage.store.catalogue import Catalogue
from peerage_chain import typed
from peerage_chain.types import GIB, ZERO32, AgreementInfo, Epoch, Revision

PROVIDER = MemberId(1)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "catalogue.sqlite")


def root(n: int) -> ShardRoot:
    return ShardRoot(bytes([n]) * 32)


async def agreement_with(
    network: Network, catalogue: Catalogue, salt: int, *roots: ShardRoot, price: int = 1000
) -> AgreementInfo:
    client, provider = network.peers[1], network.peers[0]
    terms = replace(terms_between(client, provider, GIB, salt), egress_price_per_gib=price)
    id = network.ledger.open_now(terms)
    catalogue.set_agreement(id, provider.member, GIB, terms.end_epoch, True, 0, bytes(32))
    catalogue.add_objects((id, r, 4, ObjectKind.SHARD) for r in roots)
    return network.ledger.infos[id]


async def test_what_was_read_is_signed_for_once_and_under_its_own_agreement(
    network: Network, catalogue: Catalogue
) -> None:
    for _ in range(2):
        await network.add(listen=False)
    one = await agreement_with(network, catalogue, 1, root(1), root(2))
    two = await agreement_with(network, catalogue, 2, root(3))
    free = await agreement_with(network, catalogue, 3, root(4), price=0)
    assert [traffic.bytes_down(catalogue, a) for a in (one, two, free)] == [0, 0, 0]
    traffic.note_read(catalogue, {(PROVIDER, root(1)): 100, (PROVIDER, root(2)): 20, (PROVIDER, root(3)): 7})
    traffic.note_read(catalogue, {(PROVIDER, root(4)): 5, (PROVIDER, root(9)): 50, (MemberId(7), root(1)): 50})
    assert [traffic.bytes_down(catalogue, a) for a in (one, two, free)] == [120, 7, 0]
    traffic.note_read(catalogue, {(PROVIDER, root(1)): 1})
    assert traffic.bytes_down(catalogue, one) == 121, "signed again before it is recorded: no less"
    recorded = replace(one, bytes_down=120)
    assert traffic.bytes_down(catalogue, recorded) == 121
    assert traffic.bytes_down(catalogue, recorded) == 121
    assert traffic.bytes_down(catalogue, replace(one, bytes_down=121)) == 121
    traffic.note_read(catalogue, {(PROVIDER, root(2)): traffic.SIGN_FROM_BYTES})
    assert traffic.to_sign(catalogue) == {one.id}
    assert traffic.bytes_down(catalogue, replace(one, bytes_down=121)) == 121 + traffic.SIGN_FROM_BYTES
    assert traffic.bytes_down(catalogue, replace(one, bytes_down=121 + traffic.SIGN_FROM_BYTES)) > 121
    assert traffic.to_sign(catalogue) == set()


async def test_a_new_catalogue_goes_on_from_what_the_chain_shows(network: Network, catalogue: Catalogue) -> None:
    for _ in range(2):
        await network.add(listen=False)
    one = replace(await agreement_with(network, catalogue, 1, root(1)), bytes_down=1000)
    traffic.note_read(catalogue, {(PROVIDER, root(1)): 30})
    assert traffic.bytes_down(catalogue, one) == 1030, "what the restore read is not lost in what was paid before"
    assert traffic.bytes_down(catalogue, replace(one, bytes_down=1030)) == 1030
    assert traffic.bytes_down(catalogue, replace(one, bytes_down=900)) == 900, "the chain came back from an older state"


async def read_much(client: Peer, provider: Peer, agreement: AgreementId) -> Revision:
    """Store 1 MiB, read it three times; the revision that signs for the bytes stored, not for those read."""
    assert client.client is not None
    data = os.urandom(MIB)
    stored = ShardRoot(object_tree(data).root)
    await client.client.put_object(provider.member, agreement, stored, data)
    for _ in range(3):
        assert await client.client.get_object(provider.member, stored) == data
    assert client.client.take_read() == {(provider.member, stored): 3 * MIB}
    tree = AgreementTree([(stored, 1024)]).root
    revision = Revision(agreement, 1, ZERO32, tree.hash, 1024, MIB, 0, Epoch(client.ledger.epoch + 8))
    await sign(client, provider, revision, stored)
    return revision


async def sign(client: Peer, provider: Peer, revision: Revision, *appended: ShardRoot) -> None:
    assert client.client is not None
    own = client.sign(typed.revision_digest(revision, DOMAIN))
    await client.client.cosign(provider.member, revision, list(appended), own)
    await client.ledger.revise(revision, b"", b"")


@pytest.mark.parametrize("price", [1000, 0])
async def test_attack_a_client_reads_for_ever_and_signs_for_nothing(
    network: Network, monkeypatch: pytest.MonkeyPatch, price: int
) -> None:
    monkeypatch.setattr("peerage.flow.standing.UNSIGNED_MAX_BYTES", 2 * MIB)
    provider, client = await network.add(), await network.add(listen=False)
    assert client.client is not None
    terms = replace(terms_between(client, provider, 4 * MIB), egress_price_per_gib=price)
    one = await read_much(client, provider, network.ledger.open_now(terms))
    await provider.provider.refresh()  # keeps the count, as once an epoch
    assert provider.store.served.under(one.agreement) == 3 * MIB
    more = terms_between(client, provider, GIB, 2)
    if not price:
        assert (await client.client.propose(provider.member, more))[1], "nobody asks to be paid"
        return
    with pytest.raises(PeerRefused, match="3145728 bytes were read here that no revision is signed for") as caught:
        await client.client.propose(provider.member, more)
    assert caught.value.code == "policy_refused"
    previous = typed.revision_digest(one, DOMAIN)
    await sign(client, provider, replace(one, sequence=2, previous=previous, bytes_down=3 * MIB))
    assert (await client.client.propose(provider.member, more))[1], "what was read is signed for"
