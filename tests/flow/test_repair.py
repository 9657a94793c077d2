"""What counts as lost, and how little is moved to make it good."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.flow.network import CLIENT, network
from tests.flow.test_backup_restore import make_tree, same

from peerage.deal.decision import Decision
from peerage.flow import losses
from peerage.flow.backup import backup
from peerage.flow.context import NodeContext, silent
from peerage.flow.health import health_of
from peerage.flow.losses import find_losses
from peerage.flow.quality import below_since, refresh_quality
from peerage.flow.repair import repair
from peerage.flow.restore import restore
from peerage.flow.room import Room
from peerage.flow.watch import watch
from peerage.model import AgreementId, MemberId
from peerage.store.home import Home
from peerage.store.measures import Measures
from peerage.store.rows import StoredObject, placed
from peerage_chain.quality import Figures, QualityRecord
from peerage_chain.types import Epoch, Loss, MemberStatus


def agreement_with(ledger: Any, member: MemberId) -> AgreementId:
    return next(a.id for a in ledger.agreements.values() if a.terms.provider == member)


def shards_at(context: NodeContext, member: MemberId) -> int:
    return sum(p == member for _, _, shards in context.catalogue.stripes() for _, _, p, _ in shards)


def fullest(context: NodeContext) -> MemberId:
    """The member with the most shards: where they lie is drawn, and some hold one, or none."""
    return max((MemberId(m) for m in range(2, 10)), key=lambda m: shards_at(context, m))


def first_shard(context: NodeContext, id: AgreementId) -> tuple[StoredObject, int]:
    """The first shard in an agreement's tree, and its first leaf there."""
    wanted = context.catalogue.roots_of_stripes(id)
    found = placed(context.catalogue.objects(id), sequence=1 << 62)
    return next((item, start) for item, start in found if item.root in wanted)


async def test_a_member_that_leaves_is_copied_from_while_it_serves(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        victim = fullest(context)
        held = shards_at(context, victim)
        ledger.change_member(victim, status=MemberStatus.LEAVING)
        await watch(context)
        assert sum([await repair(context, silent) for _ in range(3)]) == held
        assert shards_at(context, victim) == 0
        health = health_of(context.catalogue)
        assert health.whole == health.total
        assert health.repair_bytes == health.repair_bytes_least > 0, "each was read once and written once"
        peers.shelves[victim].down = True
        peers.shelves[fullest(context)].down = True
        await restore(context, "latest", tmp_path / "back", [], silent)
        same(source, tmp_path / "back" / "source")


async def test_what_a_leaving_member_no_longer_serves_is_rebuilt(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        victim = fullest(context)
        ledger.change_member(victim, status=MemberStatus.LEAVING)
        peers.shelves[victim].down = True
        await watch(context)
        await repair(context, silent)
        assert shards_at(context, victim) == 0
        health = health_of(context.catalogue)
        assert health.whole == health.total


async def test_reported_leaves_cost_their_own_shards_alone(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        member = fullest(context)
        id, held = agreement_with(ledger, member), shards_at(context, member)
        assert held > 1
        await watch(context)
        lost, first = first_shard(context, id)
        ledger.losses[id] = Loss(first, 1, Epoch(12), Epoch(40), restored=False)
        peers.shelves[member].lost = {lost.root}
        assert await repair(context, silent) == 1
        assert shards_at(context, member) == held, "it went back to where the agreement lists it"
        assert not peers.shelves[member].lost
        health = health_of(context.catalogue)
        assert (health.whole, health.repaired_shards) == (health.total, 1)
        assert health.repair_bytes == health.repair_bytes_least
        assert await repair(context, silent) == 0, "the report still stands, and nothing more is lost"


async def test_a_reported_shard_that_is_not_taken_back_goes_elsewhere(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        victim = fullest(context)
        await watch(context)
        id, held = agreement_with(ledger, victim), shards_at(context, victim)
        ledger.losses[id] = Loss(0, 1_000_000, Epoch(12), Epoch(40), restored=False)
        peers.shelves[victim].full = True
        assert await repair(context, silent) == held
        assert shards_at(context, victim) == 0
        health = health_of(context.catalogue)
        assert health.whole == health.total


async def test_a_reported_head_is_put_back(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        victim = fullest(context)
        await watch(context)
        id, shelf = agreement_with(ledger, victim), peers.shelves[victim]
        shelf.lost = {shelf.heads[0][1]}
        ledger.losses[id] = Loss(0, 1_000_000, Epoch(12), Epoch(40), restored=False)
        await repair(context, silent)
        assert not shelf.lost


async def test_what_a_missed_proof_was_asked_for_is_read(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        member = fullest(context)
        id = agreement_with(ledger, member)
        lost, start = first_shard(context, id)
        peers.shelves[member].lost = {lost.root}
        ledger.epoch, ledger.due, ledger.asked = 13, {(id, 12)}, (start,)
        await watch(context)
        assert await repair(context, silent) == 1, "at once, though the agreement has many shards"


async def test_after_epochs_without_a_chain_nobody_counts_as_lost(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        for shelf in peers.shelves.values():
            shelf.down = True
        ledger.due = {(id, epoch) for id in ledger.agreements for epoch in range(12, 20)}
        ledger.proofs = {(id, 12) for id in ledger.agreements}
        ledger.void = set(range(13, 20))
        ledger.epoch = 20
        await watch(context)
        assert await repair(context, silent) == 0
        assert health_of(context.catalogue).health == 1
        ledger.void.remove(19)
        ledger.due |= {(id, 20) for id in ledger.agreements}
        ledger.epoch = 21
        await watch(context)
        assert health_of(context.catalogue).health == 0, "that one they missed"


async def test_a_restored_loss_moves_nothing(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, _):
        await backup(context, [os.fsencode(source)], silent)
        victim = fullest(context)
        await watch(context)
        ledger.losses[agreement_with(ledger, victim)] = Loss(0, 1, Epoch(12), Epoch(40), restored=True)
        assert await repair(context, silent) == 0


async def test_attack_a_provider_that_proves_and_serves_rotten_bytes_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "SPOT_EVERY_S", 0)
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        victim = fullest(context)
        await watch(context)
        peers.shelves[victim].rotten = True
        for _ in range(200):
            if await repair(context, silent):
                break
        assert shards_at(context, victim) == 0
        health = health_of(context.catalogue)
        assert health.whole == health.total


async def test_spot_checks_are_a_minute_apart(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        await watch(context)
        now = [10**18]
        timed = replace(context, clock_ns=lambda: now[0])
        reads: list[MemberId] = []
        real = peers.get_object

        async def counted(member: MemberId, *arguments: Any) -> bytes:
            reads.append(member)
            return await real(member, *arguments)

        peers.get_object = counted  # type: ignore[method-assign]
        for seconds in (0, 10, 30, 59, 60, 61, 119, 120):
            now[0] = 10**18 + seconds * 10**9
            await find_losses(timed, silent)
        assert len(reads) == 3
        assert CLIENT not in reads


async def test_the_policy_says_how_many_missed_proofs_are_a_loss(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        victim = fullest(context)
        id = agreement_with(ledger, victim)
        peers.shelves[victim].down = True
        policy = context.policy().set("take.repair_after_epochs", "5")
        patient = replace(context, policy=lambda: policy)
        ledger.epoch, ledger.due = 16, {(id, e) for e in (12, 13, 14, 15)}
        await watch(patient)
        assert await repair(patient, silent) == 0
        ledger.epoch, ledger.due = 17, ledger.due | {(id, 16)}
        await watch(patient)
        assert await repair(patient, silent) > 0
        assert shards_at(context, victim) == 0


async def test_a_provider_that_the_policy_refuses_later_is_replaced(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(source)], silent)
        await watch(context)
        victim = fullest(context)
        held = shards_at(context, victim)
        policy = context.policy().set("take.legal_entities_deny", (bytes([victim]) * 32).hex())
        told: list[Decision] = []
        strict = replace(context, policy=lambda: policy, decided=told.append)
        assert await repair(strict, silent) == held > 0
        assert shards_at(context, victim) == 0
        assert [(d.member, d.action, d.rule) for d in told if d.action == "replace"] == [
            (victim, "replace", "take.legal_entities_deny")
        ]
        health = health_of(context.catalogue)
        assert (health.whole, health.repair_bytes) == (health.total, health.repair_bytes_least)


def record(kib_s: int) -> QualityRecord:
    return QualityRecord(Figures(kib_s, kib_s, 10, 100), 3)


async def test_a_provider_below_the_floor_gets_nothing_new_and_is_replaced_in_the_end(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, _):
        await backup(context, [os.fsencode(source)], silent)
        policy = context.policy().set("take.min_bandwidth_kib_s", "400").set("take.replace_after_epochs", "5")
        told: list[Decision] = []
        wants = replace(context, policy=lambda: policy, decided=told.append)
        measures = Measures(Home.create(tmp_path / "home"))
        first, other = sorted((m.id for m in ledger.members if m.id != CLIENT), key=lambda m: -shards_at(context, m))[
            :2
        ]
        members = [m.id for m in ledger.members if m.id != CLIENT]
        ledger.records = {m: [record(100 if m in (first, other) else 4000)] * 4 for m in members}
        ledger.records[other] = [record(300)] * 4
        held = shards_at(context, first)
        assert held
        for epoch in range(12, 12 + 5):
            ledger.epoch = epoch
            await watch(wants)
            await refresh_quality(wants, measures)
            assert await repair(wants, silent) == 0, "five epochs first"
        (tmp_path / "more").write_bytes(os.urandom(3_000_000))
        await backup(wants, [os.fsencode(tmp_path / "more")], silent)
        assert shards_at(context, first) == held, "nothing new meanwhile"
        ledger.epoch = 18
        await watch(wants)
        await refresh_quality(wants, measures)
        assert await repair(wants, silent) == held
        assert shards_at(context, first) == 0
        assert shards_at(context, other) > 0, "one at a time, the worst first"
        assert any(d.rule == "take.replace_after_epochs" and d.member == first for d in told)
        ledger.records[other] = [record(4000)] * 4
        await refresh_quality(wants, measures)
        assert below_since(context.catalogue, other) > 0, "who swings around the floor stays below it"
        assert await repair(wants, silent) == 0, "but nobody is replaced while it recovers"
        ledger.epoch = 21
        await refresh_quality(wants, measures)
        assert below_since(context.catalogue, other) == 0
        assert await repair(wants, silent) == 0


async def test_a_provider_slower_than_it_signed_for_is_below_the_floor_of_a_looser_policy(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, _):
        asks = context.policy().set("take.min_bandwidth_kib_s", "400")
        await Room(replace(context, policy=lambda: asks), silent).open(1 << 20)
        measures = Measures(Home.create(tmp_path / "home"))
        slow, quick = sorted(a.terms.provider for a in ledger.agreements.values())[:2]
        ledger.records = {slow: [record(300)] * 4, quick: [record(500)] * 4}
        await refresh_quality(context, measures)
        assert (below_since(context.catalogue, slow), below_since(context.catalogue, quick)) == (ledger.epoch, 0)


async def test_who_swings_around_the_floor_is_replaced_in_the_end(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, _):
        await backup(context, [os.fsencode(make_tree(tmp_path / "source"))], silent)
        policy = context.policy().set("take.min_bandwidth_kib_s", "400").set("take.replace_after_epochs", "6")
        wants = replace(context, policy=lambda: policy)
        measures = Measures(Home.create(tmp_path / "home"))
        swings = fullest(context)
        held = shards_at(context, swings)
        for epoch in range(12, 20):
            ledger.epoch = epoch
            ledger.records = {swings: [record(300 if epoch % 3 else 500)] * 4}
            await watch(wants)
            await refresh_quality(wants, measures)
            moved = await repair(wants, silent)
            assert moved == (held if epoch == 19 else 0), epoch
            assert below_since(context.catalogue, swings) == (0 if epoch == 12 else 13)


async def test_repair_keeps_to_its_rate_and_goes_on_in_the_next_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        await watch(context)
        victim = fullest(context)
        held = shards_at(context, victim)
        assert held > 1
        peers.shelves[victim].down = True
        ledger.change_member(victim, status=MemberStatus.LEFT)
        policy = context.policy().set("take.repair_kib_s", "1")
        slow = replace(context, policy=lambda: policy)
        slept: list[float] = []
        ahead = [0.0]

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            ahead[0] += max(0.0, seconds)

        monkeypatch.setattr("peerage.flow.repair.asyncio.sleep", sleep)
        monkeypatch.setattr("peerage.flow.repair.monotonic", lambda: ahead[0])
        said: list[str] = []
        calls = [await repair(slow, lambda event: said.append(event.get("message", "")))]
        while sum(calls) < held:
            calls.append(await repair(slow, silent))
        assert len(calls) > 1, "ten seconds are an epoch here"
        assert any("left for the next epoch" in message for message in said)
        assert calls == [1] * held, "at a KiB a second a stripe takes more than an epoch"
        assert sum(slept) == 10 * (held - 1)
        assert shards_at(context, victim) == 0
