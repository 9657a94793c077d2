"""Hard links: a file with several names is read once, under the first; the others wait for what was found."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Generic, TypeVar

from peerage.snapshot.tree import Entry

W = TypeVar("W")
Identity = tuple[int, int]
"""Device and inode."""


class Turn(Enum):
    READ = auto()
    """The caller reads the file, and says later how that ended."""
    WAIT = auto()
    """Another name is being read; the caller's waiter is handed to whoever reads it."""
    KNOWN = auto()
    """Another name was read: its entry has the content."""


@dataclass(slots=True)
class _Group(Generic[W]):
    number: int
    reading: bool = True
    first: Entry | None = None
    waiting: list[W] = field(default_factory=list)


class HardLinks(Generic[W]):
    """The hard-linked files of one run, by identity. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[Identity, _Group[W]] = {}

    def number(self, identity: Identity) -> int:
        """The number of a group whose names need no reading (symlinks, fifos, devices have several names too)."""
        with self._lock:
            return self._groups.setdefault(identity, _Group(len(self._groups) + 1)).number

    def join(self, identity: Identity, waiter: W) -> tuple[int, Turn, Entry | None]:
        """Another name: (its group's number, what to do, the first name's entry if that is known)."""
        with self._lock:
            group = self._groups.get(identity)
            if group is None:
                group = self._groups[identity] = _Group(len(self._groups) + 1)
                return group.number, Turn.READ, None
            if group.first is not None:
                return group.number, Turn.KNOWN, group.first
            if not group.reading:  # the name before could not be read; this one may
                group.reading = True
                return group.number, Turn.READ, None
            group.waiting.append(waiter)
            return group.number, Turn.WAIT, None

    def done(self, identity: Identity, entry: Entry) -> list[W]:
        """The reader has the content; those that waited for it are now the caller's to serve."""
        with self._lock:
            group = self._groups[identity]
            group.first = entry
            waiting, group.waiting = group.waiting, []
            return waiting

    def failed(self, identity: Identity) -> list[W]:
        """The reader failed, and with it those that waited; a name that comes later is read again."""
        with self._lock:
            group = self._groups[identity]
            group.reading = False
            waiting, group.waiting = group.waiting, []
            return waiting
