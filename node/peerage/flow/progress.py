"""How far a backup is, and how much there is to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from peerage.source.select import Selector, is_cache


@dataclass(slots=True)
class Progress:
    """What has been done so far; read by other threads, so only ever counted up. size, size_read: bytes."""

    files: int = 0
    directories: int = 0
    excluded: int = 0
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


def scan_paths(paths: Sequence[bytes], scan: Scan, selector: Selector) -> None:
    """Count the files and bytes under `paths` that `selector` takes, without following links; stops when told to."""
    for root in paths:
        stack = [root]
        while stack and not scan.stopped:
            path = stack.pop()
            try:
                if selector.exclude_caches and is_cache(path):
                    scan.files += 1
                    continue
                with os.scandir(path) as entries:
                    stack += [entry.path for entry in entries if _is_directory_to_enter(entry, root, scan, selector)]
            except NotADirectoryError:
                scan.files += 1
                scan.bytes += os.lstat(path).st_size
            except OSError:
                continue  # the archiver reports it by name
    scan.done = not scan.stopped


def _is_directory_to_enter(entry: os.DirEntry[bytes], root: bytes, scan: Scan, selector: Selector) -> bool:
    """Count what is no directory; True for a directory that is to be looked into."""
    is_directory = entry.is_dir(follow_symlinks=False)
    if not selector.takes(entry.path[len(root) :].lstrip(b"/"), is_directory):
        return False
    if is_directory:
        if not selector.one_file_system:
            return True
        return not selector.crosses(entry.stat(follow_symlinks=False).st_dev, os.lstat(root).st_dev)
    scan.files += 1
    if entry.is_file(follow_symlinks=False):
        scan.bytes += entry.stat(follow_symlinks=False).st_size
    return False
