"""Backup and restore through the real pipeline, over a network in memory; trees are compared by rsync."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.flow.network import member, network
from tests.trees.compare import difference

from peerage.deal.policy import Policy
from peerage.errors import TooFewProviders, TooFewShards, UserError
from peerage.flow import fetch
from peerage.flow.backup import backup
from peerage.flow.context import silent
from peerage.flow.health import health_of
from peerage.flow.publish import record
from peerage.flow.repair import repair
from peerage.flow.restore import restore
from peerage.flow.room import Room
from peerage.flow.watch import watch
from peerage.model import MIB, Code, PackId, PackKind


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_PAUSE_S", 0.01)


@contextmanager
def unreadable(name: bytes) -> Iterator[None]:
    """Nobody may open a file of this name, not even root."""
    real = os.open

    def refusing(path: object, *arguments: object, **keywords: object) -> int:
        if path == name:
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **keywords)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", refusing)
        yield


def make_tree(root: Path, seed: int = 1) -> Path:
    rng = random.Random(seed)
    root.mkdir()
    for d in range(4):
        directory = root / f"dir {d}"
        directory.mkdir()
        for f in range(30):
            (directory / f"file{f}.txt").write_bytes(rng.randbytes(rng.choice([0, 1, 700, 20_000])))
    (root / "big.bin").write_bytes(rng.randbytes(9 << 20))
    (root / "text.txt").write_text("all work and no play makes Jack a dull boy\n" * 200_000)
    os.link(root / "big.bin", root / "dir 0" / "again.bin")
    (root / "link").symlink_to("dir 1/file3.txt")
    with (root / "sparse").open("wb") as file:
        file.seek(5 << 20)
        file.write(b"after a hole" * 1000)
        file.truncate(12 << 20)
    (root / "hole").write_bytes(b"")
    os.truncate(root / "hole", 3 << 20)
    (root / os.fsdecode(b"bad\xff\xfename")).write_bytes(b"bytes are bytes")
    return root


def same(a: Path, b: Path) -> None:
    assert difference(a, b) == ""


async def test_everything_comes_back(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, _):
        result = await backup(context, [os.fsencode(source)], silent)
        assert result.unreadable == []
        assert result.records_waiting == []
        assert ledger.anchors[(1, 0)].number == 1
        back = await restore(context, "latest", tmp_path / "back", [], silent)
        assert back.failed == []
        same(source, tmp_path / "back" / "source")
        health = health_of(context.catalogue)
        assert (health.health, health.whole) == (1.0, health.total)


async def test_an_unchanged_run_sends_no_data_again(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, _):
        first = await backup(context, [os.fsencode(source)], silent)
        (source / "new.txt").write_text("new")
        second = await backup(context, [os.fsencode(source)], silent)
        assert second.bytes_sent < first.bytes_sent / 20
        assert second.snapshot_id != first.snapshot_id
        await restore(context, first.snapshot_id[:12], tmp_path / "first", [], silent)
        assert not (tmp_path / "first" / "source" / "new.txt").exists()
        await restore(context, "latest", tmp_path / "second", [], silent)
        same(source, tmp_path / "second" / "source")


async def test_two_providers_may_be_gone_and_one_rotten_chunk_of_the_rest_is_found(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        peers.shelves[3].down = True
        peers.shelves[5].rotten = True
        await restore(context, "latest", tmp_path / "back", [], silent)
        same(source, tmp_path / "back" / "source")
        for id in (2, 4, 6):  # three of eight are left, and no stripe has more than one shard with each
            peers.shelves[id].down = True
        with pytest.raises(TooFewShards):
            await restore(context, "latest", tmp_path / "again", [], silent)


async def test_providers_that_are_only_away_for_a_moment_are_asked_again(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        for id in (2, 3, 4, 5, 6):
            peers.shelves[id].away = 2
        result = await restore(context, "latest", tmp_path / "back", [], silent)
        assert result.failed == []
        same(source, tmp_path / "back" / "source")


async def test_a_file_whose_data_cannot_be_had_is_named_and_the_rest_comes_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rng = random.Random(3)
    for i in range(24):
        (source / f"{i}.bin").write_bytes(rng.randbytes(3 << 20))
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        first = context.catalogue.pack(context.catalogue.pack_numbers(PackKind.DATA)[0])
        for shard in first.shards[:3]:
            del peers.shelves[shard.provider].objects[shard.root]
        result = await restore(context, "latest", tmp_path / "back", [], silent)
        lost = {entry["path"] for entry in result.failed}
        assert lost
        assert all("good shards of the 4 needed" in entry["reason"] for entry in result.failed)
        for path in source.iterdir():
            back = tmp_path / "back" / "source" / path.name
            assert back.exists() != (f"source/{path.name}" in lost)
            assert not back.exists() or back.read_bytes() == path.read_bytes()
        assert len(lost) < 24


async def test_several_paths_lie_under_their_full_paths_and_include_takes_source_paths(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, _):
        one, two = source / "dir 1", source / "text.txt"
        await backup(context, [os.fsencode(one), os.fsencode(two)], silent)
        await restore(context, "latest", tmp_path / "back", [], silent)
        there = tmp_path / "back" / str(source).lstrip("/")
        same(one, there / "dir 1")
        assert (there / "text.txt").read_bytes() == two.read_bytes()
        wanted = one / "file4.txt"
        await restore(context, "latest", tmp_path / "part", [os.fsencode(wanted)], silent)
        found = [p for p in (tmp_path / "part").rglob("*") if p.is_file()]
        assert found == [tmp_path / "part" / str(wanted).lstrip("/")]
        with pytest.raises(UserError, match="not in the snapshot"):
            await restore(context, "latest", tmp_path / "none", [b"/nowhere"], silent)


async def test_one_file_lies_under_the_target_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "one.txt"
    file.write_text("alone")
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(file)], silent)
        await restore(context, "latest", tmp_path / "back", [], silent)
        assert (tmp_path / "back" / "one.txt").read_text() == "alone"


async def test_a_partial_restore_reads_little_more_than_it_needs(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rng = random.Random(5)
    for i in range(20):
        (source / f"{i}.bin").write_bytes(rng.randbytes(3 << 20))
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(source)], silent)
        result = await restore(context, "latest", tmp_path / "part", [os.fsencode(source / "7.bin")], silent)
        assert (tmp_path / "part/source/7.bin").read_bytes() == (source / "7.bin").read_bytes()
        assert result.bytes_fetched < 1.3 * (3 << 20)


async def test_a_provider_that_fails_is_replaced_in_the_same_run(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, peers):
        peers.shelves[4].fail_after = 0
        peers.shelves[6].full = True
        await backup(context, [os.fsencode(source)], silent)
        health = health_of(context.catalogue)
        assert health.whole == health.total > 0
        peers.shelves[2].down = peers.shelves[3].down = True
        await restore(context, "latest", tmp_path / "back", [], silent)
        same(source, tmp_path / "back" / "source")


async def test_a_provider_whose_agreement_is_full_gets_another_one(tmp_path: Path) -> None:
    """It may hold what no revision names, so it is full before we think so."""
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        for shelf in peers.shelves.values():
            shelf.filled = set(shelf.order)
        before = len(ledger.agreements)
        (source / "more").write_bytes(random.Random(9).randbytes(3_000_000))
        result = await backup(context, [os.fsencode(source)], silent)
        assert len(ledger.agreements) > before
        assert not result.records_waiting
        health = health_of(context.catalogue)
        assert health.whole == health.total
        await restore(context, "latest", tmp_path / "back", [], silent)
        same(source, tmp_path / "back" / "source")


async def test_too_few_providers_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    policy = Policy().set("take.code", "4+2")
    with network(tmp_path) as (context, _, peers):
        for id in range(2, 6):
            peers.shelves[id].down = True
        with pytest.raises(TooFewProviders, match="4 providers"):
            await backup(replace(context, policy=lambda: policy), [os.fsencode(source)], silent)
        assert peers.puts == 0


async def test_with_too_few_providers_for_the_usual_code_stripes_are_smaller(tmp_path: Path) -> None:
    source, events = make_tree(tmp_path / "source"), list[dict[str, Any]]()
    with network(tmp_path) as (context, _, peers):
        for id in range(2, 6):
            peers.shelves[id].down = True
        await backup(context, [os.fsencode(source)], events.append)
        warned = [e["message"] for e in events if e["event"] == "warning"]
        assert any("new stripes are 2+2, not 4+2" in message for message in warned), warned
        assert {code for _, code, _ in context.catalogue.stripes()} == {Code(2, 2)}
        peers.shelves[6].down = peers.shelves[9].down = True
        await restore(context, "latest", tmp_path / "back", [], silent)
        same(source, tmp_path / "back" / "source")


async def test_when_providers_go_away_in_the_middle_the_rest_is_stored_in_smaller_stripes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for i in range(30):
        (source / f"{i}.bin").write_bytes(random.Random(i).randbytes(3 << 20))
    with network(tmp_path) as (context, _, peers):
        for id in range(2, 6):
            peers.shelves[id].fail_after = 1
        await backup(context, [os.fsencode(source)], silent)
        assert Code(2, 2) in {code for _, code, _ in context.catalogue.stripes()}
        for id in range(2, 6):  # what they took before they went is needed, too
            peers.shelves[id].fail_after = None
            peers.shelves[id].down = False
        await restore(context, "latest", tmp_path / "back", [], silent)
        same(source, tmp_path / "back" / "source")


async def test_with_one_provider_short_stripes_start_degraded_and_repair_pays_the_debt(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, peers):
        for id in (2, 3, 4):
            peers.shelves[id].down = True
        result = await backup(context, [os.fsencode(source)], silent)
        health = health_of(context.catalogue)
        assert result.records_waiting == []
        assert (health.degraded, health.lost, health.health) == (health.total, 0, 1.0)
        peers.shelves[3].down = False
        await repair(context, silent)
        after = health_of(context.catalogue)
        assert after.whole == after.total


async def test_an_interrupted_backup_sends_only_what_is_missing(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rng = random.Random(9)
    for i in range(30):
        (source / f"{i}.bin").write_bytes(rng.randbytes(3 << 20))
    with network(tmp_path) as (context, _, peers):
        for shelf in peers.shelves.values():
            shelf.fail_after = 1
        with pytest.raises(TooFewProviders):
            await backup(context, [os.fsencode(source)], silent)
        kept = sum(len(o) for s in peers.shelves.values() for o in s.objects.values())
        assert kept > 0
        for shelf in peers.shelves.values():
            shelf.down, shelf.fail_after = False, None
        result = await backup(context, [os.fsencode(source)], silent)
        assert result.bytes_sent < 1.6 * (90 << 20) - kept / 2
        await restore(context, "latest", tmp_path / "back", [], silent)
        same(source, tmp_path / "back" / "source")


async def test_with_the_chain_away_records_wait_and_are_sent_later_once(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, _):
        await backup(context, [os.fsencode(source)], silent)
        (source / "late.txt").write_text("while the chain sleeps")
        real = ledger.revise

        async def away(*_: object) -> None:
            ledger.away = True
            ledger._reach()

        ledger.revise = away  # type: ignore[method-assign]
        result = await backup(context, [os.fsencode(source)], silent)
        assert result.records_waiting
        ledger.revise, ledger.away = real, False  # type: ignore[method-assign]
        assert await record(context, silent) == []
        assert ledger.anchors[(1, 0)].number == 2
        assert context.catalogue.queued_revisions() == []
        assert await record(context, silent) == []


async def test_with_the_chain_and_providers_away_stripes_start_degraded(tmp_path: Path) -> None:
    """Nobody new can be asked without the chain, although somebody new is there."""
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        (source / "late.txt").write_bytes(os.urandom(100_000))
        ledger.members.append(member(10))
        ledger.away = True
        for id in (2, 3, 4):
            peers.shelves[id].down = True
        result = await backup(context, [os.fsencode(source)], silent)
        assert result.records_waiting
        assert health_of(context.catalogue).lost == 0


async def test_lost_shards_are_put_elsewhere_and_the_next_loss_is_survived(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        bad = next(a for a in ledger.agreements.values() if a.terms.provider == 4)
        peers.shelves[4].rotten = True
        ledger.epoch = 14
        ledger.due = {(id, e) for id in ledger.agreements for e in (12, 13)}
        ledger.proofs = {(id, e) for id, e in ledger.due if id != bad.id}
        await watch(context)
        before = health_of(context.catalogue)
        assert before.degraded > 0
        assert await repair(context, silent) == before.degraded
        after = health_of(context.catalogue)
        assert (after.health, after.whole, after.repaired_shards) == (1.0, after.total, before.degraded)
        assert await repair(context, silent) == 0
        peers.shelves[2].down = peers.shelves[7].down = True
        await restore(context, "latest", tmp_path / "back", [], silent)
        same(source, tmp_path / "back" / "source")


async def test_one_missed_proof_of_a_sound_provider_moves_nothing(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, _):
        await backup(context, [os.fsencode(source)], silent)
        ledger.epoch, some = 13, next(iter(ledger.agreements))
        ledger.due = {(some, 12)}
        await watch(context)
        assert await repair(context, silent) == 0


async def test_providers_that_all_missed_their_last_proof_are_used_as_a_last_resort(tmp_path: Path) -> None:
    source, events = make_tree(tmp_path / "source"), list[dict[str, Any]]()
    with network(tmp_path) as (context, ledger, _):
        await backup(context, [os.fsencode(source)], silent)
        ledger.epoch, ledger.due = 13, {(id, 12) for id in ledger.agreements}
        await watch(context)
        (source / "new").write_bytes(os.urandom(100_000))
        await backup(context, [os.fsencode(source)], events.append)
    warned = [e["message"] for e in events if e["event"] == "warning"]
    assert any("who missed a proof or are too slow: using them" in message for message in warned), warned


async def test_a_provider_that_missed_its_last_proof_gets_nothing_while_the_others_suffice(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, ledger, _):
        await backup(context, [os.fsencode(source)], silent)
        some = next(iter(ledger.agreements))
        ledger.epoch, ledger.due = 13, {(some, 12)}
        await watch(context)
        room = Room(context, silent)
        await room.open(MIB)
        slots = await room.assign(PackId(bytes(32)), MIB, room.code)
        assert ledger.agreements[some].terms.provider not in {slot.provider for slot in slots.values()}


async def test_an_unreadable_file_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, _):
        with unreadable(b"text.txt"):
            result = await backup(context, [os.fsencode(source)], silent)
        assert [u["path"] for u in result.unreadable] == [str(source / "text.txt")]
        await restore(context, "latest", tmp_path / "back", [], silent)
        assert (tmp_path / "back/source/big.bin").exists()
        assert not (tmp_path / "back/source/text.txt").exists()


async def test_of_a_file_with_two_names_the_readable_one_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("one file")
    os.link(source / "a", source / "b")
    os.link(source / "a", source / "c")
    with network(tmp_path) as (context, _, _):
        with unreadable(b"a"):
            result = await backup(context, [os.fsencode(source)], silent)
        assert [u["path"] for u in result.unreadable] == [str(source / "a")]
        await restore(context, "latest", tmp_path / "back", [], silent)
        back = tmp_path / "back" / "source"
        assert sorted(p.name for p in back.iterdir()) == ["b", "c"]
        assert (back / "b").stat().st_ino == (back / "c").stat().st_ino


async def test_a_file_that_changes_while_it_is_read_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "growing").write_bytes(bytes(3 << 20))
    with network(tmp_path) as (context, _, _):
        real = socket.send_fds

        def growing(lane: socket.socket, buffers: list[bytes], fds: list[int]) -> int:
            with (source / "growing").open("ab") as file:
                file.write(b"more")
            return real(lane, buffers, fds)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "send_fds", growing)
            os.truncate(source / "growing", 3 << 20)
            result = await backup(context, [os.fsencode(source)], silent)
        assert [u["reason"] for u in result.unreadable] == ["it changed while it was read"]
