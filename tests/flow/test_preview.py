"""`backup --dry-run`: what it foretells is what the backup then does, and nothing is sent or kept."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from tests.flow.network import network
from tests.flow.test_backup_options import make_tree

from peerage.errors import UserError
from peerage.flow.backup import BackupOptions, backup
from peerage.flow.context import silent
from peerage.flow.preview import preview
from peerage.flow.snapshots import summaries
from peerage.source.select import Selector

OPTIONS = BackupOptions(Selector(["*.tmp", "/build"], exclude_caches=True))


async def test_it_foretells_the_backup(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    os.mkfifo(tree / "fifo")
    (tree / "link").symlink_to("nowhere")
    os.link(tree / "keep" / "a.txt", tree / "keep" / "again.txt")
    paths = [os.fsencode(tree)]
    with network(tmp_path) as (context, _, peers):
        told = await preview(context, paths, OPTIONS, silent)
        assert peers.puts == 0
        assert summaries(context) == []
        done = await backup(context, paths, silent, OPTIONS)
        assert (told.files, told.excluded, told.unreadable) == (done.files, done.excluded, [])
        assert told.bytes == done.bytes
        assert (told.new_files, told.changed_files, told.unchanged_files) == (3, 0, 1)
        assert told.new_bytes == done.bytes_read


async def test_it_tells_new_changed_and_unchanged_apart(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    await asyncio.sleep(0.05)  # what changed just before it was read is read again
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(tree)], silent)
        (tree / "keep" / "a.txt").write_text("longer than before")
        (tree / "new").write_text("1234")
        told = await preview(context, [os.fsencode(tree)], BackupOptions(), silent)
        assert (told.new_files, told.new_bytes) == (1, 4)
        assert (told.changed_files, told.changed_bytes) == (1, 18)
        assert told.unchanged_files == 5
        again = await backup(context, [os.fsencode(tree)], silent)
        assert told.new_bytes + told.changed_bytes == again.bytes_read


async def test_a_run_that_did_not_end_is_not_trusted(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    await asyncio.sleep(0.05)
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(tree)], silent)
        run, _ = context.catalogue.begin_run()
        path = os.fsencode(tree / "keep" / "a.txt")
        known = context.catalogue.file_state(path)
        assert known is not None
        assert (await preview(context, [path], BackupOptions(), silent)).unchanged_files == 1
        context.catalogue.set_file_states([(path, known._replace(run=run))])
        assert (await preview(context, [path], BackupOptions(), silent)).changed_files == 1


async def test_names_that_cannot_be_looked_at_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make_tree(tmp_path / "tree")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "socket"))  # which no backup keeps
    real = os.scandir

    def scandir(path: bytes) -> object:
        if path.endswith(b"/keep"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with network(tmp_path) as (context, _, _):
        told = await preview(context, [os.fsencode(tree)], BackupOptions(), silent)
        assert told.unreadable == [{"path": str(tree / "keep"), "reason": "Permission denied"}]
        assert told.files == 3
        with pytest.raises(UserError, match="not there"):
            await preview(context, [os.fsencode(tree / "none")], BackupOptions(), silent)
