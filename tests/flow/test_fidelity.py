"""Random trees through the whole pipeline, over a network in memory, compared by a program that is not ours.

PEERAGE_FIDELITY_EXAMPLES: how many trees (25); hundreds are a night's work.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.flow.network import network
from tests.trees import random_tree
from tests.trees.compare import difference, difference_by_tar
from tests.trees.random_tree import DEEP, Forest, Node

from peerage.flow.backup import backup
from peerage.flow.context import silent
from peerage.flow.restore import restore

EXAMPLES = int(os.environ.get("PEERAGE_FIDELITY_EXAMPLES", "25"))


def assert_same(source: Path, target: Path, deep: bool) -> None:
    """rsync compares all but paths over 4 KiB, which it cannot follow; tar those too."""
    assert difference(source, target, f"--exclude={DEEP.decode()}/*", "--modify-window=-1") == ""
    if deep:
        assert difference_by_tar(source, target) == ""


def assert_no_holes_lost(forest: Forest, target: Path) -> None:
    """rsync and tar compare contents only. A few blocks more are the file system's own affair."""
    for names in forest.others:
        path = os.path.join(*names)
        if DEEP not in names and len(path) < 3000:
            there, back = (os.lstat(os.path.join(os.fsencode(root), path)) for root in (forest.root, target))
            assert back.st_blocks <= there.st_blocks + 16, path


@pytest.mark.timeout(180 + 10 * EXAMPLES)
@settings(
    max_examples=EXAMPLES,
    phases=set(Phase) - {Phase.explain},
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(random_tree.trees, random_tree.large_files, random_tree.changes, st.lists(random_tree.nodes, max_size=4))
def test_random_trees_come_back_and_so_does_what_they_become(
    tmp_path_factory: pytest.TempPathFactory,
    nodes: list[Node],
    large: list[int],
    changes: list[tuple[str, int, int]],
    more: list[Node],
) -> None:
    base = tmp_path_factory.mktemp("fidelity")
    source = base / "source"
    source.mkdir()
    forest = Forest(source)
    forest.grow(nodes)
    for number, size in enumerate(large):
        with forest.at((b"",)) as fd:
            forest.write(fd, b"large %d" % number, size, size)
    try:
        asyncio.run(twice(base, forest, changes, more))
    finally:
        subprocess.run(["rm", "-rf", str(base)], check=True)


async def twice(base: Path, forest: Forest, changes: list[tuple[str, int, int]], more: list[Node]) -> None:
    """Back up, restore, change, back up, restore both."""
    source = forest.root
    with network(base) as (context, _, _):
        first = await backup(context, [os.fsencode(source)], silent)
        assert first.unreadable == []
        assert (await restore(context, "latest", base / "one", [], silent)).failed == []
        assert_same(source, base / "one" / "source", forest.deep)
        deep_before = forest.deep
        forest.change(changes)
        forest.grow(more)
        second = await backup(context, [os.fsencode(source)], silent)
        assert second.unreadable == []
        assert (await restore(context, second.snapshot_id, base / "two", [], silent)).failed == []
        assert_same(source, base / "two" / "source", forest.deep)
        assert_no_holes_lost(forest, base / "two" / "source")
        assert (await restore(context, first.snapshot_id, base / "again", [], silent)).failed == []
        assert_same(base / "one" / "source", base / "again" / "source", deep_before)


def break_time(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def break_link(path: Path) -> None:
    other = path.with_name("other")
    st_ = path.stat()
    other.unlink()
    other.write_bytes(path.read_bytes())
    other.chmod(st_.st_mode)
    os.setxattr(other, "user.a", b"v")
    os.utime(other, ns=(0, st_.st_mtime_ns))


def break_content(path: Path) -> None:
    time_ns = path.stat().st_mtime_ns
    path.write_text("CONTENT")
    os.utime(path, ns=(0, time_ns))


@pytest.mark.parametrize(
    "harm",
    [
        break_time,
        break_link,
        lambda path: path.chmod(0o4755),
        lambda path: os.setxattr(path, "user.a", b"w"),
        break_content,
        lambda path: os.mkfifo(path.with_name("more")),
    ],
    ids=["a nanosecond", "a hard link", "setuid", "an attribute", "content", "one more"],
)
def test_the_comparison_sees(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    for side in ("one", "two"):
        path = tmp_path / side / "file"
        path.parent.mkdir()
        path.write_text("content")
        os.setxattr(path, "user.a", b"v")
        os.link(path, path.with_name("other"))
        os.utime(path, ns=(0, 10**18 + 7))
        os.utime(path.parent, ns=(0, 10**18))
    assert_same(tmp_path / "one", tmp_path / "two", deep=True)
    harm(tmp_path / "two" / "file")
    os.utime(tmp_path / "two", ns=(0, 10**18))
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "one", tmp_path / "two", deep=False)
    with pytest.raises(AssertionError):
        assert difference_by_tar(tmp_path / "one", tmp_path / "two") == ""
