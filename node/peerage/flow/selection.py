"""Which part of a snapshot is meant, and the walk through just that part."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from peerage.errors import UserError
from peerage.flow.fetch import BlobCache
from peerage.flow.snapshots import entries_of, shown
from peerage.snapshot.glob import Globs, Path, names_of
from peerage.snapshot.snapshot import Snapshot
from peerage.snapshot.tree import Entry, EntryType

NOTHING = Globs([])


class Take(Enum):
    """What to do with an entry: leave it and all below it out, look below it for what is wanted, or take it whole."""

    NO = 0
    LOOK_BELOW = 1
    YES = 2


class Selection:
    """The source paths in `include` and what matches `patterns`, with all below them (everything, if both are empty),
    but nothing that matches `exclude`."""

    def __init__(
        self, snapshot: Snapshot, include: Sequence[bytes] = (), patterns: Globs = NOTHING, exclude: Globs = NOTHING
    ) -> None:
        """Raises UserError for a path outside the snapshot."""
        prefix = snapshot.prefix.rstrip(b"/")
        self._base = names_of(prefix)
        self._wanted: list[Path] = []
        for path in include:
            clean = os.path.normpath(path)
            inside = clean[len(prefix) :] if clean == prefix or clean.startswith(prefix + b"/") else None
            if inside is None:
                raise UserError(f"{os.fsdecode(path)} is not in the snapshot, which holds {shown(snapshot)}")
            self._wanted.append(names_of(inside))
        self._missing = {wanted for wanted in self._wanted if wanted}
        self._patterns = patterns
        self._exclude = exclude
        self._matched = False

    @property
    def partial(self) -> bool:
        """Whether anything may be left out."""
        return bool(self._wanted or self._patterns or self._exclude)

    def excludes(self, path: Path) -> bool:
        """Whether the names at this path of the tree are left out by name. Thread-safe."""
        return self._exclude.matches((*self._base, *path))

    def take(self, path: Path, entry: Entry, inside: bool) -> Take:
        """What to do with the entry at this path of the tree. inside: a directory above it is taken whole."""
        self._missing.discard(path)
        full = (*self._base, *path)
        if self._exclude and self._exclude.matches(full):
            return Take.NO
        if inside or not (self._wanted or self._patterns):
            return Take.YES
        if any(path[: len(wanted)] == wanted for wanted in self._wanted):
            return Take.YES
        if self._patterns.matches(full):
            self._matched = True
            return Take.YES
        if entry.type is EntryType.DIRECTORY and (
            self._patterns.reaches_below(full) or any(path == wanted[: len(path)] for wanted in self._wanted)
        ):
            return Take.LOOK_BELOW
        return Take.NO

    def check(self) -> None:
        """Raises UserError for a wanted path that the walk never met, or patterns that nothing matched."""
        for wanted in self._missing:
            name = os.fsdecode(b"/".join(wanted))
            raise UserError(f"{name} is not in the snapshot: `peerage ls` shows what is")
        if self._patterns and not self._wanted and not self._matched:
            raise UserError("nothing in the snapshot matches: `peerage find` looks for names")


class Step(NamedTuple):
    """One step of a walk. entering: False when a directory is left. whole: not only on the way to something."""

    path: Path
    entry: Entry
    entering: bool
    whole: bool


@dataclass(slots=True)
class _Frame:
    path: Path
    entry: Entry | None
    left: list[Entry]
    whole: bool
    told: bool


async def walk(cache: BlobCache, subtree: bytes, selection: Selection) -> AsyncIterator[Step]:
    """Depth first through what is selected. A directory on the way to it is told of only when there is something."""
    stack = [_Frame((), None, (await entries_of(cache, subtree))[::-1], False, True)]
    while stack:
        top = stack[-1]
        if not top.left:
            stack.pop()
            if top.entry is not None and top.told:
                yield Step(top.path, top.entry, False, top.whole)
            continue
        entry = top.left.pop()
        here = (*top.path, entry.name)
        take = selection.take(here, entry, top.whole)
        if take is Take.NO:
            continue
        whole = take is Take.YES
        if whole:
            if not top.told:
                for frame in stack:
                    if frame.entry is not None and not frame.told:
                        frame.told = True
                        yield Step(frame.path, frame.entry, True, False)
            yield Step(here, entry, True, True)
        if entry.type is EntryType.DIRECTORY:
            stack.append(_Frame(here, entry, (await entries_of(cache, entry.subtree))[::-1], whole, whole))
