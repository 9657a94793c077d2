"""restore's options: parts by pattern, over a tree that is there, rehearsed, verified. Network in memory."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.flow.network import network
from tests.trees.compare import difference
from tests.trees.make_tree import make_tree

from peerage.errors import UserError
from peerage.flow import fetch
from peerage.flow.backup import backup
from peerage.flow.context import NodeContext, silent
from peerage.flow.fetch import BlobCache, Fetcher
from peerage.flow.rehearse import rehearse
from peerage.flow.restore import RestoreOptions, RestoreResult, restore
from peerage.model import MIB
from peerage.snapshot.glob import Globs
from peerage.source.write import Restorer


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_PAUSE_S", 0.01)


def small_tree(root: Path) -> Path:
    for name in (
        "docs/a.txt",
        "docs/b.bin",
        "docs/deep/c.txt",
        "docs/deep/d.bin",
        "other/e.txt",
        "empty/nothing/x.bin",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"this is {name}\n" * 50)
    (root / "docs" / "link").symlink_to("a.txt")
    os.link(root / "docs" / "a.txt", root / "docs" / "deep" / "again.txt")
    return root


def names(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*")}


def facts(root: Path) -> dict[str, tuple[int, ...]]:
    """What would change if a name were replaced or touched."""
    found = {}
    for path in [root, *root.rglob("*")]:
        st = path.lstat()
        found[str(path.relative_to(root))] = (st.st_ino, st.st_ctime_ns, st.st_mode, st.st_size)
    return found


async def back(context: NodeContext, target: Path, *include: Path, **options: Any) -> RestoreResult:
    for name in ("patterns", "exclude"):
        options[name] = Globs(options.get(name, []))
    return await restore(
        context, "latest", target, [os.fsencode(p) for p in include], silent, RestoreOptions(**options)
    )


async def test_patterns_and_excludes_choose_parts(tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(source)], silent)
        await back(context, tmp_path / "txt", patterns=["*.txt"])
        assert names(tmp_path / "txt" / "source") == {
            "docs", "docs/a.txt", "docs/deep", "docs/deep/c.txt", "docs/deep/again.txt", "other", "other/e.txt",
        }  # fmt: skip
        assert (tmp_path / "txt/source/docs").stat().st_mtime_ns == (source / "docs").stat().st_mtime_ns
        await back(context, tmp_path / "deep", patterns=[f"{source}/docs/d*"], exclude=["*.bin"])
        assert names(tmp_path / "deep" / "source") == {"docs", "docs/deep", "docs/deep/c.txt", "docs/deep/again.txt"}
        await back(context, tmp_path / "less", exclude=["docs", "x.bin"])
        assert names(tmp_path / "less" / "source") == {"other", "other/e.txt", "empty", "empty/nothing"}
        both = tmp_path / "both"
        await back(context, both, source / "other", source / "docs" / "deep", patterns=["x.bin"])
        assert {"other/e.txt", "docs/deep/d.bin", "empty/nothing/x.bin"} <= names(both / "source")
        assert "docs/b.bin" not in names(both / "source")
        await back(context, tmp_path / "nested", source / "docs", source / "docs" / "deep")
        with pytest.raises(UserError, match="nothing in the snapshot matches"):
            await back(context, tmp_path / "none", patterns=["*.nope"])
        with pytest.raises(UserError, match="--in-place"):
            await back(context, tmp_path / "none", delete=True)


async def test_in_place_leaves_what_is_right_and_mends_the_rest(tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        target = tmp_path / "target"
        first = await back(context, target, in_place=True)
        assert (first.kept, first.failed) == (0, [])
        tree = target / "source"
        assert difference(source, tree) == ""
        before, read = facts(tree), peers.bytes_read
        again = await back(context, target, in_place=True)
        assert (again.kept, again.bytes) == (6, 0)
        assert facts(tree) == before  # not even a ctime
        listings = peers.bytes_read - read

        (tree / "docs" / "a.txt").write_text("overwritten")
        (tree / "docs" / "b.bin").chmod(0o600)
        (tree / "docs" / "mine").write_text("not in the snapshot")
        (tree / "docs" / "link").unlink()
        (tree / "docs" / "link").write_text("a file now")
        (tree / "docs" / "deep" / "again.txt").unlink()
        (tree / "docs" / "deep" / "again.txt").write_text("no link any more")
        (tree / "other" / "e.txt").unlink()
        (tree / "other").rmdir()
        (tree / "other").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere").mkdir()
        (tree / "empty" / "nothing" / "x.bin").unlink()
        (tree / "empty" / "nothing" / "x.bin").mkdir()
        result = await back(context, target, in_place=True)
        assert result.failed == []
        assert (tree / "docs" / "mine").read_text() == "not in the snapshot"
        assert list((tmp_path / "elsewhere").iterdir()) == []  # nothing went through the symlink
        (tree / "docs" / "mine").unlink()
        os.utime(tree / "docs", ns=(0, (source / "docs").stat().st_mtime_ns))
        assert difference(source, tree) == ""
        assert facts(tree)["docs/deep/c.txt"] == before["docs/deep/c.txt"]
        assert not [n for n in names(tree) if ".peerage-" in n]
        assert listings >= 0


async def test_a_directory_with_other_files_is_only_emptied_on_demand(tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(source)], silent)
        target = tmp_path / "target"
        in_the_way = target / "source" / "docs" / "b.bin"
        (in_the_way / "deep").mkdir(parents=True)
        (in_the_way / "deep" / "mine").write_text("mine")
        (target / "beside").write_text("beside")
        extra = target / "source" / "other" / "extra"
        extra.mkdir(parents=True)
        (extra / "f").touch()
        (target / "source" / "other" / "keep.me").touch()
        kept = await back(context, target, in_place=True)
        assert [f["path"] for f in kept.failed] == ["source/docs/b.bin"]
        assert (in_the_way / "deep" / "mine").read_text() == "mine"
        gone = await back(context, target, in_place=True, delete=True, exclude=["*.me"])
        assert gone.failed == []
        assert gone.deleted == 1
        assert (target / "beside").read_text() == "beside"  # the target itself was not backed up
        (target / "source" / "other" / "keep.me").unlink()
        os.utime(target / "source" / "other", ns=(0, (source / "other").stat().st_mtime_ns))
        assert difference(source, target / "source") == ""


async def test_delete_leaves_what_was_not_asked_for(tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(source / "docs"), os.fsencode(source / "other")], silent)
        target = tmp_path / "target"
        await back(context, target)
        tree = target / str(source)[1:] if not (target / "docs").exists() else target
        for name in ("docs/new", "docs/deep/new", "other/new", "new"):
            (tree / name).write_text("new")
        await back(context, target, source / "docs" / "deep", in_place=True, delete=True)
        assert not (tree / "docs" / "deep" / "new").exists()
        assert (tree / "docs" / "new").exists()
        await back(context, target, in_place=True, delete=True)
        assert not (tree / "docs" / "new").exists()
        assert not (tree / "other" / "new").exists()
        assert (tree / "new").exists()  # beside the source paths, which is not ours to empty


async def test_every_kind_of_file_in_place(tmp_path: Path) -> None:
    source = tmp_path / "source"
    make_tree(source, files=40, without=("deep",))  # which rsync cannot follow
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(source)], silent)
        target = tmp_path / "target"
        # A tree of the same names, but everything else about it is wrong.
        make_tree(target / "source", seed=7, files=30, without=("big", "sparse", "deep"))
        result = await back(context, target, in_place=True, delete=True, verify=True)
        assert result.failed == []
        assert result.mismatched == 0
        assert difference(source, target / "source") == ""
        settled = await back(context, target, in_place=True, delete=True)
        assert (settled.bytes, settled.deleted) == (0, 0)


async def test_verify_finds_what_size_and_time_do_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = small_tree(tmp_path / "source")
    with (source / "sparse").open("wb") as file:
        file.truncate(4 * MIB)
        file.seek(2 * MIB)
        file.write(b"data" * 2000)
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(source)], silent)
        target = tmp_path / "target"
        fresh = await back(context, target, verify=True)
        assert (fresh.verified, fresh.mismatched) == (7, 0)
        for name, offset in (("docs/b.bin", 5), ("sparse", 10), ("sparse", 2 * MIB + 1), ("sparse", 3 * MIB + 7)):
            path = target / "source" / name
            times = path.stat().st_mtime_ns
            with path.open("r+b") as file:
                file.seek(offset)
                file.write(b"#")
            os.utime(path, ns=(0, times))
            assert (await back(context, target, in_place=True)).kept == 7
            mended = await back(context, target, in_place=True, verify=True)
            assert (mended.kept, mended.mismatched, mended.failed) == (6, 0, []), (name, offset)
            assert difference(source, target / "source") == ""

        # A disk that keeps other bytes than it was given.
        real = Restorer.write

        def lying(self: Restorer, handle: Any, offset: int, data: Any) -> None:
            if handle.path[-1] == b"e.txt":
                data = bytes(data)[:-1] + b"?"
            real(self, handle, offset, data)

        monkeypatch.setattr(Restorer, "write", lying)
        lied = await back(context, tmp_path / "lied", verify=True)
        assert lied.mismatched == 1
        assert [f["path"] for f in lied.failed] == ["source/other/e.txt"]
        assert "differs from the snapshot" in lied.failed[0]["reason"]


async def test_a_rehearsal_touches_nothing_and_foretells_all(tmp_path: Path) -> None:
    source = small_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        target = tmp_path / "target"

        async def told(**options: Any) -> tuple[dict[str, str], dict[str, int]]:
            for name in ("patterns", "exclude"):
                options[name] = Globs(options.get(name, []))
            counts: dict[str, int] = {}
            cache = BlobCache(context, Fetcher(context))
            rows = rehearse(context, cache, "latest", target, [], RestoreOptions(**options), counts)
            return {row["path"].removeprefix("source/"): row["action"] async for row in rows}, counts

        everything, counts = await told()
        assert set(everything.values()) == {"create"}
        assert counts["create"] == len(everything) == len(names(source)) + 1
        assert counts["bytes"] == sum(
            p.lstat().st_size for p in source.rglob("*") if p.is_file() and not p.is_symlink()
        )
        assert not target.exists()
        await back(context, target)
        tree = target / "source"
        (tree / "docs" / "a.txt").write_text("changed")
        (tree / "docs" / "b.bin").chmod(0o600)
        (tree / "other" / "e.txt").unlink()
        (tree / "docs" / "deep" / "new").touch()
        before, read = facts(tree), peers.bytes_read
        actions, counts = await told(in_place=True, delete=True)
        assert facts(tree) == before
        assert actions == {
            "docs/a.txt": "replace",
            "docs/b.bin": "metadata",
            "docs/deep": "metadata",
            "docs/deep/again.txt": "replace",
            "docs/deep/new": "delete",
            "other": "metadata",
            "other/e.txt": "create",
        }
        assert counts["delete"] == 1
        assert peers.bytes_read - read < 100_000  # listings alone


async def test_one_file_of_a_twentieth_costs_little_more_than_itself(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rng = random.Random(9)
    for i in range(19):
        (source / f"{i:02}").write_bytes(rng.randbytes(4 * MIB))
    (source / "most of a pack").write_bytes(rng.randbytes(22 * MIB))
    for i in range(300):
        (source / f"small{i}").write_bytes(rng.randbytes(3000))
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        for wanted in ("00", "07", "most of a pack"):
            before = peers.bytes_read
            result = await back(context, tmp_path / wanted, source / wanted)
            fetched = peers.bytes_read - before
            assert (tmp_path / wanted / "source" / wanted).read_bytes() == (source / wanted).read_bytes()
            assert result.bytes_fetched == fetched
            assert fetched / (source / wanted).stat().st_size <= 1.2, wanted


async def test_the_old_file_stays_when_the_new_one_cannot_be_had(tmp_path: Path) -> None:
    """The old file stays until the new one is whole: a file whose data is lost is left as it was."""
    source = small_tree(tmp_path / "source")
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        target = tmp_path / "target"
        await back(context, target)
        path = target / "source" / "docs" / "b.bin"
        path.write_text("an older version")
        (target / "source" / "docs" / "extra").touch()
        for no in context.catalogue.pack_numbers():
            for shard in context.catalogue.pack(no).shards:
                if context.catalogue.pack(no).kind == 0:
                    peers.shelves[shard.provider].objects.pop(shard.root, None)
        result = await back(context, target, in_place=True, delete=True)
        assert [f["path"] for f in result.failed] == ["source/docs/b.bin"]
        assert (target / "source" / "docs" / "extra").exists()  # who lost something may need what is there
        assert path.read_text() == "an older version"
        assert stat.S_ISREG(path.lstat().st_mode)
        assert not [n for n in names(target) if ".peerage-" in n]
