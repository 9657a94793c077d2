"""Restore: names first, then data pack by pack, then metadata; each pack is fetched about once."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from peerage.errors import IntegrityError, PeerError
from peerage.flow.context import NodeContext, Report
from peerage.flow.fetch import BlobCache, Fetcher, gather_all
from peerage.flow.files import Layout
from peerage.flow.snapshots import Selection, find, load, walk
from peerage.model import MIB, BlobEntry
from peerage.snapshot.tree import Entry, EntryType, split_ids
from peerage.source.write import FileHandle, Restorer

_BATCH_CHUNKS = 20_000
_BATCH_BYTES = 1024 * MIB
_PACKS_AT_ONCE = 3
_REPORT_EVERY_S = 0.5

Place = tuple[FileHandle, Layout, int]
"""A file, where its data lies, and the position in that data."""


@dataclass(slots=True)
class RestoreResult:
    """What a restore did, as --json shows it. failed: what could not be restored in full, and why."""

    snapshot_id: str
    target: str
    files: int
    bytes: int
    bytes_fetched: int
    seconds: float
    failed: list[dict[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Batch:
    """Files being restored together. chunks: pack number -> blob -> where its plaintext goes."""

    chunks: dict[int, dict[BlobEntry, list[Place]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    files: list[FileHandle] = field(default_factory=list)
    links: list[tuple[tuple[bytes, ...], Entry]] = field(default_factory=list)
    left: list[tuple[tuple[bytes, ...], Entry]] = field(default_factory=list)
    count: int = 0
    bytes: int = 0

    @property
    def full(self) -> bool:
        return self.count >= _BATCH_CHUNKS or self.bytes >= _BATCH_BYTES


async def restore(
    context: NodeContext, wanted: str, target: Path, include: Sequence[bytes], report: Report
) -> RestoreResult:
    """Restore a snapshot, or the source paths of it in `include`, under an empty or absent `target`.

    Raises UserError for a snapshot, path or target that is not right, TooFewShards when its trees cannot be had now.
    What the file system refuses (owners as non-root, devices) is listed, not fatal; so is a file whose data cannot be
    had, which is left out rather than restored wrongly.
    """
    started = time.monotonic()
    summary = find(context, wanted)
    fetcher = Fetcher(context)
    cache = BlobCache(context, fetcher)
    snapshot = await load(cache, summary.id)
    selection = Selection(snapshot, include)
    restorer = Restorer(target)
    await context.in_worker(restorer.prepare_target)
    work = _Work(context, fetcher, cache, restorer, report, summary.files, summary.bytes)
    reporter = asyncio.create_task(work.report_for_ever())
    running: asyncio.Task[None] | None = None
    batch = _Batch()
    try:
        async for path, entry, entering in walk(cache, snapshot.subtree, selection):
            if not entering:
                batch.left.append((path, entry))
                continue
            await work.plan(path, entry, batch)
            if batch.full:
                if running is not None:
                    await running
                running, batch = asyncio.create_task(work.run(batch)), _Batch()
        if running is not None:
            await running
        running = asyncio.create_task(work.run(batch))
        await running
        selection.check()
        await context.in_worker(restorer.finish)
    finally:
        reporter.cancel()
        if running is not None and not running.done():
            running.cancel()
        await asyncio.gather(reporter, *([running] if running else []), return_exceptions=True)
        await context.in_worker(restorer.close)
    return RestoreResult(
        snapshot_id=summary.id.hex(),
        target=str(target),
        files=work.files,
        bytes=work.bytes,
        bytes_fetched=fetcher.bytes_fetched,
        seconds=time.monotonic() - started,
        failed=[{"path": os.fsdecode(p.path), "reason": p.what} for p in restorer.problems],
    )


class _Work:
    def __init__(
        self,
        context: NodeContext,
        fetcher: Fetcher,
        cache: BlobCache,
        restorer: Restorer,
        report: Report,
        files_total: int,
        bytes_total: int,
    ) -> None:
        self._context = context
        self._fetcher = fetcher
        self._cache = cache
        self._restorer = restorer
        self._report = report
        self._totals = files_total, bytes_total
        self._groups: set[int] = set()
        self.files = 0
        self.bytes = 0

    async def plan(self, path: tuple[bytes, ...], entry: Entry, batch: _Batch) -> None:
        """Make the name; for a file, note where each of its chunks comes from and goes to."""
        if entry.type is EntryType.DIRECTORY:
            self._restorer.make_directory(path, entry)
            return
        self.files += 1
        if entry.links and entry.links in self._groups:
            batch.links.append((path, entry))
            return
        if entry.links:
            self._groups.add(entry.links)
        if entry.type is not EntryType.FILE:
            self._restorer.make_special(path, entry)
            return
        ids = split_ids(entry.content)
        if entry.depth:
            ids = split_ids(await self._cache.ids(entry.content))
        handle = self._restorer.create_file(path, entry)
        batch.files.append(handle)
        layout, position = Layout(entry), 0
        for id in ids:
            found = self._context.catalogue.locate(id)
            if found is None:
                self._restorer.give_up(handle, f"was not restored: chunk {id.hex()[:16]} of it is in no pack")
                break
            no, blob = found
            batch.chunks[no][blob].append((handle, layout, position))
            position += blob.raw_length
            batch.count += 1
            batch.bytes += blob.raw_length
        else:
            if position != layout.length:
                self._restorer.give_up(handle, "was not restored: it and its chunks differ in length")

    async def run(self, batch: _Batch) -> None:
        """Fetch the batch's packs, write its files, finish what is complete."""
        limit = asyncio.Semaphore(_PACKS_AT_ONCE)

        async def one(no: int, places: dict[BlobEntry, list[Place]]) -> None:
            async with limit:
                record = self._context.catalogue.pack(no)

                def sink(blob: BlobEntry, raw: bytes) -> None:
                    view = memoryview(raw)
                    for handle, layout, position in places[blob]:
                        for offset, start, length in layout.spread(position, len(raw)):
                            self._restorer.write(handle, offset, view[start : start + length])
                    self.bytes += len(raw) * len(places[blob])

                try:
                    await self._fetcher.read(record, sorted(places, key=lambda b: b.offset), sink)
                except (IntegrityError, PeerError) as error:
                    # The rest of the tree is worth having on its own.
                    for handle in {place[0] for at in places.values() for place in at}:
                        self._restorer.give_up(handle, f"was not restored: {error}")

        await gather_all(one(no, places) for no, places in batch.chunks.items())
        await self._context.in_worker(self._finish, batch)

    def _finish(self, batch: _Batch) -> None:
        for handle in batch.files:
            self._restorer.finish_file(handle)
        for path, entry in batch.links:
            self._restorer.make_link(path, entry)
        for path, entry in batch.left:
            self._restorer.finish_directory(path, entry)

    async def report_for_ever(self) -> None:
        while True:
            self._report(
                {
                    "event": "progress",
                    "phase": "restore",
                    "files": self.files,
                    "files_total": self._totals[0],
                    "bytes": self.bytes,
                    "bytes_total": self._totals[1],
                }
            )
            await asyncio.sleep(_REPORT_EVERY_S)
