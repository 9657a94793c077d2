"""Checking what is stored, and making a lost catalogue anew, in a network in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.flow.network import network
from tests.flow.test_prune import comes_back, fill, save

from peerage.errors import Busy, PeerUnavailable, UserError
from peerage.flow import rebuild as rebuild_module
from peerage.flow import recover
from peerage.flow.check import Subset, check
from peerage.flow.context import silent
from peerage.flow.forget import forget_named, hold
from peerage.flow.prune import prune
from peerage.flow.publish import record
from peerage.flow.rebuild import is_lost, rebuild_catalogue
from peerage.flow.removal import carry_out_removals
from peerage.flow.snapshots import summaries
from peerage.model import PackKind


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recover, "HEADS_WAIT_S", 0.3)
    monkeypatch.setattr(recover, "_ASK_AGAIN_S", 0.01)
    monkeypatch.setattr("peerage.flow.fetch._PAUSE_S", 0.01)


async def test_a_whole_network_checks_clean_and_all_of_it_is_read(tmp_path: Path) -> None:
    with network(tmp_path) as (context, _, _):
        fill(tmp_path / "source", 1)
        await save(context, tmp_path / "source")
        result = await check(context, silent, Subset.parse("100%"))
        assert (result.damage, result.unread, result.degraded, result.lost) == ([], [], 0, 0)
        assert result.packs == result.packs_read == len(context.catalogue.pack_numbers())
        assert result.bytes_read > 12 * 700_000
        assert (await check(context, silent)).packs_read == 0


async def test_parts_cover_all_packs_once() -> None:
    packs = list(range(1, 40))
    parts = [Subset.parse(f"{n}/7").choose(packs, 0) for n in range(1, 8)]
    assert sorted(no for part in parts for no in part) == packs
    assert len(Subset.parse("10%").choose(packs, 5)) == 4
    for wrong in ("", "0%", "101%", "5", "0/3", "4/3", "a/b", "x%"):
        with pytest.raises(UserError, match="give a share"):
            Subset.parse(wrong)


async def test_damage_is_named_by_file_and_by_pack(tmp_path: Path) -> None:
    with network(tmp_path) as (context, _, peers):
        fill(tmp_path / "source", 1, files=2)
        await save(context, tmp_path / "source")
        no = context.catalogue.pack_numbers(PackKind.DATA)[0]
        for shard in context.catalogue.pack(no).shards[:3]:
            del peers.shelves[shard.provider].objects[shard.root]
        result = await check(context, silent, Subset.parse("100%"))
        assert [e["pack"] for e in result.unread] == [context.catalogue.pack(no).id.hex()]
        assert result.damage == []
        context.catalogue._db.execute("DELETE FROM chunks WHERE kind=0 AND ordinal=1")
        result = await check(context, silent)
        assert [(e["path"].split("/")[-1][:2], "in no pack" in e["reason"]) for e in result.damage] == [("1-", True)]


async def test_a_lost_catalogue_is_made_anew(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        assert not await is_lost(context)
        with pytest.raises(UserError, match="nothing was ever backed up"):
            await rebuild_catalogue(context, silent)
        fill(tmp_path / "source", 1, files=4)
        gone = await save(context, tmp_path / "source")
        (tmp_path / "source" / "1-0").unlink()
        kept = await save(context, tmp_path / "source")
        await forget_named(context, [gone.snapshot_id], silent)
        await prune(context, silent, max_unused_percent=0)
        ledger.epoch += 500
        await carry_out_removals(context, silent)
        before = context.catalogue.snapshots()
        context.catalogue._db.execute("DELETE FROM heads")
        assert await is_lost(context)
        result = await rebuild_catalogue(context, silent)
        assert (result.head, result.anchor, result.snapshots) == (4, 4, 1)
        assert context.catalogue.snapshots() == before
        await comes_back(context, kept.snapshot_id, tmp_path / "source", tmp_path / "out")
        assert [name for name in os.listdir(tmp_path) if "rebuilding" in name] == []
        fill(tmp_path / "source", 2, files=2)
        again = await save(context, tmp_path / "source")
        assert again.records_waiting == []
        await comes_back(context, again.snapshot_id, tmp_path / "source", tmp_path / "out2")
        ledger.epoch += 500
        await prune(context, silent)
        assert await record(context, silent) == []
        assert peers.shelves


async def test_a_rebuild_takes_no_hold_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with network(tmp_path) as (context, _, _):
        fill(tmp_path / "source", 1, files=2)
        kept = await save(context, tmp_path / "source")
        await hold(context, "latest", "audit", silent)
        await rebuild_catalogue(context, silent)
        assert summaries(context)[0].hold == "audit"
        real = rebuild_module.rebuild

        async def slow(*arguments: Any) -> Any:
            found = await real(*arguments)
            await hold(context, "latest", "a better reason", silent)
            return found

        monkeypatch.setattr(rebuild_module, "rebuild", slow)
        with pytest.raises(Busy, match="meanwhile"):
            await rebuild_catalogue(context, silent)
        assert summaries(context)[0].hold == "a better reason"
        await comes_back(context, kept.snapshot_id, tmp_path / "source", tmp_path / "out")


async def test_a_rebuild_that_fails_leaves_the_old_catalogue(tmp_path: Path) -> None:
    with network(tmp_path) as (context, _, peers):
        fill(tmp_path / "source", 1, files=2)
        kept = await save(context, tmp_path / "source")
        for shelf in peers.shelves.values():
            shelf.down = True
        with pytest.raises(PeerUnavailable, match="no head could be had"):
            await rebuild_catalogue(context, silent)
        for shelf in peers.shelves.values():
            shelf.down = False
        await comes_back(context, kept.snapshot_id, tmp_path / "source", tmp_path / "out")
