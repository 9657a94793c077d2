"""Back paths up: the whole pipeline, from the files to the anchored head."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from peerage.errors import UserError
from peerage.flow.archive import Archiver
from peerage.flow.context import NodeContext, Report
from peerage.flow.lanes import Lanes
from peerage.flow.outlet import Outlet, open_outlet
from peerage.flow.progress import Progress, Scan, scan_paths
from peerage.flow.publish import publish
from peerage.flow.room import Room
from peerage.flow.stream import Stream, StreamArchiver
from peerage.flow.stripe import StripeWriter
from peerage.model import BlobKind, ChunkId, PackKind
from peerage.snapshot.snapshot import (
    MAX_TAGS,
    MAX_TEXT,
    Snapshot,
    encode_snapshot,
    encode_summary,
    summary_of,
)
from peerage.source.select import Selector

LANES = max(3, min(8, (os.cpu_count() or 2) + 1))
_SCAN_WAIT_S = 3.0
_SCAN_LATER_S = 1.0
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
    """selector: what of the paths is kept. tags: what the snapshot is called by, for people and retention rules.
    host: whose it is; by default this machine's. stream: what is archived in place of paths."""

    selector: Selector = field(default_factory=Selector)
    tags: tuple[str, ...] = ()
    host: str = field(default_factory=socket.gethostname)
    stream: Stream | None = None

    def __post_init__(self) -> None:
        """Raises UserError for tags and hosts that a snapshot cannot carry."""
        if not 0 < len(self.host) <= MAX_TEXT:
            raise UserError(f"a host's name has 1 to {MAX_TEXT} characters: give another")
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
    options = options or BackupOptions()
    if options.stream is not None:
        paths = [b"/" + options.stream.name]
    else:
        check_paths(paths)
    scan = Scan()
    to_scan = paths if options.stream is None else []
    room = Room(context, report)
    # A first backup asks for room by what is to come; a later one has some, and counts only if it takes a while.
    first = not any(a.live for a in context.catalogue.agreements())
    scanning = asyncio.create_task(
        _scan(context, to_scan, scan, options.selector, room, 0.0 if first else _SCAN_LATER_S)
    )
    # Files are read while agreements are still being opened: the first pack waits for them, the reading does not.
    opening = asyncio.create_task(_open(room, scanning, scan, _SCAN_WAIT_S if first else 0.0))
    stripes = StripeWriter(context, room, report, opening)
    progress = Progress()
    reporter = asyncio.create_task(_report(report, "backup", progress, scan, stripes))
    try:
        run, untrusted = context.catalogue.begin_run()
        data, meta = open_outlet(context, PackKind.DATA, stripes), open_outlet(context, PackKind.META, stripes)
        archiver = (
            StreamArchiver(options.stream, data.packer, meta.packer, context.key.cut_seed, progress, room.expect)
            if options.stream is not None
            else Archiver(
                data.packer,
                meta.packer,
                context.catalogue,
                Lanes(context.key, context.catalogue.path),
                progress,
                LANES,
                run,
                untrusted,
                options.selector,
            )
        )

        def describe(subtree: bytes, prefix: bytes) -> Snapshot:
            return Snapshot(
                time_ns=context.clock_ns(),
                host=options.host,
                paths=list(paths),
                prefix=prefix,
                subtree=subtree,
                files=progress.files,
                directories=progress.directories,
                bytes=progress.size,
                tags=list(options.tags),
            )

        snapshot, snapshot_id = await _archive(context, paths, archiver, data, meta, opening, describe)
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


async def _scan(
    context: NodeContext, paths: Sequence[bytes], scan: Scan, selector: Selector, room: Room, later_s: float
) -> None:
    """Count what is to come, for those who watch and for agreements that turn out to be needed."""
    await asyncio.sleep(later_s)
    await context.in_worker(scan_paths, paths, scan, selector)
    if paths:
        room.expect(scan.bytes)


async def _open(room: Room, scanning: asyncio.Future[None], scan: Scan, wait_s: float) -> None:
    """Open the room once it is known how much is to come, or after a while in any case."""
    await asyncio.wait([scanning], timeout=wait_s)
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


async def _archive(
    context: NodeContext,
    paths: Sequence[bytes],
    archiver: Archiver | StreamArchiver,
    data: Outlet,
    meta: Outlet,
    opening: asyncio.Task[None],
    describe: Callable[[bytes, bytes], Snapshot],
) -> tuple[Snapshot, ChunkId]:
    """Store all under `paths`, and the snapshot of it, which `describe` makes of the root tree and the prefix."""
    data.on_error.append(archiver)
    meta.on_error.append(archiver)
    walking = asyncio.create_task(asyncio.to_thread(archiver.run, paths))
    try:
        # Too few providers is said at once, not when the first pack is full.
        await asyncio.wait({walking, opening}, return_when=asyncio.FIRST_EXCEPTION)
        await opening
        snapshot = describe(*await asyncio.shield(walking))
        id = await context.in_worker(meta.packer.store, BlobKind.SNAPSHOT, encode_snapshot(snapshot))
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
    return snapshot, id


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
