"""The council over a real chain: who may act, what others must approve, and what waits."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.chain.network import EPOCH_S, OPERATOR_KEY, SAMPLES, Network, free_port

from peerage_chain.abi import artifact
from peerage_chain.anvil import AnvilProcess
from peerage_chain.client import Chain
from peerage_chain.contracts import read
from peerage_chain.council import Council, ProposalState
from peerage_chain.deploy import Operator, Tuning
from peerage_chain.directory import default_directory
from peerage_chain.errors import AwaitsCouncil, Reverted
from peerage_chain.rpc import Rpc
from peerage_chain.sender import Sender
from peerage_chain.typed import address_of
from peerage_chain.types import Params

SEAT_KEYS = (OPERATOR_KEY, bytes(31) + b"\x08", bytes(31) + b"\x09")
DELAY = 5


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    """Two of three seats; the one that deployed has proposed that the council accept the Directory."""
    anvil = AnvilProcess(tmp_path / "chain", free_port(), block_s=0.05)
    await anvil.start()
    operator = await Operator.connect(anvil.url, OPERATOR_KEY)
    with pytest.raises(AwaitsCouncil, match="other seats must approve it") as caught:
        await operator.deploy(
            Params(EPOCH_S, 0, SAMPLES), Tuning(rules_delay_epochs=DELAY), [address_of(key) for key in SEAT_KEYS], 2
        )
    rpc = Rpc(anvil.url)
    address = await read(rpc, "Directory", default_directory(), "pendingOwner")
    other = Council(rpc, address, Sender(rpc, SEAT_KEYS[1], anvil.chain_id))
    await other.approve(caught.value.proposal)
    await other.execute(
        caught.value.proposal, [(default_directory(), artifact("Directory").methods["acceptOwnership"].encode())]
    )
    network = Network(anvil, operator, await Chain.connect(anvil.url), rpc)
    try:
        yield network
    finally:
        await network.close()


async def test_two_of_three_govern(network: Network) -> None:
    contracts = network.observer.contracts
    other = await Council.find(network.rpc, Sender(network.rpc, SEAT_KEYS[1], network.anvil.chain_id))
    assert await other.seats() == tuple(address_of(key) for key in SEAT_KEYS)
    assert await other.threshold() == 2
    operator_role = await contracts.read("Members", "OPERATOR_ROLE")
    assert await contracts.read("Members", "hasRole", operator_role, other.address)
    assert not await contracts.read("Members", "hasRole", operator_role, network.operator.address)
    assert not await contracts.read("Credit", "hasRole", bytes(32), network.operator.address)

    account = address_of(secrets.token_bytes(32))
    with pytest.raises(AwaitsCouncil) as caught:
        await network.operator.admit(account, bytes(32), "FR", "A")
    *_, proposal = await other.proposals(contracts, (await network.observer.now()).block)
    assert (proposal.id, proposal.proposer) == (caught.value.proposal, network.operator.address)
    assert (proposal.state, proposal.approvals, proposal.ready) == (ProposalState.OPEN, 1, None)
    with pytest.raises(Reverted, match="WrongState"):
        await other.execute(proposal.id, proposal.calls)
    await other.approve(proposal.id)
    await other.execute(proposal.id, proposal.calls)
    assert await contracts.read("Members", "memberOfAccount", account) == 1

    with pytest.raises(AwaitsCouncil) as caught:
        await network.operator.suspend(await network.operator.admit(account, bytes(32), "FR", "A"))
    await other.approve(caught.value.proposal)
    await other.withdraw(caught.value.proposal)
    assert await other.state_of(caught.value.proposal) is ProposalState.OPEN
    mine = await other.propose(proposal.calls)
    await other.cancel(mine)
    assert await other.state_of(mine) is ProposalState.CANCELLED


async def test_a_lost_seat_is_replaced_after_the_delay(network: Network) -> None:
    second, third = [
        await Council.find(network.rpc, Sender(network.rpc, key, network.anvil.chain_id)) for key in SEAT_KEYS[1:]
    ]
    seats = [address_of(bytes(31) + b"\x0a"), *(address_of(key) for key in SEAT_KEYS[1:])]
    calls = [(second.address, artifact("Council").methods["seat"].encode(seats, 2))]
    id = await second.propose(calls)
    await third.approve(id)
    assert await second.state_of(id) is ProposalState.WAITING
    with pytest.raises(Reverted, match="WrongState"):
        await second.execute(id, calls)
    await network.jump(DELAY)
    await second.execute(id, calls)
    assert await second.seats() == tuple(seats)
    with pytest.raises(Reverted, match="NotASeat"):
        await network.operator.suspend(1)
