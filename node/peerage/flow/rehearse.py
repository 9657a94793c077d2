"""What a restore would do, without doing any of it: no data is fetched, and nothing is touched."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from peerage.flow.context import NodeContext
from peerage.flow.fetch import BlobCache
from peerage.flow.restore import RestoreOptions, backed_up
from peerage.flow.selection import Selection, walk
from peerage.flow.snapshots import entries_of, find, load
from peerage.snapshot.tree import EntryType
from peerage.source.replace import Replacer, State

Row = dict[str, Any]


async def rehearse(
    context: NodeContext,
    cache: BlobCache,
    wanted: str,
    target: Path,
    include: Sequence[bytes],
    options: RestoreOptions,
    counts: dict[str, int],
) -> AsyncIterator[Row]:
    """A row for each name that would be created, replaced, given other metadata, or deleted; those kept are counted.

    counts: filled with how many of each action, and `bytes`, what the files to be written hold. Sizes and times are
    compared, not contents. Raises UserError as restore() does.
    """
    options.check()
    snapshot = await load(cache, find(context, wanted).id)
    selection = Selection(snapshot, include, options.patterns, options.exclude)
    replacer = Replacer(target, options.delete)
    try:
        there = options.in_place and await context.in_worker(replacer.look)
        async for path, entry, entering, whole in walk(cache, snapshot.subtree, selection):
            if entering:
                state = await context.in_worker(replacer.state_of, path, entry) if there else State.CREATE
                counts[state.value] = counts.get(state.value, 0) + 1
                writes = entry.type is EntryType.FILE and state in (State.CREATE, State.REPLACE)
                counts["bytes"] = counts.get("bytes", 0) + (entry.size if writes else 0)
                if state is not State.KEEP:
                    yield _row(state.value, path, entry.type.name.lower(), entry.size)
            elif there and options.delete and whole and backed_up(snapshot, path):
                names = {e.name for e in await entries_of(cache, entry.subtree)}
                for name in await context.in_worker(replacer.others, path, names, selection.excludes):
                    counts["delete"] = counts.get("delete", 0) + 1
                    yield _row("delete", (*path, name), "", 0)
        selection.check()
    finally:
        await context.in_worker(replacer.close)


def _row(action: str, path: tuple[bytes, ...], type: str, size: int) -> Row:
    return {"action": action, "path": os.fsdecode(b"/".join(path)), "type": type, "size": size}
