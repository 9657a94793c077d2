"""Appeals against heavy penalties on a real chain, and their audit."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.chain.network import OPERATOR_KEY, Network
from tests.chain.test_life import TREE, credits, populated

from peerage_chain.audit import audit_agreements, audit_members, audit_qos
from peerage_chain.client import Chain
from peerage_chain.deploy import Tuning
from peerage_chain.errors import Reverted
from peerage_chain.types import CREDIT, AgreementState, DocketState


async def verified(network: Network) -> bool:
    rows = await audit_agreements(network.observer)
    members = await audit_members(network.observer)
    report = await audit_qos(network.observer)
    return all(r["verified"] for r in rows) and all(m["verified"] for m in members) and report["verified"]


async def test_a_heavy_penalty_is_appealed_decided_and_audited(tmp_path: Path) -> None:
    network = await populated(tmp_path / "chain", 1000 * CREDIT, Tuning(appeal_epochs=3, decide_epochs=3))
    try:
        alice, bob, *_ = network.players
        id, terms = await network.open(alice, bob)
        await network.revise(alice, bob, id, TREE)
        for _ in range(6):
            await network.epoch()
        await network.jump_to_second_half()
        await alice.chain.settle([id])  # four misses
        (docket,) = await network.observer.dockets_of(id)
        heavy = docket.to_client + docket.burned
        assert (docket.state, heavy) == (DocketState.OPEN, terms.collateral * 20 // 100)
        assert await verified(network)

        with pytest.raises(Reverted) as caught:
            await alice.chain.conclude(id, 0)
        assert caught.value.name == "StillContested"
        await bob.chain.appeal(id, 0, "the exchange was flooded")
        await network.operator.decide(id, 0, cancelled=True)
        (docket,) = await network.observer.dockets_of(id)
        assert docket.state is DocketState.CANCELLED
        (row,) = await audit_agreements(network.observer)
        assert credits(row["collateral_left"]) == terms.collateral * 85 // 100
        assert await verified(network)

        for _ in range(4):
            await network.epoch()
        await network.jump_to_second_half()
        await bob.chain.settle([id])
        view = await network.observer.agreement(id)
        assert view.state is AgreementState.FAILED
        _, second = await network.observer.dockets_of(id)
        await bob.chain.appeal(id, 1, "the same again")
        await network.jump(5)
        await alice.chain.conclude(id, 1)  # the consortium was silent
        _, second = await network.observer.dockets_of(id)
        assert second.state is DocketState.STANDS
        assert await verified(network)

        operator = await Chain.connect(network.url, node_key=OPERATOR_KEY)
        with pytest.raises(Reverted) as caught:
            await operator.conclude(id, 1)
        assert caught.value.name == "WrongDocketState"
        await operator.close()
    finally:
        await network.close()
