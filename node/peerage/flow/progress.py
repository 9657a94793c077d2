"""How far a backup is, and how much there is to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """What has been done so far; read by other threads, so only ever counted up. size, size_read: bytes."""

    files: int = 0
    directories: int = 0
    size: int = 0
    size_read: int = 0
    current: bytes = b""
    unreadable: list[tuple[bytes, str]] = field(default_factory=list)
    changed: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Scan:
    """How much there is, found while the backup already runs; for progress and for sizing agreements."""

    files: int = 0
    bytes: int = 0
    done: bool = False
    stopped: bool = False


def scan_paths(paths: Sequence[bytes], scan: Scan) -> None:
    """Count files and bytes under `paths`, without following links; stops early when told to."""
    stack = list(paths)
    while stack and not scan.stopped:
        path = stack.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                        continue
                    scan.files += 1
                    if entry.is_file(follow_symlinks=False):
                        scan.bytes += entry.stat(follow_symlinks=False).st_size
        except NotADirectoryError:
            scan.files += 1
            scan.bytes += os.lstat(path).st_size
        except OSError:
            continue  # the archiver reports it by name
    scan.done = not scan.stopped
