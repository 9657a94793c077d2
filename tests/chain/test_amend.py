"""Amendments and exits on a real chain, as the auditor sees them; EIP-712 digests, Python's against the contract's."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from tests.chain.network import Network, Tree, start

from peerage_chain import typed
from peerage_chain.audit import audit_agreements, audit_qos
from peerage_chain.client import Chain
from peerage_chain.errors import Reverted
from peerage_chain.money import audit_money
from peerage_chain.types import CREDIT, Amendment, Epoch, Revision, Terms

CASES = 1000


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


async def test_an_agreement_grows_and_is_renewed(network: Network) -> None:
    alice, bob = network.players
    id, terms = await network.open(alice, bob)
    await network.revise(alice, bob, id, Tree(bytes(20 * 1024)))
    await network.epoch()
    now = (await network.observer.now()).epoch
    amendment = Amendment(
        agreement=id,
        number=1,
        capacity=2 * terms.capacity,
        price_per_gib_epoch=terms.price_per_gib_epoch + 1,
        egress_price_per_gib=terms.egress_price_per_gib,
        collateral=terms.collateral + CREDIT,
        min_retention_epochs=terms.min_retention_epochs,
        end_epoch=Epoch(terms.end_epoch + 100),
        expires=Epoch(now + 5),
    )
    digest = typed.amendment_digest(amendment, alice.chain.domain)
    ours, theirs = typed.sign(alice.node_key, digest), typed.sign(bob.node_key, digest)
    await alice.chain.amend(amendment, ours, theirs)
    shown = await network.observer.agreement(id)
    assert (shown.amendments, shown.terms.capacity) == (1, 2 * terms.capacity)
    assert (shown.terms.end_epoch, shown.collateral) == (terms.end_epoch + 100, terms.collateral + CREDIT)
    with pytest.raises(Reverted) as caught:
        await alice.chain.amend(amendment, ours, theirs)
    assert caught.value.name == "WrongNumber"
    with pytest.raises(Reverted) as caught:
        await alice.chain.exit(id)
    assert caught.value.name == "NotAParty"
    (row,) = await audit_agreements(network.observer)
    assert (row["end_epoch"], row["capacity_bytes"]) == (shown.terms.end_epoch, shown.terms.capacity)
    assert row["verified"]


async def test_prices_change_and_an_account_leaves_and_the_audit_follows(network: Network) -> None:
    alice, bob = network.players
    data = Tree(bytes(range(256)) * 4 * 20)
    id, terms = await network.open(alice, bob, price_per_gib_epoch=100 * CREDIT)
    await network.revise(alice, bob, id, data)
    for _ in range(4):
        await network.epoch()
        await network.prove(bob, id, data)
    now = (await network.observer.now()).epoch
    amendment = Amendment(
        agreement=id,
        number=1,
        capacity=terms.capacity,
        price_per_gib_epoch=3 * terms.price_per_gib_epoch,
        egress_price_per_gib=terms.egress_price_per_gib,
        collateral=terms.collateral,
        min_retention_epochs=terms.min_retention_epochs + 1,
        end_epoch=terms.end_epoch,
        expires=Epoch(now + 5),
    )
    digest = typed.amendment_digest(amendment, alice.chain.domain)
    await bob.chain.amend(amendment, typed.sign(alice.node_key, digest), typed.sign(bob.node_key, digest))
    for _ in range(3):
        await network.epoch()
        await network.prove(bob, id, data)
    await network.jump_to_second_half()
    await bob.chain.settle([id])
    before = await network.observer.agreement(id)
    account = await Chain.connect(network.url, node_key=bob.account_key)
    try:
        await account.exit(id)
    finally:
        await account.close()
    after = await network.observer.agreement(id)
    assert after.terms.end_epoch < before.terms.end_epoch
    assert after.collateral < before.collateral, "leaving costs what the client pays to store its data anew"
    (row,) = await audit_agreements(network.observer)
    assert (row["verified"], row["end_epoch"]) == (True, after.terms.end_epoch)
    report = await audit_qos(network.observer)
    assert report["verified"]
    assert (await audit_money(network.observer))["verified"]


def _random(draw: random.Random, kind: str, name: str) -> Any:
    if name == "version":
        return 1
    if kind == "bytes32":
        return draw.randbytes(32)
    bits = int(kind.removeprefix("uint"))
    return draw.choice((0, (1 << bits) - 1, draw.getrandbits(bits)))


@pytest.mark.parametrize(
    ("name", "type_", "digest_of"),
    [
        ("Terms", Terms, typed.terms_digest),
        ("Revision", Revision, typed.revision_digest),
        ("Amendment", Amendment, typed.amendment_digest),
    ],
)
async def test_digests_agree_with_the_contract_on_random_cases(
    network: Network, name: str, type_: type[Any], digest_of: Callable[[Any, typed.Domain], bytes]
) -> None:
    draw = random.Random(name)
    snake = {"".join(part.capitalize() for part in f.name.split("_")).lower(): f.name for f in fields(type_)}
    cases = [[_random(draw, kind, field) for kind, field in typed.TYPES[name]] for _ in range(CASES)]
    names = [snake[field.lower()] for _, field in typed.TYPES[name]]
    contracts = network.observer.contracts
    told = await contracts.read_many(
        [("Amendments" if name == "Amendment" else "Agreements", f"digestOf{name}", (tuple(case),)) for case in cases]
    )
    domain = network.players[0].chain.domain
    assert [digest_of(type_(**dict(zip(names, case, strict=True))), domain) for case in cases] == list(told)
