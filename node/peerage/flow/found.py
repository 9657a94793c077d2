"""What the walker meets: directories whose children are still coming, and regular files to be read."""

from __future__ import annotations

import os
from dataclasses import dataclass

from peerage.snapshot.tree import Entry


class Directory:
    """A directory whose children are still coming. waiting: children not yet done, and the walker itself."""

    __slots__ = ("children", "entry", "parent", "waiting")

    def __init__(self, parent: Directory | None, entry: Entry) -> None:
        self.parent = parent
        self.entry = entry
        self.children: list[Entry] = []
        self.waiting = 1


@dataclass(slots=True)
class Found:
    """A regular file that the walker met."""

    directory: Directory
    entry: Entry
    path: bytes
    before: os.stat_result

    @property
    def identity(self) -> tuple[int, int]:
        return self.before.st_dev, self.before.st_ino
