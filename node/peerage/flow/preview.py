"""What a backup would do: names are looked at and compared with the catalogue; nothing is read, sent or kept."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from peerage.flow.backup import BackupOptions, check_paths
from peerage.flow.context import NodeContext, Report
from peerage.flow.progress import Walk
from peerage.source.read import facts

_REPORT_EVERY = 5000  # names


@dataclass(slots=True)
class Preview:
    """Counts of names that are no directories, as --json shows them. new: not in the catalogue. changed: not as it was
    when last read, or last read by a backup that did not end. new_bytes, changed_bytes: what would be read of them."""

    files: int = 0
    bytes: int = 0
    new_files: int = 0
    new_bytes: int = 0
    changed_files: int = 0
    changed_bytes: int = 0
    unchanged_files: int = 0
    excluded: int = 0
    seconds: float = 0.0
    unreadable: list[dict[str, str]] = field(default_factory=list)
    dry_run: bool = True


async def preview(context: NodeContext, paths: Sequence[bytes], options: BackupOptions, report: Report) -> Preview:
    """Raises UserError for a path that is not there or cannot be read at all."""
    check_paths(paths)
    return await context.in_worker(_preview, context, paths, options, report)


def _preview(context: NodeContext, paths: Sequence[bytes], options: BackupOptions, report: Report) -> Preview:
    started = time.monotonic()
    walk, result = Walk(options.selector), Preview()
    untrusted = context.catalogue.open_runs()
    linked: set[tuple[int, int]] = set()
    for path, st in walk.under(paths):
        result.files += 1
        if result.files % _REPORT_EVERY == 0:
            report({"event": "progress", "phase": "dry run", "files": result.files, "bytes": result.bytes})
        if not stat.S_ISREG(st.st_mode):
            continue
        if st.st_nlink > 1:
            if (st.st_dev, st.st_ino) in linked:  # one file, whatever its names
                result.unchanged_files += 1
                continue
            linked.add((st.st_dev, st.st_ino))
        result.bytes += st.st_size
        known = context.catalogue.file_state(path)
        if known is None:
            result.new_files += 1
            result.new_bytes += st.st_size
        elif not known.is_current(facts(st), untrusted):
            result.changed_files += 1
            result.changed_bytes += st.st_size
        else:
            result.unchanged_files += 1
    result.excluded = walk.excluded
    result.unreadable = [{"path": os.fsdecode(p), "reason": e.strerror or str(e)} for p, e in walk.unreadable]
    result.seconds = time.monotonic() - started
    return result
