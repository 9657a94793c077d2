"""A client's node takes what is its member's, without a hand, from a real chain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.chain.network import Network
from tests.chain.test_life import TREE, populated

from peerage.flow.settling import TELL_EVERY_EPOCHS, Settling
from peerage.store.catalogue import Catalogue
from peerage_chain.audit import audit_qos
from peerage_chain.deploy import Tuning
from peerage_chain.types import CREDIT, AgreementState, DemandState, DocketState


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue(tmp_path / "catalogue.sqlite")
    yield opened
    opened.close()


async def step(settling: Settling, network: Network) -> None:
    await settling.step(await network.observer.now())


async def test_attack_a_failed_provider_counts_on_nobody_collecting_its_penalty(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    network = await populated(tmp_path / "chain", 1000 * CREDIT, Tuning(appeal_epochs=3, decide_epochs=3))
    try:
        alice, bob, *_ = network.players
        id, _ = await network.open(alice, bob, price_per_gib_epoch=100 * CREDIT, collateral=CREDIT // 10)
        await network.revise(alice, bob, id, TREE)
        for _ in range(9):
            await network.epoch()
        await network.jump_to_second_half()
        await bob.chain.settle([id])
        assert (await network.observer.agreement(id)).state is AgreementState.FAILED
        (docket,) = await network.observer.dockets_of(id)
        before = await network.observer.balance(alice.id)

        settling = Settling(alice.chain, alice.id, catalogue, lambda _: None)
        await step(settling, network)
        assert (await network.observer.dockets_of(id))[0].state is DocketState.OPEN, "it may be appealed still"
        await network.jump(5)
        await step(settling, network)
        assert (await network.observer.dockets_of(id))[0].state is DocketState.STANDS
        assert docket.to_client > 0
        assert await network.observer.balance(alice.id) == before + docket.to_client
        await network.jump(5)
        await step(settling, network)
        await step(Settling(alice.chain, alice.id, catalogue, lambda _: None), network)  # and after a restart
        assert await network.observer.balance(alice.id) == before + docket.to_client, "once"
    finally:
        await network.close()


@pytest.mark.parametrize("proves", [True, False])
async def test_attack_a_provider_lets_a_demand_lapse(tmp_path: Path, catalogue: Catalogue, proves: bool) -> None:
    network = await populated(tmp_path / "chain", 1000 * CREDIT)
    try:
        alice, bob, *_ = network.players
        id, terms = await network.open(alice, bob)
        await network.revise(alice, bob, id, TREE)
        await network.epoch()
        await network.epoch()
        await alice.chain.make_demand(id, [0])
        (demand,) = await network.observer.open_demands(bob.id)
        said: list[dict[str, Any]] = []
        settling = Settling(alice.chain, alice.id, catalogue, said.append)
        others = Settling(bob.chain, bob.id, catalogue, lambda _: None)
        await step(settling, network)
        assert (await network.observer.demand(demand.number)).state is DemandState.OPEN, "there is time left"
        for _ in range(demand.until - demand.epoch + 4):
            await network.epoch()
            if proves:
                await network.prove(bob, id, TREE)
        await step(others, network)
        await step(settling, network)
        assert (await network.observer.demand(demand.number)).state is DemandState.UNANSWERED
        view = await network.observer.agreement(id)
        assert (view.is_live, view.collateral < terms.collateral) == (proves, True)
        assert any("did not answer" in event["message"] for event in said)
        assert (await audit_qos(network.observer))["verified"]
    finally:
        await network.close()


async def test_a_shortage_is_told_now_and_then(tmp_path: Path, catalogue: Catalogue) -> None:
    network = await populated(tmp_path / "chain", 1000 * CREDIT)
    try:
        alice, bob, *_ = network.players
        id, terms = await network.open(alice, bob)
        await network.revise(alice, bob, id, TREE)
        left = terms.end_epoch - (await network.observer.now()).epoch
        said: list[dict[str, Any]] = []
        settling = Settling(alice.chain, alice.id, catalogue, said.append)
        await network.jump(max(1, left - 40))
        await step(settling, network)
        await network.jump(1)
        await step(settling, network)
        assert sum(event["message"].startswith("term: ") for event in said) == 1
        await network.jump(TELL_EVERY_EPOCHS)
        await step(settling, network)
        assert sum(event["message"].startswith("term: ") for event in said) == 2
    finally:
        await network.close()
