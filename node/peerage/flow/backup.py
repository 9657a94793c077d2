"""Back paths up: the whole pipeline, from the files to the anchored head."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import BoundedSemaphore

from peerage.errors import UserError
from peerage.flow.archive import Archiver
from peerage.flow.context import NodeContext, Report
from peerage.flow.lanes import Lanes
from peerage.flow.packer import Packer
from peerage.flow.progress import Progress, Scan, scan_paths
from peerage.flow.publish import publish
from peerage.flow.room import Room
from peerage.flow.stripe import StripeWriter
from peerage.model import BlobKind, PackKind, PackRecord
from peerage.pack.writer import PackWriter
from peerage.snapshot.snapshot import (
    MAX_TAGS,
    MAX_TEXT,
    Snapshot,
    encode_snapshot,
    encode_summary,
    summary_of,
)
from peerage.source.select import Selector

PACKS_IN_FLIGHT = 3
"""Packs being coded and sent at once; with the two being filled this bounds memory at about 250 MB."""
LANES = max(3, min(8, (os.cpu_count() or 2) + 1))
_SCAN_WAIT_S = 3.0
_REPORT_EVERY_S = 0.5


@dataclass(slots=True)
class BackupResult:
    """What a backup did, as --json shows it. unreadable: files that could not be read, or changed while they were.
    excluded: names left out because the options say so, not what lies below them.
    records_waiting: what the chain could not take yet."""

    snapshot_id: str
    files: int
    bytes: int
    bytes_read: int
    excluded: int
    bytes_sent: int
    stripes: int
    seconds: float
    head: int
    unreadable: list[dict[str, str]] = field(default_factory=list)
    records_waiting: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """selector: what of the paths is kept. tags: what the snapshot is called by, for people and retention rules."""

    selector: Selector = field(default_factory=Selector)
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises UserError for tags that a snapshot cannot carry."""
        if len(self.tags) > MAX_TAGS or any(not tag or len(tag) > MAX_TEXT for tag in self.tags):
            raise UserError(f"a snapshot has at most {MAX_TAGS} tags of 1 to {MAX_TEXT} characters: shorten them")


async def backup(
    context: NodeContext, paths: Sequence[bytes], report: Report, options: BackupOptions | None = None
) -> BackupResult:
    """Back up absolute `paths`, or what `options` leave of them, as one snapshot.

    Raises UserError for a path that is not there or cannot be read at all, TooFewProviders before anything is sent
    when the code cannot be met, and what the ledger raises when agreements are needed and the chain is away. Whatever
    was acknowledged before an error is kept and not sent again by the next run.
    """
    started = time.monotonic()
    check_paths(paths)
    options = options or BackupOptions()
    scan = Scan()
    scanning = asyncio.create_task(context.in_worker(scan_paths, paths, scan, options.selector))
    room = Room(context, report)
    # Files are read while agreements are still being opened: the first pack waits for them, the reading does not.
    opening = asyncio.create_task(_open(room, scanning, scan))
    stripes = StripeWriter(context, room, report, opening)
    progress = Progress()
    reporter = asyncio.create_task(_report(report, "backup", progress, scan, stripes))
    try:
        run, untrusted = context.catalogue.begin_run()
        subtree, prefix = await _archive(context, paths, progress, stripes, opening, run, untrusted, options.selector)
        snapshot = Snapshot(
            time_ns=context.clock_ns(),
            host=socket.gethostname(),
            paths=list(paths),
            prefix=prefix,
            subtree=subtree,
            files=progress.files,
            directories=progress.directories,
            bytes=progress.size,
            tags=list(options.tags),
        )
        meta = _packer(context, PackKind.META, stripes)
        snapshot_id = await context.in_worker(meta.packer.store, BlobKind.SNAPSHOT, encode_snapshot(snapshot))
        await meta.drain(context)
        context.catalogue.end_run(run)
        context.catalogue.add_snapshot(snapshot_id, encode_summary(summary_of(snapshot, snapshot_id)))
        report({"event": "progress", "phase": "records", "files": progress.files, "bytes": progress.size})
        waiting = await publish(context, room, stripes, report)
    finally:
        scan.stopped = True
        for task in (opening, scanning, reporter):
            task.cancel()
        await asyncio.gather(opening, scanning, reporter, return_exceptions=True)
    return BackupResult(
        snapshot_id=snapshot_id.hex(),
        files=progress.files,
        bytes=progress.size,
        bytes_read=progress.size_read,
        excluded=progress.excluded,
        bytes_sent=stripes.bytes_sent,
        stripes=stripes.stripes,
        seconds=time.monotonic() - started,
        head=context.catalogue.counter("head"),
        unreadable=[
            {"path": os.fsdecode(path), "reason": reason}
            for path, reason in [*progress.unreadable, *((p, "it changed while it was read") for p in progress.changed)]
        ],
        records_waiting=waiting,
    )


async def _open(room: Room, scanning: asyncio.Future[None], scan: Scan) -> None:
    """Open the room once it is known how much is to come, or after a while in any case."""
    await asyncio.wait([scanning], timeout=_SCAN_WAIT_S)
    await room.open(scan.bytes)


def check_paths(paths: Sequence[bytes]) -> None:
    """Raises UserError for a path that is relative, missing or not readable."""
    if not paths:
        raise UserError("nothing to back up: give at least one path")
    for path in paths:
        shown = os.fsdecode(path)
        if not path.startswith(b"/"):
            raise UserError(f"{shown} is a relative path: give an absolute one")
        if not os.path.lexists(path):
            raise UserError(f"{shown} is not there: give a path that exists")
        if not os.access(path, os.R_OK, follow_symlinks=False):
            raise UserError(f"{shown} cannot be read: run the node as a user who may read it")


class _Outlet:
    """Between the threads that fill packs and the loop that sends them: bounded, and the first error stops all."""

    def __init__(self, stripes: StripeWriter) -> None:
        self._loop = asyncio.get_running_loop()
        self._stripes = stripes
        self._slots = BoundedSemaphore(PACKS_IN_FLIGHT)
        self._flying: set[Future[PackRecord]] = set()
        self.error: BaseException | None = None
        self.on_error: list[Archiver] = []
        self.packer: Packer

    def emit(self, writer: PackWriter) -> None:
        """Called in a worker thread; blocks while PACKS_IN_FLIGHT packs are on their way."""
        self._slots.acquire()
        if self.error is not None:
            self._slots.release()
            return
        future = asyncio.run_coroutine_threadsafe(self._stripes.put(writer), self._loop)
        self._flying.add(future)
        future.add_done_callback(self._done)

    def _done(self, future: Future[PackRecord]) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None and self.error is None:
            self.error = error
            for archiver in self.on_error:
                archiver.stop()
        if error is None and not future.cancelled():
            self.packer.committed([blob.id for blob in future.result().blobs])
        self._flying.discard(future)
        self._slots.release()

    async def drain(self, context: NodeContext) -> None:
        """Flush what is left and wait until all is stored; raises the first error."""
        await context.in_worker(self.packer.flush)
        while self._flying:
            await asyncio.wait([asyncio.wrap_future(f) for f in list(self._flying)])
            await asyncio.sleep(0)
        if self.error is not None:
            raise self.error

    def cancel(self) -> None:
        for future in list(self._flying):
            future.cancel()


def _packer(context: NodeContext, kind: PackKind, stripes: StripeWriter) -> _Outlet:
    outlet = _Outlet(stripes)
    outlet.packer = Packer(context.key, kind, context.catalogue.has_chunk, outlet.emit, context.entropy)
    return outlet


async def _archive(
    context: NodeContext,
    paths: Sequence[bytes],
    progress: Progress,
    stripes: StripeWriter,
    opening: asyncio.Task[None],
    run: int,
    untrusted: set[int],
    selector: Selector,
) -> tuple[bytes, bytes]:
    data, meta = _packer(context, PackKind.DATA, stripes), _packer(context, PackKind.META, stripes)
    archiver = Archiver(
        data.packer,
        meta.packer,
        context.catalogue,
        Lanes(context.key, context.catalogue.path),
        progress,
        LANES,
        run,
        untrusted,
        selector,
    )
    data.on_error.append(archiver)
    meta.on_error.append(archiver)
    walking = asyncio.create_task(asyncio.to_thread(archiver.run, paths))
    try:
        # Too few providers is said at once, not when the first pack is full.
        await asyncio.wait({walking, opening}, return_when=asyncio.FIRST_EXCEPTION)
        await opening
        subtree, prefix = await asyncio.shield(walking)
        await data.drain(context)
        await meta.drain(context)
    except BaseException:
        archiver.stop()
        data.cancel()
        meta.cancel()
        with contextlib.suppress(BaseException):
            await walking
        for outlet in (data, meta):
            if outlet.error is not None:
                raise outlet.error from None
        raise
    return subtree, prefix


async def _report(report: Report, phase: str, progress: Progress, scan: Scan, stripes: StripeWriter) -> None:
    while True:
        report(
            {
                "event": "progress",
                "phase": phase,
                "files": progress.files,
                "files_total": scan.files if scan.done else 0,
                "bytes": progress.size,
                "bytes_total": scan.bytes if scan.done else 0,
                "bytes_sent": stripes.bytes_sent,
                "current": os.fsdecode(progress.current),
            }
        )
        await asyncio.sleep(_REPORT_EVERY_S)
