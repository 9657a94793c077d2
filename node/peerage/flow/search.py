"""Finding names in snapshots, and telling two snapshots apart. Both yield rows as --json shows them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from peerage.flow.fetch import BlobCache
from peerage.flow.snapshots import entries_of, listed, load
from peerage.snapshot.glob import Globs, Path, joined, names_of
from peerage.snapshot.snapshot import Snapshot, SnapshotSummary
from peerage.snapshot.tree import Entry, EntryType

_METADATA = ("mode", "uid", "gid", "user", "group", "mtime_ns", "rdev", "xattrs")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched for. types: none means all. Times are nanoseconds since 1970; sizes, of files alone, bytes."""

    globs: Globs
    types: frozenset[EntryType] = frozenset()
    newer_ns: int | None = None
    older_ns: int | None = None
    at_least: int | None = None
    at_most: int | None = None

    def takes(self, path: Path, entry: Entry) -> bool:
        if self.types and entry.type not in self.types:
            return False
        if self.newer_ns is not None and entry.mtime_ns < self.newer_ns:
            return False
        if self.older_ns is not None and entry.mtime_ns >= self.older_ns:
            return False
        if self.at_least is not None or self.at_most is not None:
            if entry.type is not EntryType.FILE:
                return False
            if not (self.at_least or 0) <= entry.size <= (entry.size if self.at_most is None else self.at_most):
                return False
        return self.globs.matches(path)


async def search(cache: BlobCache, snapshots: Sequence[SnapshotSummary], wanted: Wanted) -> AsyncIterator[Row]:
    """Every entry that is wanted, snapshot by snapshot; directories that hold nothing wanted are not read."""
    for summary in snapshots:
        snapshot = await load(cache, summary.id)
        base = names_of(snapshot.prefix)
        stack: list[tuple[Path, bytes]] = [(base, snapshot.subtree)]
        while stack:
            directory, subtree = stack.pop()
            below: list[tuple[Path, bytes]] = []
            for entry in await entries_of(cache, subtree):
                path = (*directory, entry.name)
                if wanted.takes(path, entry):
                    yield {"snapshot_id": summary.id.hex(), "path": os.fsdecode(joined(path)), **listed(entry)}
                if entry.type is EntryType.DIRECTORY and wanted.globs.reaches_below(path):
                    below.append((path, entry.subtree))
            stack += reversed(below)


async def count_links(cache: BlobCache, snapshot: Snapshot) -> dict[int, int]:
    """How many names each group of hard links has in a snapshot."""
    counts: Counter[int] = Counter()
    stack = [snapshot.subtree]
    while stack:
        for entry in await entries_of(cache, stack.pop()):
            if entry.links:
                counts[entry.links] += 1
            if entry.type is EntryType.DIRECTORY:
                stack.append(entry.subtree)
    return counts


async def compare(cache: BlobCache, old: Snapshot, new: Snapshot, at: Path) -> AsyncIterator[Row]:
    """What differs at and below a source path. Subtrees of equal ids are equal and not read.

    A row's change is added, removed, type, content or metadata; `fields` says what of the metadata. Hard links and
    directories' sizes are not compared.
    """
    pairs: list[tuple[Path, Entry | None, Entry | None]] = []
    olds, news = await _top(cache, old, at), await _top(cache, new, at)
    pairs += [(path, olds.get(path), news.get(path)) for path in sorted(olds.keys() | news.keys(), reverse=True)]
    while pairs:
        path, before, after = pairs.pop()
        row = _row(path, before, after)
        if row is not None:
            yield row
        was, is_ = _subtree(before), _subtree(after)
        if was == is_:
            continue
        left = {e.name: e for e in await entries_of(cache, was)}
        right = {e.name: e for e in await entries_of(cache, is_)}
        # Equal entries go at once: of a large directory in which little changed, only that waits in memory.
        names = sorted((n for n in left.keys() | right.keys() if left.get(n) != right.get(n)), reverse=True)
        pairs += [((*path, name), left.get(name), right.get(name)) for name in names]


async def _top(cache: BlobCache, snapshot: Snapshot, at: Path) -> dict[Path, Entry]:
    """The entries to begin with, by source path: that at `at`, or the root's when it lies above the root."""
    base = names_of(snapshot.prefix)
    if at == base[: len(at)]:
        return {(*base, e.name): e for e in await entries_of(cache, snapshot.subtree)}
    if base != at[: len(base)]:
        return {}
    subtree, entry = snapshot.subtree, None
    for name in at[len(base) :]:
        entry = next((e for e in await entries_of(cache, subtree) if e.name == name), None)
        if entry is None:
            return {}
        subtree = entry.subtree
    return {} if entry is None else {at: entry}


def _subtree(entry: Entry | None) -> bytes:
    return entry.subtree if entry is not None else b""


def _row(path: Path, before: Entry | None, after: Entry | None) -> Row | None:
    row: Row = {"path": os.fsdecode(joined(path))}
    one = after or before
    assert one is not None
    row["type"] = one.type.name.lower()
    if before is None or after is None:
        return {"change": "added" if before is None else "removed", **row, "size": one.size}
    sizes = {"size_before": before.size, "size": after.size}
    if before.type is not after.type:
        return {"change": "type", **row, "type_before": before.type.name.lower(), **sizes}
    fields = [name for name in _METADATA if getattr(before, name) != getattr(after, name)]
    if _content(before) != _content(after):
        return {"change": "content", **row, **sizes, "fields": fields}
    return {"change": "metadata", **row, **sizes, "fields": fields} if fields else None


def _content(entry: Entry) -> tuple[object, ...]:
    return entry.size, entry.content, entry.depth, entry.extents, entry.target
