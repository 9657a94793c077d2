"""Restore: names first, then data pack by pack, then metadata; each pack is fetched about once.

Into an empty directory, or over a tree that is there already, of which what is right is left.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from peerage.errors import IntegrityError, PeerError, UserError
from peerage.flow.context import NodeContext, Report, warn
from peerage.flow.fetch import BlobCache, Fetcher, gather_all
from peerage.flow.files import Layout
from peerage.flow.selection import NOTHING, Selection, walk
from peerage.flow.snapshots import entries_of, find, load
from peerage.flow.verify import Located, Verifier
from peerage.model import MIB, BlobEntry
from peerage.snapshot.glob import Globs, names_of
from peerage.snapshot.snapshot import Snapshot
from peerage.snapshot.tree import Entry, EntryType, split_ids
from peerage.source.replace import Replacer
from peerage.source.write import FileHandle, Restorer

_FIRST_BATCH_CHUNKS = 500
"""The first batch is small, so that the first files are there at once; each later one is four times as large, up to:"""
_BATCH_CHUNKS = 20_000
_BATCH_BYTES = 1024 * MIB
_PACKS_AT_ONCE = 3
_REPORT_EVERY_S = 0.5

Place = tuple[FileHandle, Layout, int]
"""A file, where its data lies, and the position in that data."""


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """What to restore, and how.

    patterns, exclude: globs on source paths. in_place: over a tree that may be there. delete: there, also remove what
    the snapshot's directories do not have. verify: read what was written or left, and compare it with the chunks.
    """

    patterns: Globs = NOTHING
    exclude: Globs = NOTHING
    in_place: bool = False
    delete: bool = False
    verify: bool = False

    def check(self) -> None:
        """Raises UserError for options that contradict each other."""
        if self.delete and not self.in_place:
            raise UserError("--delete is for restoring over a tree that is there: add --in-place, or leave it out")


@dataclass(slots=True)
class RestoreResult:
    """What a restore did, as --json shows it.

    failed: what could not be restored in full, and why. kept: files that were right already. verified: files that were
    read and compared; mismatched: those of them that differ, which are among the failed.
    """

    snapshot_id: str
    target: str
    files: int
    bytes: int
    bytes_fetched: int
    seconds: float
    kept: int = 0
    deleted: int = 0
    verified: int = 0
    mismatched: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Batch:
    """Files being restored together. chunks: pack number -> blob -> where its plaintext goes."""

    chunks: dict[int, dict[BlobEntry, list[Place]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    files: list[FileHandle] = field(default_factory=list)
    checks: list[tuple[FileHandle, Layout, list[Located]]] = field(default_factory=list)
    links: list[tuple[tuple[bytes, ...], Entry]] = field(default_factory=list)
    left: list[tuple[tuple[bytes, ...], Entry]] = field(default_factory=list)
    count: int = 0
    bytes: int = 0

    limit: int = _FIRST_BATCH_CHUNKS

    @property
    def full(self) -> bool:
        return self.count >= self.limit or self.bytes >= _BATCH_BYTES

    def next(self) -> _Batch:
        return _Batch(limit=min(self.limit * 4, _BATCH_CHUNKS))


async def restore(
    context: NodeContext,
    wanted: str,
    target: Path,
    include: Sequence[bytes],
    report: Report,
    options: RestoreOptions = RestoreOptions(),
) -> RestoreResult:
    """Restore a snapshot, or the source paths of it in `include`, under `target`, empty or absent unless in place.

    Raises UserError for a snapshot, path or target that is not right, TooFewShards when its trees cannot be had now.
    What the file system refuses (owners as non-root, devices) is listed, not fatal; so is a file whose data cannot be
    had, which is left out rather than restored wrongly.
    """
    started = time.monotonic()
    options.check()
    summary = find(context, wanted)
    fetcher = Fetcher(context)
    cache = BlobCache(context, fetcher)
    snapshot = await load(cache, summary.id)
    selection = Selection(snapshot, include, options.patterns, options.exclude)
    restorer = Replacer(target, options.delete) if options.in_place else Restorer(target)
    await context.in_worker(restorer.prepare_target)
    totals = (0, 0) if selection.partial else (summary.files, summary.bytes)
    work = _Work(context, fetcher, cache, restorer, report, totals, options.verify)
    reporter = asyncio.create_task(work.report_for_ever())
    running: asyncio.Task[None] | None = None
    batch = _Batch()
    try:
        async for path, entry, entering, _ in walk(cache, snapshot.subtree, selection):
            if not entering:
                batch.left.append((path, entry))
                continue
            await work.plan(path, entry, batch)
            if batch.full:
                if running is not None:
                    await running
                running, batch = asyncio.create_task(work.run(batch)), batch.next()
        if running is not None:
            await running
        running = asyncio.create_task(work.run(batch))
        await running
        selection.check()
        if options.delete and isinstance(restorer, Replacer):
            if work.lost:
                warn(report, "nothing was deleted, since some files could not be restored")
            else:
                await _delete_others(context, cache, snapshot, selection, restorer)
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
        kept=work.kept,
        deleted=restorer.deleted if isinstance(restorer, Replacer) else 0,
        verified=work.verified,
        mismatched=work.mismatched,
        failed=[{"path": os.fsdecode(p.path), "reason": p.what} for p in restorer.problems],
    )


async def _delete_others(
    context: NodeContext, cache: BlobCache, snapshot: Snapshot, selection: Selection, replacer: Replacer
) -> None:
    """Once all is restored, remove what the snapshot does not have from the directories that it backed up."""
    async for path, entry, entering, whole in walk(cache, snapshot.subtree, selection):
        if not entering and whole and entry.type is EntryType.DIRECTORY and backed_up(snapshot, path):
            names = {e.name for e in await entries_of(cache, entry.subtree)}
            await context.in_worker(replacer.delete_others, path, entry, names, selection.excludes)


def backed_up(snapshot: Snapshot, path: tuple[bytes, ...]) -> bool:
    """Whether a directory of the tree is one of the source paths or below one, and not just on the way to one."""
    full = (*names_of(snapshot.prefix), *path)
    return any(full[: len(names)] == names for names in map(names_of, snapshot.paths))


class _Work:
    def __init__(
        self,
        context: NodeContext,
        fetcher: Fetcher,
        cache: BlobCache,
        restorer: Restorer,
        report: Report,
        totals: tuple[int, int],
        verify: bool,
    ) -> None:
        self._context = context
        self._fetcher = fetcher
        self._cache = cache
        self._restorer = restorer
        self._report = report
        self._totals = totals
        self._verify = verify
        self._verifier = Verifier(context)
        self._groups: set[int] = set()
        self.files = 0
        self.bytes = 0
        self.lost = 0  # files, or packs of them, that could not be had
        self.kept = 0
        self.verified = 0
        self.mismatched = 0

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
        handle = self._restorer.create_file(path, entry)
        ids = split_ids(await self._cache.ids(entry.content) if entry.depth else entry.content)
        layout = Layout(entry)
        blobs: list[Located] = []
        fault = ""
        for id in ids:
            found = self._context.catalogue.locate(id)
            if found is None:
                fault = f"was not restored: chunk {id.hex()[:16]} of it is in no pack"
                break
            blobs.append(found)
        else:
            if sum(blob.raw_length for _, blob in blobs) != layout.length:
                fault = "was not restored: it and its chunks differ in length"
        if isinstance(self._restorer, Replacer) and await self._keep(self._restorer, handle, layout, blobs, fault):
            self.kept += 1
            return
        if fault:
            self.lost += 1
            self._restorer.give_up(handle, fault)
            return
        batch.files.append(handle)
        if self._verify:
            batch.checks.append((handle, layout, blobs))
        position = 0
        for no, blob in blobs:
            batch.chunks[no][blob].append((handle, layout, position))
            position += blob.raw_length
        batch.count += len(blobs)
        batch.bytes += position

    async def _keep(
        self, replacer: Replacer, handle: FileHandle, layout: Layout, blobs: list[Located], fault: str
    ) -> bool:
        """Whether the file that is there can stay. With verify it is read, unless its chunks are not known."""

        def same(fd: int) -> bool:
            self.verified += 1
            return not self._verifier.difference(fd, handle.entry.size, layout, blobs, from_disk=False)

        return await self._context.in_worker(replacer.keep, handle, same if self._verify and not fault else None)

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
                    self.lost += 1
                    for handle in {place[0] for at in places.values() for place in at}:
                        self._restorer.give_up(handle, f"was not restored: {error}")

        await gather_all(one(no, places) for no, places in batch.chunks.items())
        await self._context.in_worker(self._finish, batch)

    def _finish(self, batch: _Batch) -> None:
        for handle in batch.files:
            self._restorer.finish_file(handle)
        if batch.checks:
            self._restorer.sync()
        for handle, layout, blobs in batch.checks:
            self._check(handle, layout, blobs)
        for path, entry in batch.links:
            self._restorer.make_link(path, entry)
        for path, entry in batch.left:
            self._restorer.finish_directory(path, entry)

    def _check(self, handle: FileHandle, layout: Layout, blobs: list[Located]) -> None:
        """Read a file that was restored, and name it if it is not what it should be."""
        if not handle.finished:
            return  # named already
        try:
            fd = self._restorer.open_restored(handle.path)
            try:
                what = self._verifier.difference(fd, handle.entry.size, layout, blobs, from_disk=True)
            finally:
                os.close(fd)
        except OSError as error:
            self._restorer.name_problem(handle.path, f"could not be verified: {error.strerror}")
            return
        self.verified += 1
        if what:
            self.mismatched += 1
            self._restorer.name_problem(handle.path, what)

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
