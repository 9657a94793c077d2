"""Connecting: every way in which what answers is not what was asked for is one clear line."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.chain.network import OPERATOR_KEY, Network, free_port, start

from peerage_chain import rpc as rpc_module
from peerage_chain.abi import artifact
from peerage_chain.client import Chain
from peerage_chain.deploy import PROXY_SIGNER, PROXY_TRANSACTION, Operator
from peerage_chain.directory import CREATE2_PROXY, DEFAULT_DIRECTORY
from peerage_chain.errors import ChainUnavailable, ContractsMissing, NotAMember, Reverted, WrongChain
from peerage_chain.rpc import Rpc, show_url
from peerage_chain.typed import address_of, revocation_digest, sign
from peerage_chain.types import CREDIT, Epoch, MemberId, MemberStatus, Params


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    network = await start(tmp_path / "chain")
    try:
        yield network
    finally:
        await network.close()


async def test_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_module, "BACKOFF_S", 0.01)
    port = free_port()
    with pytest.raises(ChainUnavailable, match=f"no chain answers at http://127.0.0.1:{port} "):
        await Chain.connect(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("hang", ChainUnavailable),
        ("html", WrongChain),
        ("500", ChainUnavailable),
        ("list", ChainUnavailable),
    ],
)
async def test_what_answers_is_no_chain(answer: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_module, "BACKOFF_S", 0.01)

    async def handle(request: web.Request) -> web.Response:
        match answer:
            case "hang":
                await asyncio.sleep(5)
            case "html":
                return web.Response(text="<html>welcome</html>", content_type="text/html")
            case "list":
                raise ConnectionResetError
        return web.Response(status=500)

    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    client = Rpc(f"http://127.0.0.1:{port}", timeout_s=0.1)
    try:
        with pytest.raises(error) as caught:
            await client.call("eth_chainId")
        assert "\n" not in str(caught.value)
    finally:
        await client.close()
        await runner.cleanup()


def test_access_keys_in_a_url_are_not_shown() -> None:
    assert show_url("https://user:secret@rpc.example:8545/v3/key?token=1") == "https://rpc.example:8545"
    assert show_url("http://[::1]:8545") == "http://[::1]:8545"


async def test_connecting(network: Network) -> None:
    async with await Chain.connect(network.url) as chain:
        assert chain.domain.directory == DEFAULT_DIRECTORY
        assert chain.chain_id == network.anvil.chain_id
        assert chain.genesis == network.observer.genesis
        with pytest.raises(NotAMember, match="node key"):
            await chain.commit_tip(bytes(20))
    with pytest.raises(WrongChain, match="has id 31337, expected 1"):
        await Chain.connect(network.url, chain_id=1)
    with pytest.raises(WrongChain, match="another chain"):
        await Chain.connect(network.url, genesis=bytes(32))
    nowhere = address_of(secrets.token_bytes(32))
    with pytest.raises(ContractsMissing, match=f"no Peerage contracts at {nowhere} on this chain"):
        await Chain.connect(network.url, directory=nowhere)
    with pytest.raises(ContractsMissing, match="no Peerage contracts at"):
        await Chain.connect(network.url, directory=CREATE2_PROXY)


async def test_deploying_again_changes_nothing(network: Network) -> None:
    before = network.observer.contracts
    operator = await Operator.connect(network.url, OPERATOR_KEY)
    other = await Operator.connect(network.url, secrets.token_bytes(32))
    try:
        after = await operator.deploy(Params(7, 0, 9))
        assert (after.addresses, after.params) == (before.addresses, before.params)
        with pytest.raises(ContractsMissing, match="belongs to"):
            await other.deploy(Params(7, 0, 9))
        account = address_of(secrets.token_bytes(32))
        id = await operator.admit(account, bytes(32), "FR", "A")
        assert await operator.admit(account, bytes(32), "FR", "A") == id
        with pytest.raises(Reverted) as caught:
            await other.admit(address_of(secrets.token_bytes(32)), bytes(32), "FR", "B")
        assert caught.value.name == "NotASeat"
        with pytest.raises(ValueError, match="alpha-2"):
            await operator.admit(address_of(secrets.token_bytes(32)), bytes(32), "France", "B")
        await operator.mint_and_deposit(id, 5)
        await operator.fund({id: 7})
        assert await network.observer.balance(id) == 12
    finally:
        await operator.close()
        await other.close()


async def test_a_directory_that_is_not_configured(network: Network) -> None:
    """Deployed by the operator, used by a member too early."""
    salt = bytes(32)
    from peerage_chain.directory import create2_address

    creation = artifact("Directory").creation()
    address = create2_address(salt, creation)
    operator = await Operator.connect(network.url, OPERATOR_KEY)
    try:
        await operator._create(salt, creation, address)
    finally:
        await operator.close()
    with pytest.raises(ContractsMissing, match="not configured yet"):
        await Chain.connect(network.url, directory=address)


async def test_roster_follows_every_change(network: Network) -> None:
    (alice,) = await network.join("Alice")
    observer = network.observer
    (seen,) = await observer.roster()
    assert (seen.id, seen.name, seen.jurisdiction) == (alice.id, "Alice", "FR")
    assert seen.nodes[0].endpoint == "127.0.0.1:9001"
    assert await observer.roster() is await observer.roster(), "unchanged: not read again"
    await alice.chain.announce("backup.example:443", "attic")
    assert (await observer.roster())[0].nodes[0].endpoint == "backup.example:443"
    await network.operator.suspend(alice.id)
    assert (await observer.roster())[0].status.name == "SUSPENDED"
    await network.operator.reinstate(alice.id)

    assert await observer.member_of_key(address_of(alice.node_key)) == (await observer.roster())[0]
    assert (await observer.member_by_account(address_of(alice.account_key))) is not None
    assert await observer.member_of_key(address_of(secrets.token_bytes(32))) is None
    now = await observer.now()
    assert (await observer.roster())[0].live_nodes(now.timestamp_s)
    node = address_of(alice.node_key)
    await alice.chain.revoke(node, sign(alice.account_key, revocation_digest(node, observer.domain)))
    assert not (await observer.roster())[0].live_nodes(now.timestamp_s)
    assert await observer.member_of_key(node) is None
    with pytest.raises(Reverted) as caught:
        await alice.chain.commit_tip(bytes(20))
    assert caught.value.name == "NotAMember"


async def test_anchors_and_what_is_refused_twice(network: Network) -> None:
    (alice,) = await network.join("Alice")
    assert (await network.observer.anchor_of(alice.id, 0)).number == 0
    await asyncio.gather(*(alice.chain.anchor(repository, 1, bytes([repository + 1]) * 32) for repository in range(20)))
    assert (await network.observer.anchor_of(alice.id, 19)).head == bytes([20]) * 32
    with pytest.raises(Reverted) as caught:
        await alice.chain.anchor(0, 1, bytes([1]) * 32)
    assert caught.value.name == "NumberNotGrowing"
    assert caught.value.arguments["newest"] == 1
    with pytest.raises(Reverted) as caught:
        await network.observer.agreement(bytes(32))  # type: ignore[arg-type]
    assert caught.value.name == "UnknownAgreement"
    assert await network.observer.agreements_of(MemberId(77)) == ()
    assert await network.observer.seed(Epoch(0)) == (bytes(32), False)


def test_the_proxy_s_transaction_is_the_well_known_one() -> None:
    from eth_account import Account

    assert Account.recover_transaction(PROXY_TRANSACTION) == PROXY_SIGNER


async def test_maintenance_is_declared_ahead_and_seen(network: Network) -> None:
    (alice,) = await network.join("alice")
    epoch = (await network.observer.now()).epoch
    first, end = Epoch(epoch + 250), Epoch(epoch + 262)
    await alice.chain.declare_maintenance(first, end)
    await alice.chain.cancel_maintenance(Epoch(end - 2), end)
    declared = await network.observer.maintenance(alice.id, epoch, Epoch(epoch + 600))
    assert declared == tuple(Epoch(e) for e in range(first, end - 2))
    assert await network.observer.maintenance(alice.id, first, Epoch(first + 1)) == (first,)
    assert await network.observer.maintenance(alice.id, end, end) == ()
    with pytest.raises(Reverted) as caught:
        await alice.chain.declare_maintenance(Epoch(epoch + 1), end)
    assert caught.value.name == "BadWindow"


async def test_a_member_leaves(network: Network) -> None:
    alice, bob = await network.join("alice", "bob")
    await network.operator.fund({alice.id: 100 * CREDIT, bob.id: 100 * CREDIT})
    id, _ = await network.open(alice, bob, term_epochs=3)
    account = await Chain.connect(network.url, node_key=bob.account_key)
    await account.leave()
    assert (await network.observer.roster())[1].status is MemberStatus.LEAVING
    with pytest.raises(Reverted) as caught:
        await alice.chain.depart(bob.id)
    assert (caught.value.name, caught.value.arguments) == ("StillBound", {"member": bob.id, "agreements": 1})
    await network.jump(4)
    await network.jump_to_second_half()
    await alice.chain.settle([id])
    await alice.chain.depart(bob.id)
    left = (await network.observer.roster())[1]
    assert left.status is MemberStatus.LEFT
    assert {left.status.writes, left.status.promises} == {False}
    assert await network.observer.member_of_key(address_of(bob.node_key)) is None
    await account.close()
