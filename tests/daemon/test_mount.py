"""A real mount of snapshots, served by a daemon's owner's interface over the network in memory."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.flow.network import network
from tests.trees.compare import difference
from tests.trees.make_tree import make_tree

from peerage.daemon.owner import OwnerServer
from peerage.daemon.reading import ReadingVerbs
from peerage.flow import fetch
from peerage.flow.backup import BackupOptions, backup
from peerage.flow.context import NodeContext, Report, silent
from peerage.flow.forget import shown
from peerage.flow.snapshots import summaries

MIB = 1 << 20

pytestmark = pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="this machine has no /dev/fuse")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_PAUSE_S", 0.01)


@asynccontextmanager
async def serving(home: Path, context: NodeContext) -> AsyncIterator[OwnerServer]:
    reading = ReadingVerbs(lambda: context)

    async def snapshots(_params: dict[str, Any], _report: Report) -> dict[str, Any]:
        return {"snapshots": [shown(s) for s in summaries(context)]}

    verbs = {"tree": reading.tree, "read": reading.read, "links": reading.links, "files": reading.files}
    server = OwnerServer(home, {"snapshots": snapshots}, verbs, {})
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


run = asyncio.to_thread
"""For what touches the mount: it must not hold up the loop that serves it."""


def is_mounted(where: Path) -> bool:
    """By the kernel's list: asking the mount itself would wait for its answer."""
    return f" {where} " in Path("/proc/self/mounts").read_text()


def start(home: Path, where: Path) -> subprocess.Popen[str]:
    where.mkdir()
    command = [sys.executable, "-m", "peerage.cli.main", "--home", str(home), "mount", str(where)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str], where: Path) -> None:
    process.kill()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()
    if is_mounted(where):
        subprocess.run(["umount", "-l", str(where)], check=False)


@asynccontextmanager
async def mounted(home: Path, where: Path) -> AsyncIterator[subprocess.Popen[str]]:
    """The mount's process; ends it like Ctrl-C, and checks that it ends well."""
    process = await run(start, home, where)
    try:
        for _ in range(200):
            if await run(is_mounted, where) or process.poll() is not None:
                break
            await asyncio.sleep(0.05)
        assert await run(is_mounted, where), process.communicate()[1]
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        assert await run(process.wait, 20) == 0
        assert not await run(is_mounted, where)
    finally:
        await run(end, process, where)


def listing(root: Path) -> str:
    """`ls -lR`, but for the sizes of directories and their counts of subdirectories, and the digests of all files."""
    without = "grep -v ^total | sed -E 's/^(d[^ ]+) +[0-9]+ +([0-9]+ +[0-9]+) +[0-9]+/\\1 \\2/; s/ +/ /g'"
    command = f"ls -lRn --time-style=full-iso . | {without}; find . -type f -print0 | sort -z | xargs -0 sha256sum"
    return subprocess.run(
        ["sh", "-c", command], cwd=root, capture_output=True, text=True, errors="surrogateescape", check=True
    ).stdout


async def test_every_kind_of_file_is_there(tmp_path: Path) -> None:
    source = tmp_path / "source"
    make_tree(source, files=60, without=("deep",))  # which neither ls -R nor rsync can follow
    home, where = tmp_path / "home", tmp_path / "mnt"
    home.mkdir()
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(source)], silent, BackupOptions(tags=("nightly",)))
        async with serving(home, context), mounted(home, where):
            latest = await run(os.readlink, where / "latest")
            assert latest.startswith("snapshots/2023-11-14T22-13-20Z_")
            assert await run(os.listdir, where / "tags" / "nightly") == [latest.removeprefix("snapshots/")]
            there = where / "latest" / "source"
            assert await run(difference, source, there) == ""
            theirs = await run(listing, there)
            assert theirs == await run(listing, source)
            assert theirs.count("\n") > 300
            for refused in (
                lambda: (there / "new").write_text("x"),
                lambda: (there / "empty" / "file").unlink(),
                lambda: os.open(there / "empty" / "file", os.O_WRONLY),
            ):
                with pytest.raises(OSError, match="Read-only"):
                    await run(refused)
            with pytest.raises(FileNotFoundError):
                await run(os.stat, where / "snapshots" / "nothing")


async def test_paths_beyond_four_kilobytes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    parts = ("ordinary", "empty", "names", "symlinks", "hard_links", "sparse", "specials", "modes", "owners")
    make_tree(source, files=1, without=(*parts[1:], "attributes", "acls", "big"))
    home, where = tmp_path / "home", tmp_path / "mnt"
    home.mkdir()
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(source)], silent)
        async with serving(home, context), mounted(home, where):

            def deepest(root: Path) -> tuple[int, bytes]:
                fd, level = os.open(root / "deep", os.O_RDONLY), 0
                while (name := f"{level:03}-" + "d" * 196) in os.listdir(fd):
                    fd, level = os.open(name, os.O_RDONLY, dir_fd=fd), level + 1
                return level, os.read(os.open("hard link", os.O_RDONLY, dir_fd=fd), 100)

            assert await run(deepest, where / "latest" / "source") == deepest(source) == (25, b"at level 24\n")


async def test_reads_fetch_what_they_need_and_little_more(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "big").write_bytes(os.urandom(50 * MIB))
    home, where = tmp_path / "home", tmp_path / "mnt"
    home.mkdir()
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        async with serving(home, context), mounted(home, where):
            big = where / "latest" / "source" / "big"

            def piece(offset: int, length: int) -> bytes:
                with big.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                    return os.pread(file.fileno(), length, offset)

            whole = (source / "big").read_bytes()
            await run(big.stat)
            before = peers.bytes_read
            assert await run(piece, 40 * MIB + 77, 5000) == whole[40 * MIB + 77 : 40 * MIB + 5077]
            assert 0 < peers.bytes_read - before < 9 * MIB  # the chunks that touch one block
            before = peers.bytes_read
            assert await run(piece, 40 * MIB + 99, 5000) == whole[40 * MIB + 99 : 40 * MIB + 5099]
            assert peers.bytes_read == before
            digest = await run(lambda: hashlib.sha256(big.read_bytes()).digest())
            assert digest == hashlib.sha256(whole).digest()
            assert peers.bytes_read - before < 1.2 * 50 * MIB
            before = peers.bytes_read
            everywhere = await asyncio.gather(*(run(piece, n * MIB, 3 * MIB) for n in range(0, 48, 6)))
            assert everywhere == [whole[n * MIB : (n + 3) * MIB] for n in range(0, 48, 6)]


async def test_a_daemon_that_goes_and_comes_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "file").write_bytes(os.urandom(3 * MIB))
    (source / "sub" / "other").write_text("other")
    home, where = tmp_path / "home", tmp_path / "mnt"
    home.mkdir()
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        async with serving(home, context) as server, mounted(home, where) as process:
            there = where / "latest" / "source"
            assert sorted(await run(os.listdir, there)) == ["file", "sub"]
            await server.stop()
            with pytest.raises(OSError, match="Input/output") as caught:
                await run(os.listdir, there / "sub")
            assert caught.value.errno == errno.EIO
            await server.start()
            assert await run(os.listdir, there / "sub") == ["other"]
            for shelf in peers.shelves.values():
                shelf.down = True
            with pytest.raises(OSError, match="Input/output"):
                await run((there / "file").read_bytes)
            for shelf in peers.shelves.values():
                shelf.down = False
            assert process.poll() is None
            # Afterwards a new snapshot is seen without a new mount.
            (source / "new").touch()
            await backup(context, [os.fsencode(source)], silent)
            for _ in range(100):
                if len(await run(os.listdir, where / "snapshots")) == 2:
                    break
                await asyncio.sleep(0.1)
            assert "new" in await run(os.listdir, where / "latest" / "source")
            await run(subprocess.run, ["fusermount3", "-u", str(where)])
            assert await run(process.wait, 20) == 0


async def test_what_cannot_be_mounted(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()

    def ask(where: Path) -> tuple[int, str]:
        command = [sys.executable, "-m", "peerage.cli.main", "--home", str(home), "mount", str(where)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stderr

    (tmp_path / "file").touch()
    for where, said in ((tmp_path / "file", "not a directory"), (tmp_path / "none", "make the directory")):
        code, told = await run(ask, where)
        assert (code, told.count("\n")) == (5, 1)
        assert said in told
    (tmp_path / "mnt").mkdir()
    code, told = await run(ask, tmp_path / "mnt")
    assert (code, "no daemon runs" in told) == (5, True)
