"""Finding a snapshot and looking into it."""

from __future__ import annotations

import os
from typing import Any

from peerage.errors import UserError
from peerage.flow.context import NodeContext
from peerage.flow.fetch import BlobCache
from peerage.model import ChunkId
from peerage.snapshot.snapshot import Snapshot, SnapshotSummary, decode_snapshot, decode_summary
from peerage.snapshot.tree import Entry, EntryType, decode_tree, split_ids

MIN_PREFIX = 4


def summaries(context: NodeContext) -> list[SnapshotSummary]:
    """All snapshots, oldest first."""
    return [decode_summary(s) for s in context.catalogue.snapshots()]


def find(context: NodeContext, wanted: str) -> SnapshotSummary:
    """A snapshot by id, unique prefix of one, or 'latest'. Raises UserError that says what there is."""
    known = summaries(context)
    if not known:
        raise UserError("there is no snapshot yet: make one with `peerage backup PATH`")
    if wanted == "latest":
        return known[-1]
    wanted = wanted.lower().removeprefix("0x")
    matches = [s for s in known if s.id.hex().startswith(wanted)] if len(wanted) >= MIN_PREFIX else []
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UserError(f"{len(matches)} snapshots begin with {wanted}: give more of the id")
    raise UserError(f"there is no snapshot {wanted}: `peerage snapshots` lists the {len(known)} there are")


async def load(cache: BlobCache, id: bytes) -> Snapshot:
    return decode_snapshot(await cache.get(ChunkId(id)))


async def entries_of(cache: BlobCache, subtree: bytes) -> list[Entry]:
    """A directory's entries, in the order of their names."""
    return decode_tree([await cache.get(id) for id in split_ids(subtree)])


async def lookup(cache: BlobCache, snapshot: Snapshot, path: bytes) -> Entry | None:
    """The entry at a source path, or at a path of the tree's own names; None for the root, which has no entry.

    Raises UserError when there is none.
    """
    prefix = snapshot.prefix.rstrip(b"/")
    raw = path
    if raw.startswith(b"/") and (raw + b"/").startswith(prefix + b"/"):
        raw = raw[len(prefix) :]
    found: Entry | None = None
    subtree = snapshot.subtree
    for part in (p for p in raw.split(b"/") if p not in (b"", b".")):
        if found is not None and found.type is not EntryType.DIRECTORY:
            raise UserError(f"{os.fsdecode(found.name)} is no directory in this snapshot: `peerage ls` shows what is")
        found = next((e for e in await entries_of(cache, subtree) if e.name == part), None)
        if found is None:
            raise UserError(f"{os.fsdecode(path)} is not in the snapshot, which holds {shown(snapshot)}")
        subtree = found.subtree
    return found


async def list_directory(context: NodeContext, cache: BlobCache, wanted: str, path: str) -> dict[str, Any]:
    """The entries under a source path of a snapshot, or the given paths themselves when it is empty."""
    summary = find(context, wanted)
    snapshot = await load(cache, summary.id)
    entry = await lookup(cache, snapshot, os.fsencode(path))
    if entry is not None and entry.type is not EntryType.DIRECTORY:
        found = [entry]
    else:
        found = await entries_of(cache, snapshot.subtree if entry is None else entry.subtree)
    return {"snapshot_id": summary.id.hex(), "path": path, "entries": [listed(e) for e in found]}


def listed(entry: Entry) -> dict[str, Any]:
    """An entry as --json shows it."""
    return {
        "name": os.fsdecode(entry.name),
        "type": entry.type.name.lower(),
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
        "user": entry.user,
        "group": entry.group,
        "size": entry.size,
        "mtime_ns": str(entry.mtime_ns),
        "target": os.fsdecode(entry.target) if entry.target else "",
    }


def shown(snapshot: Snapshot) -> str:
    """The source paths of a snapshot, for a message."""
    return ", ".join(os.fsdecode(p) for p in snapshot.paths)
