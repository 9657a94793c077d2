"""Reading files of a snapshot in place: any range of one, fetching only the chunks that hold it.

reader = Reader(context)
snapshot = await reader.snapshot("latest")
entry = await lookup(reader.blobs, snapshot, b"/etc/hosts")
content = await reader.content(entry)
async for data in reader.read(content, 1000, 500): ...
"""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from peerage.errors import IntegrityError, UserError
from peerage.flow.context import NodeContext
from peerage.flow.fetch import RANGE_ALIGN, BlobCache, Fetcher, gather_all
from peerage.flow.snapshots import find, load
from peerage.model import KIB, MIB, BlobEntry, ChunkId, PackRecord
from peerage.snapshot.snapshot import Snapshot
from peerage.snapshot.tree import Entry, EntryType, decode_tree, split_ids

WINDOW = 8 * MIB
"""Bytes of a file that are fetched together; the next so many are on their way meanwhile."""
CHUNK_CACHE = 32 * MIB
_ENTRIES = 50_000  # of directories that are kept decoded, beyond the last one
_CONTENTS = 32
_SMALL = 256 * KIB  # of a pack; what is wanted of it in more than that needs no neighbours
_AHEAD = 2 * MIB  # of a pack, read with a small blob at most
_REGIONS = 64


class Layout:
    """Where a file's data (its chunks, joined) lies in the file: all of it, or only its extents when it has holes."""

    def __init__(self, entry: Entry) -> None:
        extents = list(entry.extents) if entry.extents or not entry.content else [(0, entry.size)]
        self._extents = extents
        self._offsets = [offset for offset, _ in extents]
        self._positions = list(accumulate((length for _, length in extents), initial=0))

    @property
    def length(self) -> int:
        """Bytes of data."""
        return self._positions[-1]

    def spread(self, position: int, length: int) -> Iterator[tuple[int, int, int]]:
        """Where bytes [position, position+length) of the data go: (offset in the file, start in the bytes, length)."""
        index, start = bisect_right(self._positions, position) - 1, 0
        while start < length and index < len(self._extents):
            offset, size = self._extents[index]
            skip = position + start - self._positions[index]
            take = min(size - skip, length - start)
            yield offset + skip, start, take
            start += take
            index += 1

    def data_in(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """The data in a range of the file, in order: (offset in the file, position in the data, length)."""
        for index in range(max(bisect_right(self._offsets, offset) - 1, 0), len(self._extents)):
            begin, size = self._extents[index]
            if begin >= offset + length:
                return
            low, high = max(offset, begin), min(offset + length, begin + size)
            if low < high:
                yield low, self._positions[index] + low - begin, high - low


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds. size: bytes, holes counted. starts: where each chunk begins in the data, and where it ends."""

    size: int
    layout: Layout
    ids: list[ChunkId]
    starts: list[int]


async def content_of(context: NodeContext, blobs: BlobCache, entry: Entry) -> Content:
    """The chunks of a file. Raises IntegrityError when one is in no pack, or they and the file differ in length."""
    ids = split_ids(await blobs.ids(entry.content) if entry.depth else entry.content)
    layout = Layout(entry)

    def lengths() -> list[int]:
        return [_located(context, id)[1].raw_length for id in ids]

    starts = list(accumulate(await context.in_worker(lengths), initial=0))
    if starts[-1] != layout.length:
        raise IntegrityError("a file and its chunks differ in length: the snapshot is damaged")
    return Content(entry.size, layout, ids, starts)


class Reader:
    """What the reads of one member share: providers' faults, listings, chunks; about 200 MB at most."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self.fetcher = Fetcher(context)
        self.blobs = BlobCache(context, self.fetcher)
        self._chunks = ChunkCache(context, self.fetcher)
        self._directories: OrderedDict[bytes, dict[bytes, Entry]] = OrderedDict()
        self._contents: OrderedDict[tuple[bytes, bytes], Content] = OrderedDict()

    async def snapshot(self, wanted: str) -> Snapshot:
        """Raises UserError as find() does, TooFewShards."""
        return await load(self.blobs, find(self._context, wanted).id)

    async def content(self, entry: Entry) -> Content:
        return await content_of(self._context, self.blobs, entry)

    async def content_at(self, subtree: bytes, name: bytes) -> Content:
        """What the file `name` of a directory holds. subtree: the ids of the directory's tree blobs.

        Kept for who reads on in the same file, or in the same directory. Raises UserError when it is no file there.
        """
        content = self._contents.pop((subtree, name), None)
        if content is None:
            entry = (await self._directory(subtree)).get(name)
            if entry is None or entry.type is not EntryType.FILE:
                raise UserError(f"there is no file {os.fsdecode(name)} in this directory of the snapshot")
            content = await self.content(entry)
        self._contents[subtree, name] = content
        while len(self._contents) > _CONTENTS:
            self._contents.popitem(last=False)
        return content

    async def _directory(self, subtree: bytes) -> dict[bytes, Entry]:
        known = self._directories.get(subtree)
        if known is None:
            blobs = [await self.blobs.get(id) for id in split_ids(subtree)]
            entries = await self._context.in_worker(decode_tree, blobs)
            known = self._directories[subtree] = {entry.name: entry for entry in entries}
            while len(self._directories) > 1 and sum(map(len, self._directories.values())) > _ENTRIES:
                self._directories.popitem(last=False)
        self._directories.move_to_end(subtree)
        return known

    async def read(self, content: Content, offset: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Bytes [offset, offset+length) of a file, as far as it goes, in pieces of at most WINDOW; holes are zeros.

        Raises TooFewShards, IntegrityError.
        """
        end = content.size if length is None else min(content.size, offset + length)
        ahead: asyncio.Task[bytes] | None = None
        try:
            while offset < end:
                stop = min(end, offset + WINDOW)
                piece = await (ahead or asyncio.ensure_future(self._window(content, offset, stop)))
                ahead, offset = None, stop
                if offset < end:
                    ahead = asyncio.ensure_future(self._window(content, offset, min(end, offset + WINDOW)))
                yield piece
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)

    async def _window(self, content: Content, start: int, stop: int) -> bytes:
        pieces = list(content.layout.data_in(start, stop - start))
        spans = [
            (
                bisect_right(content.starts, position) - 1,
                bisect_right(content.starts, position + length - 1),
            )
            for _, position, length in pieces
        ]
        chunks = await self._chunks.get({content.ids[i] for first, last in spans for i in range(first, last)})
        out = bytearray(stop - start)
        for (offset, position, length), (first, last) in zip(pieces, spans, strict=True):
            for i in range(first, last):
                begin = content.starts[i]
                low, high = max(position, begin), min(position + length, content.starts[i + 1])
                at = offset + low - position - start
                out[at : at + high - low] = memoryview(chunks[content.ids[i]])[low - begin : high - begin]
        return bytes(out)


class ChunkCache:
    """The chunks read last; of those that several readers want at once, each is fetched once.

    Small files lie in their packs about as they do in their directories. Who reads one gets what lies beside it in the
    same 64 KiB for nothing, and who then reads another near by gets more and more of its neighbours with it.
    """

    def __init__(self, context: NodeContext, fetcher: Fetcher, limit: int = CHUNK_CACHE) -> None:
        """limit: bytes of plaintext that are kept."""
        self._context = context
        self._fetcher = fetcher
        self._limit = limit
        self._kept: OrderedDict[ChunkId, bytes] = OrderedDict()
        self._bytes = 0
        self._regions: dict[int, tuple[int, int, int]] = {}
        """Of packs: (start, stop) of what was read last, and how much was read ahead."""
        self._flights: dict[ChunkId, asyncio.Future[None]] = {}

    async def get(self, ids: Iterable[ChunkId]) -> dict[ChunkId, bytes]:
        """The plaintexts of chunks. Raises IntegrityError, TooFewShards."""
        missing = set(ids)
        got: dict[ChunkId, bytes] = {}
        while True:
            for id in missing:
                if id in self._kept:
                    got[id] = self._kept[id]
                    self._kept.move_to_end(id)
            missing -= got.keys()
            if not missing:
                return got
            ours = [id for id in missing if id not in self._flights]
            if ours:
                got |= await self._fetch(ours)
            else:
                # If the one who fetches them fails, the next round is ours.
                await asyncio.wait([self._flights[id] for id in missing])

    async def _fetch(self, ids: list[ChunkId]) -> dict[ChunkId, bytes]:
        flight: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flights.update(dict.fromkeys(ids, flight))
        found: dict[ChunkId, bytes] = {}
        try:
            packs: dict[int, list[BlobEntry]] = defaultdict(list)
            for id in ids:
                no, blob = _located(self._context, id)
                packs[no].append(blob)

            def sink(blob: BlobEntry, raw: bytes) -> None:
                found[blob.id] = raw

            async def one(no: int, wanted: list[BlobEntry]) -> None:
                record = self._context.catalogue.pack(no)
                await self._fetcher.read(record, await self._widened(no, record, wanted), sink)

            await gather_all(one(no, blobs) for no, blobs in packs.items())
        finally:
            for id in ids:
                del self._flights[id]
            flight.set_result(None)
        for id, raw in found.items():
            self._bytes += len(raw) - len(self._kept.pop(id, b""))
            self._kept[id] = raw
        while self._bytes > self._limit:
            self._bytes -= len(self._kept.popitem(last=False)[1])
        return found

    async def _widened(self, no: int, record: PackRecord, wanted: list[BlobEntry]) -> list[BlobEntry]:
        """The blobs wanted, and, when they are few and small, neighbours."""
        start = min(blob.offset for blob in wanted)
        stop = max(blob.offset + blob.length for blob in wanted)
        if stop - start > _SMALL:
            return wanted
        low, high, ahead = self._regions.get(no, (-_AHEAD, -_AHEAD, 0))
        near = low - _AHEAD < start < high + _AHEAD
        ahead = min(max(2 * ahead, _SMALL), _AHEAD) if near else 0
        if len(self._regions) >= _REGIONS:
            self._regions.clear()
        self._regions[no] = start, stop, ahead
        length = record.shard_length
        first = start // length * length
        around = max(start - (ahead if start < low else 0) - first, 0) // RANGE_ALIGN * RANGE_ALIGN + first
        beyond = stop + ahead + -(stop + ahead) % RANGE_ALIGN
        blobs = {blob.offset: blob for blob in wanted}
        raw = 0
        for blob in await self._context.in_worker(self._context.catalogue.blobs_between, no, around, beyond):
            raw += blob.raw_length
            if raw > self._limit // 4:
                break
            if blob.id not in self._kept:
                blobs[blob.offset] = blob
        return [blobs[offset] for offset in sorted(blobs)]


def _located(context: NodeContext, id: ChunkId) -> tuple[int, BlobEntry]:
    found = context.catalogue.locate(id)
    if found is None:
        raise IntegrityError(f"chunk {id.hex()[:16]} of a file is in no pack: `peerage recover` rebuilds the catalogue")
    return found
