"""A stream as a snapshot: whole or not at all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.flow.network import network

from peerage.chunk.cut import WINDOW
from peerage.errors import PeerageError, TooFewProviders, UserError
from peerage.flow import packer
from peerage.flow.backup import BackupOptions, backup
from peerage.flow.context import NodeContext, silent
from peerage.flow.restore import restore
from peerage.flow.snapshots import find, summaries
from peerage.flow.stream import Stream
from peerage.snapshot import tree

MIB = 1 << 20


def pieces(data: bytes, size: int, broken: bool = False) -> Callable[[], Awaitable[bytes]]:
    """Gives `data` piece by piece; at the end it ends, or breaks."""
    at = 0

    async def read() -> bytes:
        nonlocal at
        await asyncio.sleep(0)
        piece = data[at : at + size]
        at += size
        if not piece and broken:
            raise PeerageError("the stream was cut")
        return piece

    return read


async def store(context: NodeContext, read: Callable[[], Awaitable[bytes]], name: bytes = b"dump.sql") -> str:
    return (await backup(context, [], silent, BackupOptions(host="db1", stream=Stream(name, read)))).snapshot_id


@pytest.mark.parametrize("size", [0, 1, 300_000, WINDOW + 5, 30 * MIB])
async def test_a_stream_comes_back_as_a_file(tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    with network(tmp_path) as (context, ledger, _):
        id = await store(context, pieces(data, 100_001))
        summary = find(context, id)
        assert (summary.paths, summary.host, summary.files, summary.bytes) == ([b"/dump.sql"], "db1", 1, size)
        assert ledger.anchors[(1, 0)].number == 1
        await restore(context, id, tmp_path / "back", [], silent)
    assert (tmp_path / "back" / "dump.sql").read_bytes() == data


async def test_long_content_has_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(packer, "DIRECT_LIMIT", 3)
    monkeypatch.setattr(tree, "IDS_PER_LIST", 2)
    data = random.Random(7).randbytes(12 * MIB)
    with network(tmp_path) as (context, _, _):
        await restore(context, await store(context, pieces(data, MIB)), tmp_path / "back", [], silent)
    assert (tmp_path / "back" / "dump.sql").read_bytes() == data


async def test_the_same_stream_is_sent_once(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(20 * MIB)
    with network(tmp_path) as (context, _, _):
        first = await backup(context, [], silent, BackupOptions(stream=Stream(b"dump", pieces(data, MIB))))
        again = await backup(context, [], silent, BackupOptions(stream=Stream(b"dump", pieces(b"!" + data, MIB))))
        assert again.bytes_sent < first.bytes_sent / 4


@pytest.mark.parametrize("size", [0, 5, 20 * MIB])
async def test_a_stream_that_breaks_makes_no_snapshot(tmp_path: Path, size: int) -> None:
    with network(tmp_path) as (context, ledger, _):
        with pytest.raises(PeerageError, match="cut"):
            await store(context, pieces(random.Random(2).randbytes(size), MIB, broken=True))
        assert summaries(context) == []
        assert ledger.anchors == {}


async def test_a_backup_that_is_cancelled_while_its_stream_is_silent_ends(tmp_path: Path) -> None:
    silence = asyncio.Event()

    async def read() -> bytes:
        silence.set()
        await asyncio.sleep(3600)
        return b""

    with network(tmp_path) as (context, _, _):
        running = asyncio.create_task(store(context, read))
        await silence.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 10)
        assert summaries(context) == []


async def test_too_few_providers_end_it_at_once(tmp_path: Path) -> None:
    async def read() -> bytes:
        await asyncio.sleep(3600)
        return b""

    with network(tmp_path) as (context, _, peers):
        for shelf in peers.shelves.values():
            shelf.down = True
        with pytest.raises(TooFewProviders):
            await asyncio.wait_for(store(context, read), 20)


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"x" * 256, b"a\x00"])
def test_names_that_no_file_has(name: bytes) -> None:
    with pytest.raises(UserError, match="file name"):
        Stream(name, pieces(b"", 1))


@pytest.mark.parametrize("host", ["", "x" * 257])
def test_hosts_that_a_snapshot_cannot_carry(host: str) -> None:
    with pytest.raises(UserError, match="host"):
        BackupOptions(host=host)
