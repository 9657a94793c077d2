"""forget, hold and release: what is left in the catalogue, in the head, and after a kill at any step."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.flow.network import ShelfPeers, network

from peerage.errors import PeerError, UserError
from peerage.flow.backup import BackupOptions, backup
from peerage.flow.context import NodeContext, silent
from peerage.flow.forget import Selection, forget_by_rules, forget_named, hold
from peerage.flow.publish import record
from peerage.flow.restore import restore
from peerage.flow.snapshots import summaries
from peerage.model import MemberId
from peerage.snapshot.head import Head, open_head
from peerage.snapshot.retention import UNLIMITED, Rules, Stage
from peerage.snapshot.snapshot import encode_summary

DAY_NS = 86_400 * 10**9
START_NS = 1_700_000_000 * 10**9


def write(tree: Path, text: str) -> None:
    tree.mkdir(exist_ok=True)
    (tree / "file").write_text(text)


async def snapshots(context: NodeContext, tree: Path, count: int, tags: tuple[str, ...] = ()) -> list[str]:
    """One snapshot a day, each of another content; the clock is at the last one afterwards."""
    made = []
    start = context.clock_ns()
    for i in range(count):
        write(tree, f"{tags} {i} {start}")
        context.clock_ns = lambda day=i + 1: start + day * DAY_NS  # type: ignore[misc]
        made.append((await backup(context, [os.fsencode(tree)], silent, BackupOptions(tags=tags))).snapshot_id)
    return made


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def newest_head(context: NodeContext, peers: ShelfPeers) -> Head:
    """The newest head that a provider keeps."""
    shelf = peers.shelves[MemberId(3)]
    return open_head(shelf.objects[shelf.heads[0][1]], context.ring)


def listed(context: NodeContext) -> list[str]:
    return [s.id.hex() for s in summaries(context)]


async def test_rules_forget_in_the_catalogue_and_in_the_anchored_head(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        made = await snapshots(context, tmp_path / "tree", 4)
        ledger.time_s = context.clock_ns() // 10**9
        result = await forget_by_rules(context, Rules(last=2), Selection(), UTC, silent)
        assert ids(result.removed) == made[:2]
        assert [(row["id"], row["reasons"]) for row in result.kept] == [(made[2], ["last"]), (made[3], ["last"])]
        assert listed(context) == [s.id.hex() for s in newest_head(context, peers).snapshots] == made[2:]
        assert ledger.anchors[(1, 0)].number == result.head == 5
        await restore(context, "latest", tmp_path / "back", [], silent)
        with pytest.raises(UserError, match="there is no snapshot"):
            await restore(context, made[0], tmp_path / "gone", [], silent)


async def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, _):
        made = await snapshots(context, tmp_path / "tree", 3)
        result = await forget_by_rules(context, Rules(last=1), Selection(), UTC, silent, dry_run=True)
        assert (ids(result.removed), result.dry_run) == (made[:2], True)
        assert listed(context) == made
        assert ledger.anchors[(1, 0)].number == 3


async def test_when_all_are_kept_no_head_is_made(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, _):
        await snapshots(context, tmp_path / "tree", 2)
        await forget_by_rules(context, Rules(counts={"daily": UNLIMITED}), Selection(), UTC, silent)
        assert ledger.anchors[(1, 0)].number == 2


async def test_series_and_selections_are_judged_by_themselves(tmp_path: Path) -> None:
    with network(tmp_path) as (context, _, _):
        a = await snapshots(context, tmp_path / "a", 2, ("x",))
        b = await snapshots(context, tmp_path / "b", 2, ("y",))
        only = Selection(tags=["y"], paths=[os.fsencode(tmp_path / "b")])
        assert ids((await forget_by_rules(context, Rules(last=1), only, UTC, silent)).removed) == b[:1]
        nothing = await forget_by_rules(context, Rules(last=1), Selection(hosts=["another"]), UTC, silent)
        assert (nothing.kept, nothing.removed) == ([], [])
        assert ids((await forget_by_rules(context, Rules(last=1), Selection(), UTC, silent)).removed) == a[:1]
        assert listed(context) == [a[1], b[1]]


async def test_without_a_rule_nothing_is_forgotten(tmp_path: Path) -> None:
    with network(tmp_path) as (context, _, _), pytest.raises(UserError, match="what to keep"):
        await forget_by_rules(context, Rules(last=0, counts={"daily": 0}), Selection(), UTC, silent)


async def test_a_clock_far_ahead_of_the_chains_is_not_believed(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, _):
        made = await snapshots(context, tmp_path / "tree", 2)
        ledger.time_s = context.clock_ns() // 10**9
        write(tmp_path / "tree", "years ahead")
        context.clock_ns = lambda: START_NS + 4000 * DAY_NS
        made.append((await backup(context, [os.fsencode(tmp_path / "tree")], silent)).snapshot_id)
        warnings: list[dict[str, Any]] = []
        rules = Rules(stages=Stage.parse_all("30d:1d"))
        result = await forget_by_rules(context, rules, Selection(), UTC, warnings.append)
        assert ids(result.kept) == made
        assert "ahead" in warnings[0]["message"]


async def test_named_ones_are_forgotten_the_last_one_too(tmp_path: Path) -> None:
    with network(tmp_path) as (context, _, peers):
        made = await snapshots(context, tmp_path / "tree", 2)
        assert ids((await forget_named(context, [made[0][:8], "latest"], silent)).removed) == made
        assert listed(context) == newest_head(context, peers).snapshots == []
        with pytest.raises(UserError, match="no snapshot yet"):
            await forget_named(context, ["latest"], silent)


# -- holds -------------------------------------------------------------------------------------------------------------


async def test_a_held_one_stays_until_it_is_released(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        made = await snapshots(context, tmp_path / "tree", 3)
        held = await hold(context, made[0][:10], "audit 2026", silent)
        assert (held["hold"], held["head"]) == ("audit 2026", 4)
        assert [s.hold for s in newest_head(context, peers).snapshots] == ["audit 2026", None, None]
        assert ids((await forget_by_rules(context, Rules(last=1), Selection(), UTC, silent)).removed) == [made[1]]
        with pytest.raises(UserError, match=r"is held \(audit 2026\): `peerage release"):
            await forget_named(context, [made[0]], silent)
        with pytest.raises(UserError, match="is held"):
            await forget_named(context, [made[0]], silent, dry_run=True)
        assert listed(context) == [made[0], made[2]]
        await hold(context, made[0], None, silent)
        await forget_named(context, [made[0]], silent)
        assert listed(context) == [made[2]]
        assert ledger.anchors[(1, 0)].number == 7


async def test_holding_again_changes_nothing(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, _):
        await snapshots(context, tmp_path / "tree", 1)
        await hold(context, "latest", "", silent)
        await hold(context, "latest", "", silent)
        assert ledger.anchors[(1, 0)].number == 2
        assert summaries(context)[0].hold == ""
        with pytest.raises(UserError, match="256"):
            await hold(context, "latest", "x" * 257, silent)


async def test_what_is_held_while_forget_begins_is_not_lost(tmp_path: Path) -> None:
    with network(tmp_path) as (context, _, _):
        made = await snapshots(context, tmp_path / "tree", 2)
        async with context.publishing:  # forget has looked, and waits for its turn
            forgetting = asyncio.create_task(forget_named(context, [made[0]], silent))
            await asyncio.sleep(0.05)
            id, summary = bytes.fromhex(made[0]), summaries(context)[0]
            context.catalogue.add_head(2, bytes(32), b"", changed=[(id, encode_summary(replace(summary, hold="now")))])
        with pytest.raises(UserError, match="held"):
            await forgetting
        assert listed(context) == made


# -- crashes -----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """As kill -9: nothing after it happens, and nobody handles it."""


@asynccontextmanager
async def killed_at(context: NodeContext, monkeypatch: pytest.MonkeyPatch, step: str) -> AsyncIterator[None]:
    def die(*_: object, **__: object) -> None:
        raise Killed

    async def die_async(*_: object, **__: object) -> None:
        raise Killed

    where = {
        "the first copy of the head": (context.peers, "put_object", die_async),
        "all copies are there": (context.catalogue, "add_objects", die),
        "the row of the head": (context.catalogue, "add_head", die),
        "the co-signature": (context.peers, "cosign", die_async),
        "the anchor": (context.ledger, "anchor", die_async),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*where[step])
        with pytest.raises(Killed):
            yield
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:  # nothing of a killed process goes on
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@pytest.mark.parametrize(
    ("step", "forgotten"),
    [
        ("the first copy of the head", False),
        ("all copies are there", False),
        ("the row of the head", False),
        ("the co-signature", True),
        ("the anchor", True),
    ],
)
async def test_a_kill_leaves_one_state_or_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, forgotten: bool
) -> None:
    with network(tmp_path) as (context, ledger, peers):
        made = await snapshots(context, tmp_path / "tree", 3)
        async with killed_at(context, monkeypatch, step):
            await forget_named(context, made[:2], silent)
        assert listed(context) == (made[2:] if forgotten else made)
        await record(context, silent)  # what the daemon does in the next epoch
        assert listed(context) == (made[2:] if forgotten else made)
        assert ledger.anchors[(1, 0)].number == (4 if forgotten else 3)
        # The next backup's head lists what the catalogue does, and everything listed can be restored.
        made += await snapshots(context, tmp_path / "tree", 1)
        assert [s.id.hex() for s in newest_head(context, peers).snapshots] == listed(context)
        for i, id in enumerate(listed(context)):
            await restore(context, id, tmp_path / f"back{i}", [], silent)


async def test_a_catalogue_that_lost_its_newest_head_goes_on_above_the_anchor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with network(tmp_path) as (context, ledger, peers):
        made = await snapshots(context, tmp_path / "tree", 2)
        with monkeypatch.context() as patch:  # as a power loss takes the last writes of a database back
            for name in ("add_head", "set_counter", "mark_anchored"):
                patch.setattr(context.catalogue, name, lambda *_, **__: None)
            patch.setattr(context.catalogue, "newest_head", lambda: (3, bytes(32), b"", False))
            await forget_named(context, [made[0]], silent)
        assert listed(context) == made
        assert ledger.anchors[(1, 0)].number == 3
        await hold(context, made[1], "", silent)
        assert ledger.anchors[(1, 0)].number == 4
        assert [s.id.hex() for s in newest_head(context, peers).snapshots] == made


async def test_too_few_copies_of_the_head_forget_nothing(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        made = await snapshots(context, tmp_path / "tree", 2)
        for id in list(peers.shelves)[2:]:
            peers.shelves[id].down = True
        with pytest.raises(PeerError, match="took the head"):
            await forget_named(context, [made[0]], silent)
        assert listed(context) == made
        assert ledger.anchors[(1, 0)].number == 2
