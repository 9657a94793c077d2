"""A real chain goes back to an older state: what it forgot is recorded again, in order and once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.chain.network import Network, Player
from tests.chain.test_life import TREE, populated

from peerage.flow.returned import record_again
from peerage.store.objects import SignedRevision
from peerage.wire.messages import RevisionBody, encode
from peerage_chain.typed import revision_digest, sign
from peerage_chain.types import CREDIT, AgreementId, Epoch, Revision


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    network = await populated(tmp_path / "chain", 1000 * CREDIT)
    try:
        yield network
    finally:
        await network.close()


def signed(client: Player, provider: Player, revision: Revision) -> SignedRevision:
    digest = revision_digest(revision, client.chain.domain)
    return SignedRevision(
        revision.agreement, revision.sequence, digest, revision.previous, revision.root, revision.leaves,
        revision.expires, encode(RevisionBody.of(revision)), sign(client.node_key, digest),
        sign(provider.node_key, digest), recorded=True,
    )  # fmt: skip


class Again:
    """What Bob's node does once an epoch, with what it holds of one agreement."""

    def __init__(self, network: Network, held: Sequence[SignedRevision]) -> None:
        self._network = network
        self._held = list(held)
        self.said: list[str] = []

    def _of(self, _: AgreementId) -> list[SignedRevision]:
        return self._held

    async def look(self, now: Epoch | None = None) -> int:
        bob = self._network.players[1]
        infos = await bob.chain.agreements_of(bob.id)
        epoch = (await bob.chain.now()).epoch if now is None else now
        return await record_again(bob.chain, self._of, infos, epoch, lambda event: self.said.append(event["message"]))


async def two_revisions(network: Network) -> tuple[AgreementId, str, list[SignedRevision]]:
    """Two revisions, and a state of the chain from before them."""
    alice, bob, *_ = network.players
    id, _ = await network.open(alice, bob)
    state = await network.rpc.call("evm_snapshot")
    revisions = [await network.revise(alice, bob, id, TREE) for _ in range(2)]
    return id, state, [signed(alice, bob, revision) for revision in revisions]


async def test_lost_revisions_are_recorded_again_in_order_and_once(network: Network) -> None:
    id, state, held = await two_revisions(network)
    again = Again(network, held)
    assert await again.look() == 0
    before = await network.observer.agreement(id)
    assert await network.rpc.call("evm_revert", state)
    assert (await network.observer.agreement(id)).sequence == 0
    assert await again.look() == 2
    after = await network.observer.agreement(id)
    assert (after.sequence, after.revision, after.root) == (2, before.revision, before.root)
    assert await again.look() == 0
    assert len(again.said) == 2


async def test_what_may_be_recorded_no_more_is_said(network: Network) -> None:
    id, state, held = await two_revisions(network)
    again = Again(network, held)
    assert await network.rpc.call("evm_revert", state)
    assert await again.look(Epoch(held[0].expires + 1)) == 0
    assert (await network.observer.agreement(id)).sequence == 0
    assert len(again.said) == 1
    assert "its time is over" in again.said[0]


async def test_attack_an_endpoint_shows_an_older_state_of_the_chain(network: Network) -> None:
    id, _, held = await two_revisions(network)
    bob = network.players[1]
    old = [info for info in await bob.chain.agreements_of(bob.id) if info.id == id]
    lying = [replace(info, sequence=0) for info in old]
    said: list[str] = []
    epoch = (await bob.chain.now()).epoch
    before = await network.observer.agreement(id)
    assert await record_again(bob.chain, lambda _: held, lying, epoch, lambda e: said.append(e["message"])) == 0
    assert await network.observer.agreement(id) == before, "refused: nothing is recorded twice"
    assert "cannot be recorded again" in said[0]
