"""The life of agreements on a real chain, and the audit that finds every verdict and amount again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.chain.network import Network, Tree, answer, start

from peerage_chain import evidence as evidence_module
from peerage_chain.audit import audit_agreements, audit_members, audit_qos
from peerage_chain.challenge import challenge_indices
from peerage_chain.contracts import Contracts
from peerage_chain.deploy import Tuning
from peerage_chain.errors import Reverted
from peerage_chain.history import History, Recorded
from peerage_chain.money import audit_money
from peerage_chain.told import read_history
from peerage_chain.types import CREDIT, AgreementId, AgreementState, Epoch

TREE = Tree(bytes(range(256)) * 4 * 37)


async def populated(home: Path, credits_each: int, tuning: Tuning | None = None) -> Network:
    """Four members, funded, whose beats count."""
    network = await start(home, tuning=tuning)
    try:
        await network.join("Alice", "Bob", "Carol", "Dan")
        await network.operator.fund({player.id: credits_each for player in network.players})
        await network.jump(2)
        await network.all_beat()
        await network.epoch()
    except BaseException:
        await network.close()
        raise
    return network


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    network = await populated(tmp_path / "chain", 1000 * CREDIT)
    try:
        yield network
    finally:
        await network.close()


def credits(text: str) -> int:
    return round(float(text) * CREDIT)


async def test_misses_penalties_and_their_audit(network: Network) -> None:
    alice, bob, carol, dan = network.players
    observer = network.observer
    broken, terms = await network.open(alice, bob)
    good, _ = await network.open(carol, dan)
    await asyncio.gather(network.revise(alice, bob, broken, TREE), network.revise(carol, dan, good, TREE))
    recorded = (await observer.now()).epoch
    with pytest.raises(Reverted) as caught:
        await alice.chain.open_agreement(terms, bytes(65), bytes(65))
    assert caught.value.name == "AlreadyOpened"

    missed: list[Epoch] = []
    for number in range(8):
        epoch = await network.epoch(*([dan] if number == 3 else []))
        challenge = await observer.challenge(broken, epoch)
        assert challenge.due == (epoch >= recorded + 2), "only what stood before any link was public"
        if not challenge.due:
            continue
        assert challenge.indices == challenge_indices(
            (await observer.seed(epoch))[0],
            observer.chain_id,
            observer.contracts.addresses["Proofs"],
            broken,
            bob.id,
            observer.params.samples,
            challenge.leaves,
        )
        if number == 3:
            with pytest.raises(Reverted, match="NotBeaten"):
                await network.prove(dan, good, TREE)
        else:
            assert await network.prove(dan, good, TREE)
        if number in (2, 4, 7):
            missed.append(epoch)
        else:
            open_ = [c.agreement for c in await observer.open_challenges([broken, good], epoch)]
            assert open_ == ([broken, good] if number == 3 else [broken])
            await network.prove(bob, broken, TREE)
            await network.prove(bob, broken, TREE)  # once more: passed over
            assert await observer.proven(broken, epoch)
            assert await observer.proven_word(broken, 0) >> epoch & 1
    before_settling = await audit_agreements(observer, member=2)
    assert [m["settled"] for m in before_settling[0]["misses"]] == [False] * 2, "the last epoch is not closed yet"
    await network.jump_to_second_half()
    await network.epoch()
    await network.jump_to_second_half()
    await alice.chain.settle([broken, good])

    rows = {row["agreement"]: row for row in await audit_agreements(observer)}
    row = rows["0x" + broken.hex()]
    assert [m["epoch"] for m in row["misses"]] == missed
    assert [m["in_window"] for m in row["misses"]] == [1, 2, 3]
    assert row["proofs_made"] + row["proofs_missed"] == row["proofs_due"]
    assert all(m["reason"] == "no proof" and m["settled"] for m in row["misses"])
    lost = credits(row["to_client"]) + credits(row["burned"])
    assert lost == terms.collateral * (5 + 10) // 100 == terms.collateral - credits(row["collateral_left"])
    view = await observer.agreement(broken)
    assert (view.misses, view.collateral) == (3, credits(row["collateral_left"]))
    reasons = [m["reason"] for m in rows["0x" + good.hex()]["misses"]]
    assert reasons == ["no proof, no beat"], "without a beat there is no proof"
    assert all(row["verified"] for row in rows.values())

    report = await audit_qos(observer)
    assert report["verified"]
    by_member = {row["member"]: row for row in report["members"]}
    assert by_member[bob.id]["settled_misses"] == 3
    assert by_member[bob.id]["earned"] == by_member[alice.id]["spent"] == row["paid"] != "0.000000"
    assert by_member[alice.id]["compensated"] == by_member[bob.id]["penalties_to_client"] != "0.000000"
    assert by_member[dan.id]["beats_missed"] == 1
    assert by_member[alice.id]["beats_missed"] == 0
    for member in await audit_members(observer):
        assert member["verified"]
        assert credits(member["balance"]) == await observer.balance(member["member"])
    part = await audit_qos(observer, member=bob.id, from_epoch=missed[1], to_epoch=missed[1])
    assert (part["from_epoch"], part["to_epoch"]) == (missed[1], missed[1])
    assert [(r["member"], r["proofs_due"], r["proofs_missed"]) for r in part["members"]] == [(bob.id, 1, 1)]


async def test_too_many_misses_fail_the_agreement(network: Network) -> None:
    alice, bob, *_ = network.players
    id, terms = await network.open(alice, bob)
    await network.revise(alice, bob, id, TREE)
    for _ in range(9):
        await network.epoch()
    await network.jump_to_second_half()
    await alice.chain.settle([id])
    view = await network.observer.agreement(id)
    assert (view.state, view.misses, view.escrow, view.collateral) == (AgreementState.FAILED, 6, 0, 0)
    (row,) = await audit_agreements(network.observer)
    assert (row["state"], row["proofs_missed"], row["verified"]) == ("failed", 6, True)
    assert credits(row["to_client"]) + credits(row["burned"]) == terms.collateral * (5 + 10 + 20 * 3) // 100
    assert (await audit_qos(network.observer))["verified"]
    money = await audit_money(network.observer)
    assert money["verified"], money
    assert credits(money["contested"]) > 0
    assert credits(money["escrow"]) == credits(money["collateral"]) == 0
    with pytest.raises(Reverted) as caught:
        await network.revise(alice, bob, id, TREE)
    assert caught.value.name == "NotInForce"


async def test_attack_tokens_that_went_astray_are_seen(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract that held less than it owes would be found: here the answer of the token is the one changed."""
    alice, bob, *_ = network.players
    await network.open(alice, bob)
    money = await audit_money(network.observer)
    assert (money["verified"], money["sum"], money["tokens"]) == (True, money["total"], money["supply"])
    assert credits(money["escrow"]) > 0 < credits(money["collateral"])
    real = Contracts.read_many

    async def short(self: Contracts, calls: Sequence[Any], block: int | None = None) -> list[Any]:
        answers = await real(self, calls, block)
        return [a - 1 if c[:2] == ("Credit", "balanceOf") else a for c, a in zip(calls, answers, strict=True)]

    monkeypatch.setattr(Contracts, "read_many", short)
    assert not (await audit_money(network.observer))["verified"]


async def test_void_epochs_hurt_nobody(network: Network) -> None:
    alice, bob, carol, dan = network.players
    id, _ = await network.open(alice, bob)
    await network.revise(alice, bob, id, TREE)
    await network.epoch()
    first = await network.epoch()
    await network.prove(bob, id, TREE)
    void = await network.epoch(alice, carol, dan)  # no quorum: it and the next are void
    await network.prove(bob, id, TREE)
    await network.epoch()
    last = await network.epoch()
    await network.prove(bob, id, TREE)
    await network.epoch()
    await network.jump_to_second_half()
    await bob.chain.settle([id])
    (row,) = await audit_agreements(network.observer, to_epoch=last)
    assert (row["void_epochs"], row["proofs_made"], row["misses"], row["verified"]) == (2, 2, [], True)
    assert credits(row["paid"]) == 4 * 36, "the void epochs' pay came with the next proof"
    report = await audit_qos(network.observer, from_epoch=first, to_epoch=last)
    assert report["void_epochs"] == [void, void + 1]
    assert not await network.observer.epoch_valid(void)
    assert await network.observer.epoch_valid(last)


async def test_an_empty_escrow_lapses_with_notice(tmp_path: Path) -> None:
    capacity, price = 1 << 20, 1 << 30  # a full MiB costs 2^20 an epoch
    network = await populated(tmp_path / "chain", 3 * CREDIT, Tuning(escrow_epochs=2, grace_epochs=2))
    try:
        alice, bob, *_ = network.players
        full = Tree(bytes(capacity))
        id, _ = await network.open(alice, bob, capacity=capacity, price_per_gib_epoch=price, collateral=CREDIT)
        await network.revise(alice, bob, id, full)
        states: list[str] = []
        for _ in range(30):
            await network.epoch()
            await network.prove(bob, id, full)
            await bob.chain.settle([id])
            (row,) = await audit_agreements(network.observer)
            assert row["verified"], states
            states.append(row["state"])
            if row["state"] == "lapsed":
                break
        assert list(dict.fromkeys(states)) == ["active", "grace", "lapsed"]
        balance = await network.observer.balance(alice.id)
        assert balance < 1 << 20
        assert (await audit_qos(network.observer))["verified"]
    finally:
        await network.close()


async def test_one_bad_proof_does_not_hold_up_the_others(network: Network) -> None:
    alice, bob, carol, dan = network.players
    ids = [(await network.open(client, bob))[0] for client in (alice, carol, dan)]
    for client, id in zip((alice, carol, dan), ids, strict=True):
        await network.revise(client, bob, id, TREE)
    await network.epoch()
    epoch = await network.epoch()
    proofs = [answer(challenge, TREE) for challenge in await bob.chain.challenges(ids, epoch)]
    damaged = [replace(sample, leaf=bytes(1024)) for sample in proofs[1][1]]
    with pytest.raises(Reverted) as caught:
        await bob.chain.prove([proofs[0], (ids[1], damaged), proofs[2]])
    assert (caught.value.name, caught.value.arguments["agreement"]) == ("WrongRoot", ids[1])
    assert [await bob.chain.proven(id, epoch) for id in ids] == [True, False, True]


def _forge_leaves(history: History, id: AgreementId) -> None:
    past = history.agreements[id]
    past.revisions = [Recorded(r.epoch, r.sequence, r.root, r.leaves + 1) for r in past.revisions]


def _forge_link(history: History, id: AgreementId) -> None:
    beats = history.beats[max(history.beats) - 3]
    beats[min(beats)] = bytes(20)


def _forge_proof(history: History, id: AgreementId) -> None:
    history.agreements[id].proven.pop()


def _forge_deposit(history: History, id: AgreementId) -> None:
    history.accounts[history.agreements[id].terms.client] += 1


async def test_what_does_not_follow_is_not_verified(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract that told other than what its events make would be found: here the events are the ones changed."""
    alice, bob, *_ = network.players
    id, _ = await network.open(alice, bob)
    await network.revise(alice, bob, id, TREE)
    for _ in range(4):
        await network.epoch()
        await network.prove(bob, id, TREE)
    await network.jump_to_second_half()
    await bob.chain.settle([id])
    assert (await audit_qos(network.observer))["verified"]

    forgeries: list[Callable[[History, AgreementId], None]] = [_forge_leaves, _forge_link, _forge_proof, _forge_deposit]
    for forge in forgeries:

        async def forged(
            contracts: Contracts, last_block: int, forge: Callable[[History, AgreementId], None] = forge
        ) -> History:
            history = await read_history(contracts, last_block)
            forge(history, id)
            return history

        monkeypatch.setattr(evidence_module, "read_history", forged)
        assert not (await audit_qos(network.observer))["verified"], forge.__name__
        agreements, members = await audit_agreements(network.observer), await audit_members(network.observer)
        told = [row["verified"] for row in agreements] + [row["verified"] for row in members]
        assert not all(told), forge.__name__
