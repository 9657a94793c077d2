"""A provider's node that was cut off from a real chain appeals by itself, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.chain.network import Network
from tests.chain.test_appeals import verified
from tests.chain.test_life import TREE, populated

from peerage.flow.appeals import Appeals
from peerage.store.catalogue import Catalogue
from peerage_chain.deploy import Tuning
from peerage_chain.types import CREDIT, AgreementId, DocketState


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue(tmp_path / "catalogue.sqlite")
    yield opened
    opened.close()


async def penalised(chain: Network, before: int) -> tuple[AgreementId, range]:
    """Bob misses `before` proofs, makes one, is cut off, and proves again. Returns also the outage's epochs."""
    alice, bob, *_ = chain.players
    id, _ = await chain.open(alice, bob)
    await chain.revise(alice, bob, id, TREE)
    await chain.epoch()
    for _ in range(before):
        await chain.epoch()
    first = await chain.epoch()
    assert await chain.prove(bob, id, TREE)
    for _ in range(4):
        await chain.epoch()
    end = await chain.epoch()
    assert await chain.prove(bob, id, TREE)
    await chain.jump_to_second_half()
    await alice.chain.settle([id])
    await chain.epoch()
    assert await chain.prove(bob, id, TREE)
    return id, range(first, end + 1)


async def test_who_was_cut_off_appeals_once_and_gets_its_collateral_back(tmp_path: Path, catalogue: Catalogue) -> None:
    chain = await populated(tmp_path / "chain", 1000 * CREDIT, Tuning(appeal_epochs=8, decide_epochs=8))
    try:
        _, bob, *_ = chain.players
        id, away = await penalised(chain, 0)
        (docket,) = await chain.observer.dockets_of(id)
        assert docket.state is DocketState.OPEN
        said: list[dict[str, Any]] = []
        appeals = Appeals(bob.chain, bob.id, catalogue, said.append)
        await appeals.step(await chain.observer.now(), away)
        (docket,) = await chain.observer.dockets_of(id)
        assert docket.state is DocketState.APPEALED
        assert catalogue.counter("appeals-pending") == 1
        (event,) = said
        assert len(event["message"].split(": ", 1)[1].encode()) <= 256
        again = Appeals(bob.chain, bob.id, catalogue, said.append)  # after a restart
        await again.step(await chain.observer.now(), range(0))
        assert (len(said), catalogue.counter("appeals-pending")) == (1, 1)

        before = (await chain.observer.agreement(id)).collateral
        await chain.operator.decide(id, 0, cancelled=True)
        assert (await chain.observer.agreement(id)).collateral == before + docket.to_client + docket.burned
        await chain.epoch()
        await again.step(await chain.observer.now(), range(0))
        assert catalogue.counter("appeals-pending") == 0
        assert await verified(chain)
    finally:
        await chain.close()


async def test_attack_a_provider_blames_the_chain_for_other_misses(tmp_path: Path, catalogue: Catalogue) -> None:
    chain = await populated(tmp_path / "chain", 1000 * CREDIT, Tuning(appeal_epochs=8, decide_epochs=8))
    try:
        _, bob, *_ = chain.players
        id, away = await penalised(chain, 1)
        said: list[dict[str, Any]] = []
        for outage in (range(0), away, range(away.start + 2, away.stop)):
            await Appeals(bob.chain, bob.id, catalogue, said.append).step(await chain.observer.now(), outage)
        (docket,) = await chain.observer.dockets_of(id)
        assert docket.state is DocketState.OPEN
        assert (said, catalogue.counter("appeals-pending")) == ([], 0)
    finally:
        await chain.close()
