"""What the member's account does by its words, on a real chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.chain.network import Network, Tree, start

from peerage.cli.account import micro_credits
from peerage.errors import UserError
from peerage.keys.words import account_of
from peerage_chain.typed import address_of
from peerage_chain.types import CREDIT, AgreementId

from .conftest import WORDS, Answer, Peerage

DATA = Tree(bytes(range(256)) * 4 * 40)


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    network = await start(tmp_path / "chain")
    try:
        await network.join("Alice", "Bob", account_key=account_of(WORDS)[1])
        await network.operator.fund({player.id: 100 * CREDIT for player in network.players})
        await network.jump(2)
        await network.all_beat()
        yield network
    finally:
        await network.close()


class Account:
    """Runs `peerage account` with Alice's words, in a thread: the network lives in this one."""

    def __init__(self, peerage: Peerage, network: Network, folder: Path) -> None:
        self._peerage = peerage
        self._url = network.url
        self._file = folder / "words"
        self._file.write_text(" ".join(WORDS))

    async def __call__(self, *arguments: str) -> Answer:
        scope = ("--words-file", str(self._file), "--rpc", self._url, "--json")
        return await asyncio.to_thread(self._peerage, "account", *arguments, *scope)


@pytest.fixture
def account(peerage: Peerage, network: Network, tmp_path: Path) -> Account:
    return Account(peerage, network, tmp_path)


async def opened(network: Network, term_epochs: int = 1000) -> AgreementId:
    """Alice's agreement with Bob, with data."""
    alice, bob = network.players
    id, _ = await network.open(alice, bob, term_epochs=term_epochs)
    await network.revise(alice, bob, id, DATA)
    return id


async def test_credits_that_are_free_can_be_withdrawn(network: Network, account: Account) -> None:
    to = address_of(b"\x05" * 32)
    before = (await account("show")).json
    assert (before["status"], before["balance"], len(before["nodes"])) == ("active", "100.000000", 1)
    assert (await account("withdraw", "12.5", "--to", to)).json["balance"] == "87.500000"
    refused = await account("withdraw", "88", "--to", to)
    assert (refused.code, "87.500000 credits are free" in refused.err) == (5, True)
    assert (await account("withdraw", "1", "--to", "0x12")).code == 5
    assert (await account("withdraw", "all", "--to", to)).json["withdrawn"] == "87.500000"
    assert (await account("show")).json["balance"] == "0.000000"
    assert (await account("withdraw", "all", "--to", to)).code == 5


async def test_attack_what_a_stolen_node_asked_to_delete_is_kept_by_the_words(
    network: Network, account: Account
) -> None:
    alice, _ = network.players
    id = await opened(network)
    await alice.chain.announce_removal(id, b"\x5a" * 32, 10)
    (removal,) = (await account("show")).json["removals"]
    assert (removal["agreement"], removal["bytes"]) == (id.hex(), 10 * 1024)
    (key,) = [node["key"] for node in (await account("show")).json["nodes"]]
    assert (await account("revoke", key)).json["revoked"] == key
    assert (await account("revoke", key)).code == 0, "asked again it is done already"
    assert [r["agreement"] for r in (await account("cancel-removals")).json["cancelled"]] == [id.hex()]
    shown = (await account("show")).json
    assert (shown["removals"], shown["nodes"][0]["revoked"]) == ([], True)
    assert await network.observer.removal_of(id) is None
    assert (await account("revoke", address_of(b"\x05" * 32))).code == 5


async def test_a_member_leaves_when_its_last_agreement_is_over(network: Network, account: Account) -> None:
    alice, bob = network.players
    id = await opened(network, term_epochs=2)
    leaving = (await account("leave")).json
    assert (leaving["status"], leaving["agreements"]) == ("leaving", 1)
    assert (await account("leave")).json == leaving
    now = await network.observer.now()
    while now.epoch <= leaving["until_epoch"] + 1:
        await network.epoch()
        await network.prove(bob, id, DATA)
        now = await network.observer.now()
    await network.jump_to_second_half()
    await alice.chain.settle([id])
    assert (await account("leave")).json == {"member": alice.id, "status": "left", "agreements": 0, "until_epoch": None}
    assert (await account("leave")).json["status"] == "left"
    assert (await account("withdraw", "all", "--to", address_of(b"\x05" * 32))).code == 0


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "1.0000001", "nan", "inf", "1e30"])
def test_amounts_are_parsed_strictly(text: str) -> None:
    with pytest.raises(UserError):
        micro_credits(text)


def test_amounts_have_six_decimals() -> None:
    assert micro_credits("12.5") == 12_500_000
    assert micro_credits("0.000001") == 1
