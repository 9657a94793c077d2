"""Pruning, in a network in memory: what is needed stays whole at every step, what is not leaves the providers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.flow.network import BookLedger, ShelfPeers, network
from tests.trees.compare import difference

from peerage.errors import IntegrityError
from peerage.flow.backup import BackupOptions, BackupResult, backup
from peerage.flow.context import NodeContext, silent
from peerage.flow.forget import forget_named
from peerage.flow.prune import Pack, plan_of, prune
from peerage.flow.publish import record
from peerage.flow.removal import cancel_removals, carry_out_removals, garbage_of, head_root
from peerage.flow.restore import restore
from peerage.model import MemberId, PackId, PackKind, ShardLocation
from peerage.source.select import Selector


def fill(directory: Path, seed: int, files: int = 12, size: int = 700_000) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    noise = random.Random(seed)
    for n in range(files):
        (directory / f"{seed}-{n}").write_bytes(noise.randbytes(size))


async def save(context: NodeContext, *paths: Path, exclude: Sequence[str] = ()) -> BackupResult:
    options = BackupOptions(Selector(list(exclude), False, False))
    return await backup(context, [os.fsencode(p) for p in paths], silent, options)


async def comes_back(context: NodeContext, snapshot: str, source: Path, target: Path) -> None:
    result = await restore(context, snapshot, target, [], silent)
    assert result.failed == []
    assert difference(source, target / source.name) == ""


def kept_bytes(peers: ShelfPeers) -> int:
    return sum(len(o) for shelf in peers.shelves.values() for o in shelf.objects.values())


async def after_retention(context: NodeContext, ledger: BookLedger) -> int:
    ledger.epoch = max((r.ready for r in context.catalogue.removals()), default=ledger.epoch)
    return await carry_out_removals(context, silent)


async def test_what_a_forgotten_snapshot_held_leaves_the_providers_when_its_retention_has_passed(
    tmp_path: Path,
) -> None:
    source = tmp_path / "source"
    with network(tmp_path) as (context, ledger, peers):
        fill(source / "old", 1)
        first = await save(context, source)
        before = kept_bytes(peers)
        for path in (source / "old").iterdir():
            path.unlink()
        fill(source / "new", 2, files=3)
        second = await save(context, source)
        await forget_named(context, [first.snapshot_id], silent)
        told = await prune(context, silent, dry_run=True)
        assert (told.packs_dropped, told.head) == (2, context.catalogue.counter("head"))
        result = await prune(context, silent)
        assert result.bytes_freed == told.bytes_freed
        assert result.removal_bytes > 12 * 700_000
        assert await carry_out_removals(context, silent) == 0, "not before its time"
        assert kept_bytes(peers) > before
        assert await after_retention(context, ledger) == result.removal_objects
        assert kept_bytes(peers) < before / 2
        await comes_back(context, second.snapshot_id, source, tmp_path / "out")
        again = await prune(context, silent)
        assert (again.packs_dropped, again.bytes_sent) == (0, 0)


async def test_waste_is_rewritten_and_the_rest_is_as_it_was(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with network(tmp_path) as (context, ledger, _):
        fill(source, 1, files=20)
        first = await save(context, source)
        for n in range(0, 20, 2):
            (source / f"1-{n}").unlink()
        second = await save(context, source)
        await forget_named(context, [first.snapshot_id], silent)
        result = await prune(context, silent)
        assert (result.packs_rewritten, result.bytes_rewritten > 10 * 700_000) == (1, True)
        await comes_back(context, second.snapshot_id, source, tmp_path / "out1")
        await after_retention(context, ledger)
        await comes_back(context, second.snapshot_id, source, tmp_path / "out2")
        third = await save(context, source)
        assert third.bytes_read == 0, "nothing that is needed is read again"


async def test_a_file_whose_chunks_were_pruned_is_read_again_though_it_did_not_change(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with network(tmp_path) as (context, ledger, _):
        fill(source, 1, files=3)
        first = await save(context, source)
        second = await save(context, source, exclude=["1-1"])
        await forget_named(context, [first.snapshot_id], silent)
        await prune(context, silent, max_unused_percent=0)
        await after_retention(context, ledger)
        third = await save(context, source)
        assert third.bytes_read == 700_000
        await comes_back(context, third.snapshot_id, source, tmp_path / "out")
        assert second.snapshot_id != third.snapshot_id


async def test_what_is_needed_again_saves_itself(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        fill(tmp_path / "source", 1)
        first = await save(context, tmp_path / "source")
        await save(context, tmp_path / "source", exclude=["*"])
        await forget_named(context, [first.snapshot_id], silent)
        result = await prune(context, silent)
        removal = context.catalogue.removals()[0]
        record = context.catalogue.pack(context.catalogue.pack_numbers(PackKind.META)[0])
        # As a repair would, it counts on the copy of a shard that is on its way out.
        shard = ShardLocation(0, removal.roots[0], MemberId(2), removal.agreement)
        context.catalogue.add_pack(replace(record, id=PackId(b"p" * 32), shards=(shard, *record.shards[1:])))
        assert await after_retention(context, ledger) == result.removal_objects - len(removal.roots)
        assert removal.agreement not in ledger.removals
        assert any(removal.roots[0] in shelf.objects for shelf in peers.shelves.values())


async def test_announced_removals_can_be_withdrawn(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        fill(tmp_path / "source", 1)
        first = await save(context, tmp_path / "source")
        await save(context, tmp_path / "source", exclude=["*"])
        await forget_named(context, [first.snapshot_id], silent)
        await prune(context, silent)
        before, announced = kept_bytes(peers), len(context.catalogue.removals())
        assert announced >= 6
        assert await cancel_removals(context) == announced
        ledger.epoch += 1_000
        assert await carry_out_removals(context, silent) == 0
        assert kept_bytes(peers) == before


class Dying:
    """Stands before the ledger or the peers, and dies after so many calls, as a killed process would."""

    def __init__(self, inner: object, calls: list[int]) -> None:
        self._inner, self._calls = inner, calls

    def __getattr__(self, name: str) -> object:
        member = getattr(self._inner, name)
        if not callable(member):
            return member

        async def call(*arguments: object, **named: object) -> object:
            self._calls[0] -= 1
            # A real provider signs again for who never got its signature (test_provide); these shelves do not.
            late = self._calls[0] == -1 and random.random() < 0.5 and name != "cosign"
            if self._calls[0] < 0 and not late:
                raise KilledError
            done = await member(*arguments, **named)
            if late:
                raise KilledError  # it was done, and we never heard of it
            return done

        return call


class KilledError(BaseException):
    pass


@pytest.mark.parametrize("seed", range(12))
async def test_killed_anywhere_nothing_is_lost_and_the_next_prune_finishes(tmp_path: Path, seed: int) -> None:
    source, chance = tmp_path / "source", random.Random(seed)
    random.seed(seed)
    with network(tmp_path) as (context, ledger, peers):
        fill(source, 1, files=10, size=300_000)
        first = await save(context, source)
        for n in range(0, 10, 2):
            (source / f"1-{n}").unlink()
        second = await save(context, source)
        await forget_named(context, [first.snapshot_id], silent)
        for _ in range(4):
            calls = [chance.randrange(90)]
            killed = replace(context, ledger=Dying(ledger, calls), peers=Dying(peers, calls), publishing=asyncio.Lock())
            with contextlib.suppress(KilledError):
                await prune(killed, silent)
                ledger.epoch += 200
                await carry_out_removals(killed, silent)
            # Whatever is still running has died too.
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
            await record(context, silent)
            await comes_back(context, second.snapshot_id, source, tmp_path / f"out{calls[0]}-{chance.random()}")
        for _ in range(3):
            await prune(context, silent)
            ledger.epoch += 200
            await carry_out_removals(context, silent)
        await comes_back(context, second.snapshot_id, source, tmp_path / "out")
        assert context.catalogue.removals() == []
        for agreement in context.catalogue.agreements():
            heads = [head_root(body) for _, body in context.catalogue.heads()]
            assert garbage_of(context, agreement.id, heads) == []
        # What was put and never co-signed is dropped by its provider after a week.
        signed = [len(s.objects[r]) for s in peers.shelves.values() for o in s.order.values() for r in o if any(r)]
        assert sum(size for size in signed if size > 32 * 1024) < 2 * 5 * 300_000, "no large shard is left over"


async def test_a_damaged_snapshot_stops_the_prune_before_anything_changes(tmp_path: Path) -> None:
    with network(tmp_path) as (context, _, _):
        fill(tmp_path / "source", 1, files=2)
        await save(context, tmp_path / "source")
        context.catalogue._db.execute("DELETE FROM chunks WHERE kind=0 AND ordinal=0")
        head = context.catalogue.counter("head")
        with pytest.raises(IntegrityError, match="nothing was pruned"):
            await prune(context, silent)
        assert context.catalogue.counter("head") == head


def test_the_plan() -> None:
    def pack(no: int, length: int, needed: int, kind: PackKind = PackKind.DATA) -> Pack:
        return Pack(no, kind, length << 20, needed << 20)

    full = [pack(n, 32, 32) for n in range(10)]
    plan = plan_of([*full, pack(20, 32, 0), pack(21, 32, 4), pack(22, 32, 31)], 5)
    assert ([p.no for p in plan.drop], [p.no for p in plan.rewrite]) == ([20], [21])
    assert plan.unused == 1 << 20
    assert [p.no for p in plan_of([*full, pack(22, 32, 31)], 0).rewrite] == [22]
    small = [pack(n, 2, 2) for n in range(30, 38)]
    assert plan_of([*full, *small[1:]], 5).rewrite == []
    assert sorted(plan_of([*full, *small], 5).rewrite) == small
