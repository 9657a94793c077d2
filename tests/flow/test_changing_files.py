"""Files that change, vanish or turn into something else while they are backed up, by another process.

The backup ends and names them, and what it made can be restored.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.flow import meddler
from tests.flow.network import network

from peerage.flow.backup import BackupResult, backup
from peerage.flow.context import NodeContext, silent
from peerage.flow.restore import restore

ROOT = Path(__file__).parents[2]
BEFORE = 12_000
"""Names that the walker has to pass before it comes to those that change: half a second of work."""


@contextmanager
def meddling(mode: str, directory: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.flow.meddler", mode, str(directory), str(os.getpid())]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == meddler.READY
            yield process
        finally:
            process.kill()


def named(result: BackupResult, source: Path) -> dict[str, str]:
    return {os.path.relpath(row["path"], source): row["reason"] for row in result.unreadable}


async def restored(context: NodeContext, back: Path) -> Path:
    result = await restore(context, "latest", back, [], silent)
    assert result.failed == []
    return back / "source"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    (path / "stays").write_text("as it is")
    return path


async def test_names_that_change_between_the_listing_and_the_look(tmp_path: Path, source: Path) -> None:
    last = source / "last"
    last.mkdir()
    for number in range(BEFORE):
        (last / f"a {number:05}").write_bytes(b"%d" % number)
    for name in ("vanishes", "becomes a symlink", "becomes a fifo", "becomes a directory", "becomes another"):
        (last / f"z {name}").write_text("before")
    (last / "z vanishes too").mkdir()
    (last / "z vanishes too" / "inside").write_text("inside")
    with network(tmp_path) as (context, _, _), meddling("once", source) as process:
        result = await backup(context, [os.fsencode(source)], silent)
        assert process.wait(10) == 0, "the walker had gone by before anything changed"
        assert named(result, source) == {
            "last/z vanishes": "No such file or directory",
            "last/z vanishes too": "No such file or directory",
        }
        back = await restored(context, tmp_path / "back")
    assert len(os.listdir(back / "last")) == BEFORE + 4
    assert (back / "stays").read_text() == "as it is"
    assert os.readlink(back / "last" / "z becomes a symlink") == meddler.SECRET
    assert (back / "last" / "z becomes a fifo").is_fifo()
    assert (back / "last" / "z becomes a directory" / "inside").read_text() == "inside"
    assert (back / "last" / "z becomes another").read_text() == "another"


async def test_a_file_that_grows_all_the_time(tmp_path: Path, source: Path) -> None:
    log = source / "log"
    log.write_bytes(b"the first line\n" * (1 << 21))
    with network(tmp_path) as (context, _, _):
        with meddling("grow", source):
            result = await backup(context, [os.fsencode(source)], silent)
        assert named(result, source) == {"log": "it changed while it was read"}
        back = await restored(context, tmp_path / "back")
        kept = (back / "log").read_bytes()
        assert len(kept) >= 15 << 21
        assert log.read_bytes().startswith(kept)
        # Not taken for unchanged: the next backup, in peace, has all of it.
        assert (await backup(context, [os.fsencode(source)], silent)).unreadable == []
        assert (await restored(context, tmp_path / "whole") / "log").read_bytes() == log.read_bytes()


async def test_a_file_that_is_cut_short_while_it_is_read(tmp_path: Path, source: Path) -> None:
    large = source / "large"
    content = random.Random(1).randbytes(160 << 20)
    large.write_bytes(content)
    with network(tmp_path) as (context, _, _):
        with meddling("cut", source) as process:
            result = await backup(context, [os.fsencode(source)], silent)
            assert process.wait(10) == 0
        assert named(result, source) == {"large": "it changed while it was read"}
        back = await restored(context, tmp_path / "back")
        kept = (back / "large").read_bytes()
        assert 0 < len(kept) < len(content)
        assert content.startswith(kept)
        assert (back / "stays").read_text() == "as it is"


async def test_a_storm_of_replacements(tmp_path: Path, source: Path) -> None:
    """Names that are a file, a symlink to a secret, a fifo that nobody writes to, and a directory by turns."""
    changing = source / "changing"
    changing.mkdir()
    for number in range(300):
        (changing / f"{number:03}").write_text("content\n")
    reasons: set[str] = set()
    with network(tmp_path) as (context, _, _), meddling("storm", changing) as process:
        for turn in range(4):
            result = await backup(context, [os.fsencode(source)], silent)
            for path, reason in named(result, source).items():
                assert path == "spare" or path.startswith("changing/"), (path, reason)
                reasons.add(reason)
            back = await restored(context, tmp_path / f"back{turn}")
            assert (back / "stays").read_text() == "as it is"
            for path in (back / "changing").iterdir():
                if path.is_symlink():
                    assert os.readlink(path) == meddler.SECRET
                elif path.is_file():
                    assert set(path.read_bytes().splitlines()) <= {b"content", b""}, "a symlink was followed"
        assert process.poll() is None
    assert reasons, "the storm changed nothing that mattered"
    assert reasons <= {
        "No such file or directory",
        "it changed while it was read",
        "is no longer a regular file",
        "is no longer a directory",
        "Invalid argument",  # of a symlink's target, when it is none any more
    }


UNREADABLE = Path("/proc/sys/vm/compact_memory")  # nobody may, not even root


@pytest.mark.skipif(not UNREADABLE.exists() or os.access(UNREADABLE, os.R_OK), reason="this system has no such file")
async def test_the_reason_does_not_begin_with_the_name(tmp_path: Path) -> None:
    with network(tmp_path) as (context, _, _):
        result = await backup(context, [os.fsencode(UNREADABLE.parent)], silent)
    assert {"path": str(UNREADABLE), "reason": "Permission denied"} in result.unreadable
