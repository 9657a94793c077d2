"""Deleting data on a real chain: announced, waited for, recorded once; and a stolen node key that tries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.chain.network import Network, Player, Tree, start

from peerage_chain import evidence as evidence_module
from peerage_chain.audit import audit_agreements
from peerage_chain.client import Chain
from peerage_chain.contracts import Contracts
from peerage_chain.errors import NotAMember, Reverted
from peerage_chain.events import Record
from peerage_chain.history import AgreementPast, History
from peerage_chain.told import _HANDLERS, read_history
from peerage_chain.typed import address_of, revocation_digest, sign
from peerage_chain.types import CREDIT, AgreementId, Epoch, MemberId, Removal, Terms

OLD, NEW = Tree(bytes(40 * 1024)), Tree(bytes(range(256)) * 4 * 30)
GONE = len(OLD.leaves) - len(NEW.leaves)
OBJECTS = b"\x5a" * 32
RETENTION = 3
ID = AgreementId(bytes(32))
TERMS = Terms(MemberId(1), MemberId(2), 1 << 20, 0, 0, 0, 0, 4, Epoch(2), Epoch(99), Epoch(9), bytes(32))


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


async def holding(network: Network) -> tuple[Player, Player, AgreementId]:
    """Alice's agreement with Bob, with the old tree recorded."""
    alice, bob = network.players
    id, _ = await network.open(alice, bob, min_retention_epochs=RETENTION)
    await network.revise(alice, bob, id, OLD)
    return alice, bob, id


async def test_a_removal_is_recorded_once_it_is_ready(network: Network) -> None:
    alice, bob, id = await holding(network)
    observer = network.observer
    announced = (await observer.now()).epoch
    assert await observer.removal_of(id) is None
    await alice.chain.announce_removal(id, OBJECTS, GONE)
    pending = await observer.removal_of(id)
    assert pending == Removal(OBJECTS, GONE, announced + RETENTION)
    (row,) = await audit_agreements(observer)
    assert row["removal"] == {"objects": "0x" + OBJECTS.hex(), "leaves": GONE, "ready": announced + RETENTION}
    with pytest.raises(Reverted) as caught:
        await alice.chain.announce_removal(id, OBJECTS, GONE)
    assert (caught.value.name, caught.value.arguments["objects"]) == ("RemovalPending", OBJECTS)

    for _ in range(RETENTION):
        with pytest.raises(Reverted) as caught:
            await network.revise(alice, bob, id, NEW)
        assert (caught.value.name, caught.value.arguments["ready"]) == ("RemovalTooEarly", announced + RETENTION)
        await network.epoch()
    with pytest.raises(Reverted) as caught:
        await network.revise(alice, bob, id, Tree(bytes(20 * 1024)))
    assert caught.value.name == "WrongRemoval"
    assert caught.value.arguments == {"id": id, "announced": GONE, "given": 20}

    shrunk = (await observer.now()).epoch
    await network.revise(alice, bob, id, NEW)
    assert await observer.removal_of(id) is None
    assert (await observer.agreement(id)).leaves == len(NEW.leaves)
    with pytest.raises(Reverted) as caught:
        await network.revise(alice, bob, id, Tree(bytes(29 * 1024)))
    assert caught.value.name == "NoRemoval"

    for tree in (OLD, NEW, NEW):
        epoch = await network.epoch()
        challenge = await observer.challenge(id, epoch)
        assert (challenge.root, challenge.leaves) == (tree.root, len(tree.leaves)), epoch - shrunk
        assert await network.prove(bob, id, tree)
    await network.jump_to_second_half()
    await bob.chain.settle([id])
    (row,) = await audit_agreements(observer)
    assert row["verified"], "pay and challenges follow from the events where leaves shrink too"
    assert (row["leaves"], row["removal"]) == (len(NEW.leaves), None)


def _forget_announcement(past: AgreementPast) -> None:
    past.lost_unannounced = True


def _hasten(past: AgreementPast) -> None:
    block, removal, retention = past.announced[0]
    past.announced[0] = block, replace(removal, ready=Epoch(removal.ready - 1)), retention


@pytest.mark.parametrize("forge", [_forget_announcement, _hasten])
async def test_leaves_that_went_too_soon_are_not_verified(
    network: Network, forge: Callable[[AgreementPast], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A contract that let data go without its delay would be found: here the events are the ones changed."""
    alice, _, id = await holding(network)
    await alice.chain.announce_removal(id, OBJECTS, GONE)
    await alice.chain.cancel_removal(id)
    (row,) = await audit_agreements(network.observer)
    assert (row["verified"], row["removal"]) == (True, None)

    async def forged(contracts: Contracts, last_block: int) -> History:
        history = await read_history(contracts, last_block)
        forge(history.agreements[id])
        return history

    monkeypatch.setattr(evidence_module, "read_history", forged)
    (row,) = await audit_agreements(network.observer)
    assert not row["verified"]


def record(event: str, **fields: object) -> Record:
    return Record("Agreements", event, {"id": ID, **fields}, 1)


def revised(leaves: int, epoch: int) -> Record:
    return record("Revised", epoch=epoch, sequence=1, root=bytes(32), leaves=leaves, bytesDown=0)


ANNOUNCED = record("RemovalAnnounced", objects=OBJECTS, leaves=10, ready=8)


@pytest.mark.parametrize(
    ("events", "lost"),
    [
        ([revised(40, 5), revised(40, 6), revised(50, 7)], False),
        ([revised(40, 5), ANNOUNCED, revised(30, 8)], False),
        ([revised(40, 5), ANNOUNCED, revised(60, 6), revised(50, 9)], False),
        ([revised(40, 5), revised(39, 6)], True),
        ([revised(40, 5), ANNOUNCED, revised(30, 7)], True),
        ([revised(40, 5), ANNOUNCED, revised(31, 8)], True),
        ([revised(40, 5), ANNOUNCED, record("RemovalCancelled"), revised(30, 8)], True),
        ([revised(40, 5), ANNOUNCED, revised(30, 8), revised(20, 8)], True),
    ],
)
def test_the_audit_s_own_rule(events: list[Record], lost: bool) -> None:
    past = AgreementPast(ID, TERMS, Epoch(2))
    history = History(1, agreements={ID: past})
    for event in events:
        _HANDLERS[event.contract, event.event](history, event)
    assert past.lost_unannounced is lost


async def test_what_is_no_removal_is_refused_by_name(network: Network) -> None:
    alice, bob, id = await holding(network)
    cases = [
        (bob.chain, OBJECTS, GONE, "NotTheClient"),
        (alice.chain, bytes(32), GONE, "EmptyRemoval"),
        (alice.chain, OBJECTS, 0, "EmptyRemoval"),
        (alice.chain, OBJECTS, len(OLD.leaves) + 1, "RemovalTooLarge"),
    ]
    for chain, objects, leaves, name in cases:
        with pytest.raises(Reverted) as caught:
            await chain.announce_removal(id, objects, leaves)
        assert caught.value.name == name
    with pytest.raises(Reverted) as caught:
        await alice.chain.cancel_removal(id)
    assert caught.value.name == "NoRemoval"
    with pytest.raises(Reverted) as caught:
        await alice.chain.cancel_removal(AgreementId(bytes(32)))
    assert caught.value.name == "UnknownAgreement"
    with pytest.raises(ValueError, match="announceRemoval"):
        await alice.chain.announce_removal(id, OBJECTS + b"\0", GONE)
    with pytest.raises(NotAMember):
        await network.observer.cancel_removal(id)


async def test_the_account_revokes_a_stolen_key_and_cancels(network: Network) -> None:
    alice, bob, id = await holding(network)
    await alice.chain.announce_removal(id, OBJECTS, GONE)  # the thief, with Alice's node key
    node = address_of(alice.node_key)
    account = await Chain.connect(network.url, node_key=alice.account_key)
    try:
        await account.revoke(node, sign(alice.account_key, revocation_digest(node, account.domain)))
        await account.cancel_removal(id)
    finally:
        await account.close()
    assert await network.observer.removal_of(id) is None
    for attempt in (alice.chain.announce_removal(id, OBJECTS, GONE), alice.chain.cancel_removal(id)):
        with pytest.raises(Reverted) as caught:
            await attempt
        assert caught.value.name == "NotAMember"
    await network.jump(RETENTION)
    with pytest.raises(Reverted) as caught:
        await network.revise(alice, bob, id, NEW)
    assert caught.value.name == "WrongSigner"
    assert (await network.observer.agreement(id)).leaves == len(OLD.leaves)
