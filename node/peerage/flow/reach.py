"""Which blobs the snapshots need: every tree is read once, however many snapshots share it."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from peerage.errors import IntegrityError, TooFewShards
from peerage.flow.context import NodeContext, Report
from peerage.flow.fetch import BlobCache
from peerage.flow.snapshots import entries_of, load, summaries
from peerage.model import ChunkId
from peerage.snapshot.snapshot import SnapshotSummary
from peerage.snapshot.tree import Entry, EntryType, split_ids

T = TypeVar("T")


class Blobs:
    """A set of blobs by pack number and ordinal: about a bit each."""

    def __init__(self) -> None:
        self._bits: dict[int, bytearray] = {}

    def add(self, no: int, ordinal: int) -> bool:
        """Whether it is new."""
        bits = self._bits.setdefault(no, bytearray())
        at, bit = ordinal >> 3, 1 << (ordinal & 7)
        if at >= len(bits):
            bits.extend(bytes(at + 1 - len(bits)))
        new = not bits[at] & bit
        bits[at] |= bit
        return new

    def has(self, no: int, ordinal: int) -> bool:
        bits = self._bits.get(no, b"")
        return ordinal >> 3 < len(bits) and bool(bits[ordinal >> 3] & 1 << (ordinal & 7))

    def __contains__(self, no: int) -> bool:
        """Whether any blob of this pack is in the set."""
        return no in self._bits


@dataclass(slots=True)
class Reach:
    """blobs: all that the snapshots need. damage: what they need and cannot have, by snapshot and path; bounded."""

    blobs: Blobs = field(default_factory=Blobs)
    damage: list[dict[str, str]] = field(default_factory=list)
    trees: int = 0
    snapshots: int = 0


MAX_DAMAGE = 10_000


async def reach(context: NodeContext, cache: BlobCache, report: Report) -> Reach:
    """Walk all snapshots. A damaged tree is damage too. Raises TooFewShards when one cannot be had now."""
    walk = _Walk(context, cache, Reach())
    listed = summaries(context)
    for number, summary in enumerate(listed, 1):
        await walk.snapshot(summary)
        walk.found.snapshots = number
        report({"event": "progress", "phase": "trees", "files": number, "files_total": len(listed)})
    return walk.found


class _Walk:
    def __init__(self, context: NodeContext, cache: BlobCache, found: Reach) -> None:
        self._context = context
        self._cache = cache
        self.found = found
        self._in = ""

    async def snapshot(self, summary: SnapshotSummary) -> None:
        self._in = summary.id.hex()
        if not self._mark(ChunkId(summary.id), b""):
            return
        snapshot = await self._read(b"", load(self._cache, summary.id))
        if snapshot is None:
            return
        stack = [(b"", snapshot.subtree)]
        while stack:
            path, subtree = stack.pop()
            # Marked one by one: a directory's blobs may be shared with another's.
            if not any([self._mark(id, path) for id in split_ids(subtree)]):
                continue
            self.found.trees += 1
            for entry in await self._read(path, entries_of(self._cache, subtree)) or ():
                if entry.type is EntryType.DIRECTORY:
                    stack.append((path + b"/" + entry.name, entry.subtree))
                elif entry.content:
                    await self._file(path + b"/" + entry.name, entry)

    async def _file(self, path: bytes, entry: Entry) -> None:
        for id in split_ids(entry.content):
            if self._mark(id, path) and entry.depth:
                for inner in await self._read(path, self._ids(id)) or ():
                    self._mark(inner, path)

    async def _ids(self, id: ChunkId) -> list[ChunkId]:
        return split_ids(await self._cache.get(id))

    async def _read(self, path: bytes, reading: Awaitable[T]) -> T | None:
        """What is read, or None when it is damaged; that it cannot be had now is another matter, and raised."""
        try:
            return await reading
        except TooFewShards:
            raise
        except IntegrityError as error:
            self._damaged(path, str(error))
            return None

    def _mark(self, id: ChunkId, path: bytes) -> bool:
        """Whether the blob is there, and seen for the first time."""
        found = self._context.catalogue.locate(id)
        if found is None:
            self._damaged(path, f"chunk {id.hex()[:16]} is in no pack")
            return False
        return self.found.blobs.add(found[0], found[1].ordinal)

    def _damaged(self, path: bytes, reason: str) -> None:
        if len(self.found.damage) < MAX_DAMAGE:
            shown = path.decode("utf-8", "backslashreplace") or "/"
            self.found.damage.append({"snapshot": self._in, "path": shown, "reason": reason})
