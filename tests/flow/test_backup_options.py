"""What the options leave out of a snapshot, and the tags that it carries."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.flow.network import network

from peerage.errors import UserError
from peerage.flow.backup import BackupOptions, backup
from peerage.flow.context import silent
from peerage.flow.progress import Scan, scan_paths
from peerage.flow.restore import restore
from peerage.flow.snapshots import summaries
from peerage.source.select import CACHE_SIGNATURE, Selector


def make_tree(root: Path) -> Path:
    for name in ("keep/a.txt", "keep/b.tmp", "build/out.o", "keep/build/in.o", "cache/CACHEDIR.TAG", "cache/data"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CACHE_SIGNATURE if path.name == "CACHEDIR.TAG" else name.encode())
    return root


def names(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if not p.is_dir()}


async def test_what_is_excluded_is_neither_read_nor_restored(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    options = BackupOptions(Selector(["*.tmp", "/build"], exclude_caches=True), ("nightly", "büro"))
    scan = Scan()
    scan_paths([os.fsencode(tree)], scan, options.selector)
    with network(tmp_path) as (context, _ledger, _peers):
        result = await backup(context, [os.fsencode(tree)], silent, options)
        assert result.excluded == 2
        assert (result.files, result.bytes) == (scan.files, scan.bytes)
        assert summaries(context)[0].tags == ["nightly", "büro"]
        await restore(context, "latest", tmp_path / "out", [], silent)
    assert names(tmp_path / "out" / "tree") == {"keep/a.txt", "keep/build/in.o", "cache/CACHEDIR.TAG"}


async def test_other_file_systems_are_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make_tree(tmp_path / "tree")
    # A mount point needs a mount: let the selector believe that one directory is on another device.
    other = (tree / "keep").stat().st_ino
    real = os.stat

    def stat(path: object, **keywords: object) -> os.stat_result:
        st = real(path, **keywords)  # type: ignore[call-overload]
        fields = {name: getattr(st, name) for name in dir(st) if name.startswith("st_")}
        return os.stat_result((*st[:2], st.st_dev + 1, *st[3:]), fields) if st.st_ino == other else st

    monkeypatch.setattr(os, "stat", stat)
    with network(tmp_path) as (context, _ledger, _peers):
        await backup(context, [os.fsencode(tree)], silent, BackupOptions(Selector(one_file_system=True)))
        await restore(context, "latest", tmp_path / "out", [], silent)
    assert (tmp_path / "out" / "tree" / "keep").is_dir()
    assert names(tmp_path / "out" / "tree") == {"build/out.o", "cache/CACHEDIR.TAG", "cache/data"}


@pytest.mark.parametrize("tags", [("",), ("x" * 257,), ("x",) * 65])
def test_tags_that_a_snapshot_cannot_carry(tags: tuple[str, ...]) -> None:
    with pytest.raises(UserError):
        BackupOptions(tags=tags)
