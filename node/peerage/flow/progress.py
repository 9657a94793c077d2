"""How far a backup is, and how much there is to do."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from peerage.source.select import CACHE_TAG, Selector, is_cache


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


class Walk:
    """Every name under some paths that a selector takes, but directories and sockets; links are not followed.

    excluded: names that it did not take. unreadable: (path, reason) of what could not be looked at.
    """

    def __init__(self, selector: Selector) -> None:
        self._selector = selector
        self.excluded = 0
        self.unreadable: list[tuple[bytes, OSError]] = []

    def under(self, paths: Sequence[bytes]) -> Iterator[tuple[bytes, os.stat_result]]:
        """(path, its lstat), in no particular order."""
        for root in paths:
            try:
                st = os.lstat(root)
            except OSError as error:
                self.unreadable.append((root, error))
                continue
            if not stat.S_ISDIR(st.st_mode):
                yield root, st
                continue
            stack = [root]
            while stack:
                for path, st_inside in self._list(stack.pop(), len(root), st.st_dev):
                    if stat.S_ISDIR(st_inside.st_mode):
                        stack.append(path)
                    elif not stat.S_ISSOCK(st_inside.st_mode):
                        yield path, st_inside

    def _list(self, directory: bytes, root_length: int, device: int) -> Iterator[tuple[bytes, os.stat_result]]:
        only = CACHE_TAG if self._selector.exclude_caches and is_cache(directory) else None
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if only is not None and entry.name != only:
                        continue
                    try:
                        st = entry.stat(follow_symlinks=False)
                    except OSError as error:
                        self.unreadable.append((entry.path, error))
                        continue
                    is_directory = stat.S_ISDIR(st.st_mode)
                    if not self._selector.takes(entry.path[root_length:].lstrip(b"/"), is_directory):
                        self.excluded += 1
                    elif not (is_directory and self._selector.crosses(st.st_dev, device)):
                        yield entry.path, st
        except OSError as error:
            self.unreadable.append((directory, error))


def scan_paths(paths: Sequence[bytes], scan: Scan, selector: Selector) -> None:
    """Count the files and bytes under `paths` that `selector` takes; stops when told to."""
    for _, st in Walk(selector).under(paths):
        if scan.stopped:
            return
        scan.files += 1
        scan.bytes += st.st_size if stat.S_ISREG(st.st_mode) else 0
    scan.done = True
