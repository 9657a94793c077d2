"""Reading files of a snapshot in place: any range, over the network in memory."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from tests.flow.network import ShelfPeers, network

from peerage.errors import TooFewShards, UserError
from peerage.flow import fetch
from peerage.flow.backup import backup
from peerage.flow.context import NodeContext, silent
from peerage.flow.fetch import BlobCache, Fetcher
from peerage.flow.files import WINDOW, ChunkCache, Layout, Reader
from peerage.flow.snapshots import lookup
from peerage.model import KIB, MIB, PackKind
from peerage.snapshot.tree import Entry, EntryType


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_PAUSE_S", 0.01)


def make_source(root: Path) -> Path:
    rng = random.Random(5)
    root.mkdir()
    (root / "big").write_bytes(rng.randbytes(21 * MIB + 321))
    (root / "small").write_bytes(b"small")
    (root / "empty").touch()
    with (root / "sparse").open("wb") as file:
        for at in (0, 5 * MIB, 9 * MIB + 4096, 20 * MIB):
            file.seek(at)
            file.write(rng.randbytes(300_000))
        file.truncate(30 * MIB)
    with (root / "hole").open("wb") as file:
        file.truncate(3 * MIB)
    (root / "link").symlink_to("small")
    return root


async def read(reader: Reader, name: bytes, offset: int = 0, length: int | None = None) -> bytes:
    entry = await lookup(reader.blobs, await reader.snapshot("latest"), b"source/" + name)
    assert entry is not None
    return b"".join([piece async for piece in reader.read(await reader.content(entry), offset, length)])


async def test_any_range_of_any_file(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    rng = random.Random(1)
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(source)], silent)
        reader = Reader(context)
        for name in ("big", "small", "empty", "sparse", "hole"):
            whole = (source / name).read_bytes()
            assert await read(reader, name.encode()) == whole, name
            for _ in range(20):
                offset, length = rng.randrange(len(whole) + 2), rng.choice([0, 1, 4096, MIB, WINDOW + 1])
                assert await read(reader, name.encode(), offset, length) == whole[offset : offset + length], (
                    name,
                    offset,
                )


async def test_a_range_costs_little_more_than_its_chunks(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        reader = Reader(context)
        await read(reader, b"small")
        before = peers.bytes_read
        await read(reader, b"big", 10 * MIB, 1000)
        assert 0 < peers.bytes_read - before < 5 * MIB  # a chunk or two of at most 4 MiB… of 21
        before = peers.bytes_read
        await read(reader, b"big", 10 * MIB, 1000)
        assert peers.bytes_read == before  # kept
        await read(reader, b"big")
        assert peers.bytes_read - before < 1.1 * 21 * MIB


async def test_a_range_with_a_provider_down_costs_k_ranges_and_no_whole_pack(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        for down in list(peers.shelves)[:2]:
            peers.shelves[down].down = True
        reader = Reader(context)
        await read(reader, b"small")
        whole = (source / "big").read_bytes()
        before, most = peers.bytes_read, 0
        for offset in range(0, len(whole), 4 * MIB):
            start = peers.bytes_read
            assert await read(reader, b"big", offset, 10) == whole[offset : offset + 10]
            most = max(most, peers.bytes_read - start)
        assert peers.bytes_read > before
        largest = max(b.length for b in every_data_blob(context))
        assert most <= 4 * (largest + 256 * KIB)  # k ranges of one chunk, where a pack is 21 MiB


async def test_what_several_want_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_source(tmp_path / "source")
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        delay(peers, monkeypatch)
        meta = [context.catalogue.pack(no, blobs=True) for no in context.catalogue.pack_numbers(PackKind.META)]
        blobs = BlobCache(context, Fetcher(context))
        await asyncio.gather(*(blobs.get(b.id) for pack in meta for b in pack.blobs for _ in range(3)))
        assert peers.bytes_read == sum(pack.code.k * pack.shard_length for pack in meta)
        reader = Reader(context)
        await read(reader, b"small")
        before = peers.bytes_read
        await asyncio.gather(*(read(reader, b"big", 10 * MIB, 10) for _ in range(5)))
        assert peers.bytes_read - before < 5 * MIB


def delay(peers: ShelfPeers, monkeypatch: pytest.MonkeyPatch) -> None:
    real = peers.get_object

    async def slow(*arguments: object, **keywords: object) -> bytes:
        await asyncio.sleep(0.005)
        return await real(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(peers, "get_object", slow)


async def test_chunks_kept_are_bounded_and_a_failure_is_no_dead_end(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        fetcher = Fetcher(context)
        chunks = ChunkCache(context, fetcher, limit=3 * MIB)
        ids = [b.id for b in every_data_blob(context)]
        for id in ids:
            assert len((await chunks.get([id]))[id]) > 0
            assert sum(map(len, chunks._kept.values())) <= 3 * MIB
        assert len(await chunks.get(ids)) == len(set(ids))  # more than it may keep at once
        everybody = peers.shelves.values()
        for shelf in everybody:
            shelf.down = True
        fresh = ChunkCache(context, fetcher)
        results = await asyncio.gather(*(fresh.get([ids[0]]) for _ in range(3)), return_exceptions=True)
        assert [type(r) for r in results] == [TooFewShards] * 3
        for shelf in everybody:
            shelf.down = False
        fetcher.renew()
        assert await fresh.get([ids[0]])


def every_data_blob(context: NodeContext) -> list[fetch.BlobEntry]:
    catalogue = context.catalogue
    return [b for no in catalogue.pack_numbers(PackKind.DATA) for b in catalogue.pack(no, blobs=True).blobs]


async def test_paths_that_are_not_there_or_no_files(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    with network(tmp_path) as (context, _, _):
        await backup(context, [os.fsencode(source)], silent)
        reader = Reader(context)
        snapshot = await reader.snapshot("latest")
        assert await lookup(reader.blobs, snapshot, b"/") is None or True
        for path in (os.fsencode(source / "small"), b"source/small", b"source/./small"):
            found = await lookup(reader.blobs, snapshot, path)
            assert found is not None
            assert found.name == b"small"
        with pytest.raises(UserError, match="not in the snapshot"):
            await lookup(reader.blobs, snapshot, b"source/nothing")
        with pytest.raises(UserError, match="no directory"):
            await lookup(reader.blobs, snapshot, b"source/small/x")


def test_a_layout_maps_data_and_holes_both_ways() -> None:
    entry = Entry(b"f", EntryType.FILE, size=100, content=bytes(32), extents=[(10, 5), (20, 10), (90, 10)])
    layout = Layout(entry)
    assert layout.length == 25
    assert list(layout.spread(0, 25)) == [(10, 0, 5), (20, 5, 10), (90, 15, 10)]
    assert list(layout.spread(5, 3)) == [(20, 0, 3)]
    assert list(layout.spread(14, 3)) == [(29, 0, 1), (90, 1, 2)]
    assert list(layout.data_in(0, 100)) == [(10, 0, 5), (20, 5, 10), (90, 15, 10)]
    assert list(layout.data_in(12, 10)) == [(12, 2, 3), (20, 5, 2)]
    assert list(layout.data_in(30, 60)) == []
    assert list(Layout(Entry(b"f", EntryType.FILE, size=7)).data_in(0, 7)) == []
    assert list(Layout(Entry(b"f", EntryType.FILE, size=7, content=bytes(32))).data_in(3, 9)) == [(3, 3, 4)]


async def test_small_files_come_with_their_neighbours(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rng = random.Random(2)
    for i in range(600):
        (source / f"{i:03}").write_bytes(rng.randbytes(9000))
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        reader = Reader(context)
        await read(reader, b"000")
        gets, before = count_gets(peers), peers.bytes_read
        names = [f"{i:03}".encode() for i in range(1, 600)]
        rng.shuffle(names)
        for name in names:
            assert await read(reader, name) == (source / os.fsdecode(name)).read_bytes()
        assert len(gets) < 60
        assert peers.bytes_read - before < 3 * 600 * 9000
        # One alone costs its aligned range: two where it lies across a border.
        alone = Reader(context)
        entry = await lookup(alone.blobs, await alone.snapshot("latest"), b"source/300")
        assert entry is not None
        before = peers.bytes_read
        content = await alone.content(entry)
        assert [piece async for piece in alone.read(content)] == [(source / "300").read_bytes()]
        assert peers.bytes_read - before <= 2 * fetch.RANGE_ALIGN


def count_gets(peers: ShelfPeers) -> list[int]:
    """A list that grows with each request to a provider."""
    gets: list[int] = []
    real = peers.get_object

    async def counting(*arguments: object, **keywords: object) -> bytes:
        gets.append(1)
        return await real(*arguments, **keywords)  # type: ignore[arg-type]

    peers.get_object = counting  # type: ignore[method-assign]
    return gets
