"""On a real chain: a provider that proves and does not serve publishes the data, or pays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.chain.network import Network
from tests.chain.test_life import TREE, populated
from tests.flow import network as flows

from peerage.errors import PeerRefused
from peerage.flow.context import NodeContext, silent
from peerage.flow.settling import Settling
from peerage.flow.unserved import demand_unserved
from peerage.flow.watch import watch
from peerage.model import LEAF_SIZE, MemberId, ObjectKind, ShardRoot
from peerage.store.rows import QueuedRevision
from peerage_chain.audit import audit_qos
from peerage_chain.types import CREDIT


class Mute:
    """Peers of which one serves nothing."""

    def __init__(self, mute: MemberId) -> None:
        self._mute = mute

    async def get_object(self, member: MemberId, root: ShardRoot, offset: int = 0, length: int | None = None) -> bytes:
        if member == self._mute:
            raise PeerRefused("not today", member, "busy")
        return bytes(LEAF_SIZE)


async def test_attack_a_provider_that_proves_and_serves_nothing_pays(tmp_path: Path) -> None:
    chain = await populated(tmp_path / "chain", 1000 * CREDIT)
    try:
        alice, bob, carol, _ = chain.players
        with flows.network(tmp_path) as (context, _, _):
            peers: Any = Mute(bob.id)
            policy = context.policy().set("take.demand_after_epochs", "2")
            ours = replace(context, member=alice.id, ledger=alice.chain, peers=peers, policy=lambda: policy)
            opened = {}
            for player in (bob, carol):
                id, terms = await chain.open(alice, player)
                await chain.revise(alice, player, id, TREE)
                root = ShardRoot(bytes([player.id]) * 32)
                await watch(ours)
                ours.catalogue.add_objects([(id, root, len(TREE.leaves), ObjectKind.SHARD)])
                ours.catalogue.queue_revision(QueuedRevision(id, 1, b"", b"", b""), [root])
                ours.catalogue.drop_revision(id, 1, recorded=True)
                opened[player.id] = id, terms
            made = await live(chain, ours, 8)
            assert made == 1
            id, terms = opened[bob.id]
            (demand,) = await chain.observer.open_demands(bob.id)
            assert (demand.agreement, demand.client) == (id, alice.id)
            assert await chain.observer.open_demands(carol.id) == ()
            assert await live(chain, ours, 5) == 0
            await Settling(alice.chain, alice.id, ours.catalogue, silent).step(await chain.observer.now())
            view = await chain.observer.agreement(id)
            assert view.is_live, "it proved all the time"
            assert view.collateral == terms.collateral * 8 // 10
            assert (await audit_qos(chain.observer))["verified"]
    finally:
        await chain.close()


async def live(chain: Network, ours: NodeContext, epochs: int) -> int:
    """All providers prove; ours looks once an epoch. Returns the demands made."""
    made = 0
    for _ in range(epochs):
        await chain.epoch()
        for player in chain.players[1:3]:
            for info in await player.chain.agreements_of(player.id):
                await chain.prove(player, info.id, TREE)
        made += await demand_unserved(ours, await watch(ours), silent)
    return made
