"""find, diff and stats over the network in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.flow.network import network

from peerage.flow.backup import backup
from peerage.flow.context import NodeContext, silent
from peerage.flow.fetch import BlobCache, Fetcher
from peerage.flow.search import Wanted, compare, search
from peerage.flow.snapshots import load, summaries
from peerage.flow.stats import stats
from peerage.model import MIB
from peerage.snapshot.glob import Globs, names_of
from peerage.snapshot.tree import EntryType


def make_source(root: Path) -> Path:
    for name in ("docs/a.txt", "docs/deep/b.txt", "docs/deep/c.bin", "other/d.txt", "same/e.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 10)
    (root / "docs" / "link").symlink_to("a.txt")
    os.utime(root / "docs" / "a.txt", ns=(0, 1_000))
    (root / "docs" / "deep" / "c.bin").write_bytes(bytes(5000))
    return root


async def found(context: NodeContext, *patterns: str, every: bool = False, **limits: Any) -> list[str]:
    cache = BlobCache(context, Fetcher(context))
    known = summaries(context)
    wanted = Wanted(Globs(patterns), **limits)
    return [row["path"] async for row in search(cache, known if every else known[-1:], wanted)]


async def test_find_by_name_path_type_time_and_size(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(source)], silent)

        def at(*names: str) -> list[str]:
            return [str(source / name) for name in names]

        assert await found(context, "*.txt") == at("docs/a.txt", "docs/deep/b.txt", "other/d.txt", "same/e.txt")
        assert await found(context, "docs/*.txt") == at("docs/a.txt")
        assert await found(context, f"{source}/*/*.txt") == at("docs/a.txt", "other/d.txt", "same/e.txt")
        assert await found(context, "deep", "l*") == at("docs/deep", "docs/link")
        assert await found(context, "*", types=frozenset({EntryType.SYMLINK})) == at("docs/link")
        assert await found(context, "*", at_least=1000) == at("docs/deep/c.bin")
        assert await found(context, "*.txt", older_ns=2_000) == at("docs/a.txt")
        assert await found(context, "a.txt", newer_ns=1_000) == at("docs/a.txt")
        assert await found(context, "a.txt", newer_ns=1_001) == []
        assert await found(context, "c.bin", at_most=4999) == []
        (source / "other" / "d.txt").unlink()
        await backup(context, [os.fsencode(source)], silent)
        assert await found(context, "d.txt") == []
        assert await found(context, "d.txt", every=True) == at("other/d.txt")


async def changes(context: NodeContext, at: str = "/") -> dict[str, str]:
    cache = BlobCache(context, Fetcher(context))
    old, new = [await load(cache, s.id) for s in summaries(context)[-2:]]
    rows = [row async for row in compare(cache, old, new, names_of(os.fsencode(at)))]
    assert len({row["path"] for row in rows}) == len(rows)
    return {row["path"]: row["change"] + "".join(f" {f}" for f in row.get("fields", [])) for row in rows}


async def test_diff_tells_every_kind_of_change(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(source)], silent)
        (source / "docs" / "a.txt").write_text("changed")
        (source / "docs" / "deep" / "b.txt").chmod(0o600)
        (source / "docs" / "deep" / "c.bin").unlink()
        (source / "docs" / "deep" / "c.bin").mkdir()
        (source / "docs" / "deep" / "c.bin" / "inside").touch()
        (source / "other" / "d.txt").unlink()
        (source / "other").rmdir()
        (source / "new").mkdir()
        (source / "new" / "f").touch()
        (source / "docs" / "link").unlink()
        (source / "docs" / "link").symlink_to("deep")
        await backup(context, [os.fsencode(source)], silent)
        told = await changes(context)
        assert {path.removeprefix(f"{source}"): change for path, change in told.items()} == {
            "": "metadata mtime_ns",
            "/docs": "metadata mtime_ns",
            "/docs/a.txt": "content mtime_ns",
            "/docs/deep": "metadata mtime_ns",
            "/docs/deep/b.txt": "metadata mode",
            "/docs/deep/c.bin": "type",
            "/docs/deep/c.bin/inside": "added",
            "/docs/link": "content mtime_ns",
            "/new": "added",
            "/new/f": "added",
            "/other": "removed",
            "/other/d.txt": "removed",
        }
        below = await changes(context, f"{source}/docs/deep")
        assert set(below) == {path for path in told if path.startswith(f"{source}/docs/deep")}
        assert await changes(context, f"{source}/same") == {}
        assert await changes(context, "/elsewhere") == {}


async def test_diff_reads_only_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_source(tmp_path / "source")
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(source)], silent)
        (source / "docs" / "deep" / "b.txt").write_text("changed")
        await backup(context, [os.fsencode(source)], silent)
        got: list[bytes] = []
        real = BlobCache.get

        async def counting(self: BlobCache, id: Any) -> bytes:
            got.append(id)
            return await real(self, id)

        monkeypatch.setattr(BlobCache, "get", counting)
        assert await changes(context) == {f"{source}/docs/deep/b.txt": "content mtime_ns"}
        assert len(got) == 2 + 2 * 4  # the snapshots; the root, source, docs, deep of each


async def test_stats_add_up(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    (source / "big").write_bytes(os.urandom(3 * MIB))
    (source / "copy").write_bytes((source / "big").read_bytes())
    (source / "text").write_bytes(b"all the same\n" * 100_000)
    with network(tmp_path) as (context, _, peers):
        assert stats(context)["snapshots"] == 0
        for name in ("empty", "empty too"):
            (source / name).touch()
            await backup(context, [os.fsencode(source)], silent)
        got = stats(context)
        size = sum(p.stat().st_size for p in source.rglob("*") if p.is_file() and not p.is_symlink())
        assert (got["snapshots"], got["newest"]["bytes"], got["bytes"]) == (2, size, 2 * size)
        assert 4 * MIB < got["unique_bytes"] < 4 * MIB + 600_000  # the copies are one
        assert got["sealed_bytes"] < 3.2 * MIB
        assert got["dedup_ratio"] > 3
        heads = sum(length for shelf in peers.shelves.values() for _, _, length in shelf.heads)
        on_shelves = sum(len(data) for shelf in peers.shelves.values() for data in shelf.objects.values())
        # Shards of padding alone are alike, and one copy of them lies with each provider.
        assert on_shelves - heads <= got["stored_bytes"] < 1.02 * (on_shelves - heads)
        assert 1.5 <= got["redundancy"] < 2
