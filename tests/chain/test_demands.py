"""Reported losses and forced publication, against a chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.chain.network import Network, Tree, start

from peerage_chain.audit import audit_agreements, audit_qos
from peerage_chain.errors import Reverted
from peerage_chain.types import CREDIT, DemandState, Epoch, Loss

TREE = Tree(bytes(range(256)) * 4 * 21)


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    network = await start(tmp_path / "chain")
    try:
        await network.join("Alice", "Bob")
        await network.operator.fund({player.id: 1000 * CREDIT for player in network.players})
        await network.jump(2)
        await network.all_beat()
        yield network
    finally:
        await network.close()


async def test_a_reported_loss_is_left_out_until_it_is_restored(network: Network) -> None:
    alice, bob, *_ = network.players
    id, _ = await network.open(alice, bob)
    await network.revise(alice, bob, id, TREE)
    assert await network.observer.loss_of(id) is None
    reported = await network.epoch()
    await bob.chain.report_loss(id, 0, len(TREE.leaves))
    with pytest.raises(Reverted, match="LossStands"):
        await bob.chain.report_loss(id, 0, 1)
    shown = await network.observer.loss_of(id)
    assert shown is not None
    assert shown == Loss(0, len(TREE.leaves), Epoch(reported + 2), shown.until, False)

    await network.epoch()
    assert await network.prove(bob, id, TREE), "it is asked for still"
    epoch = await network.epoch()
    await bob.chain.prove([(id, ())])
    assert await network.observer.proven(id, epoch)
    await bob.chain.report_restored(id)
    shown = await network.observer.loss_of(id)
    assert shown is not None
    assert (shown.restored, shown.until) == (True, epoch + 2)
    await network.epoch()
    await network.epoch()
    with pytest.raises(Reverted, match="LeafMissing"):
        await bob.chain.prove([(id, ())])
    assert await network.prove(bob, id, TREE)
    await network.epoch()
    await network.jump_to_second_half()
    await bob.chain.settle([id])
    (row,) = await audit_agreements(network.observer)
    assert row["verified"], "what was charged, and left unpaid, follows from the events"


async def test_demanded_leaves_are_published_and_read(network: Network) -> None:
    alice, bob, *_ = network.players
    id, _ = await network.open(alice, bob)
    await network.revise(alice, bob, id, TREE)
    await network.epoch()
    await network.epoch()
    before = await network.observer.balance(bob.id)
    await alice.chain.make_demand(id, [0, 7, 20])
    (demand,) = await network.observer.open_demands(bob.id)
    assert (demand.agreement, demand.root, demand.indices) == (id, TREE.root, (0, 7, 20))
    assert demand.state is DemandState.OPEN
    assert await network.observer.published(demand.number) == ()
    with pytest.raises(Reverted, match="CloseTooEarly"):
        await alice.chain.close_demand(demand.number)
    with pytest.raises(Reverted, match="WrongAnswer"):
        await bob.chain.answer_demand(demand.number, [TREE.sample(i) for i in (0, 7, 19)])
    await bob.chain.answer_demand(demand.number, [TREE.sample(i) for i in (20, 7, 0)])
    assert await network.observer.published(demand.number) == tuple(TREE.leaves[i] for i in (0, 7, 20))
    assert await network.observer.open_demands(bob.id) == ()
    assert (await network.observer.demand(demand.number)).state is DemandState.ANSWERED
    assert await network.observer.balance(bob.id) == before + demand.deposit
    assert (await network.observer.demand(99)).state is DemandState.NONE


async def test_an_unanswered_demand_costs_collateral(network: Network) -> None:
    alice, bob, *_ = network.players
    id, terms = await network.open(alice, bob)
    await network.revise(alice, bob, id, TREE)
    await network.epoch()
    await network.epoch()
    await alice.chain.make_demand(id, [3])
    (demand,) = await network.observer.open_demands(bob.id)
    while (await network.observer.now()).epoch <= demand.until:
        await network.epoch()
    with pytest.raises(Reverted, match="AnswerTooLate"):
        await bob.chain.answer_demand(demand.number, [TREE.sample(3)])
    await alice.chain.close_demand(demand.number)
    assert (await network.observer.demand(demand.number)).state is DemandState.UNANSWERED
    assert (await network.observer.agreement(id)).collateral == terms.collateral * 8 // 10
    assert (await audit_qos(network.observer))["verified"]
