"""The owner's verbs that look into snapshots. They share one reader, let go when nobody has asked for a while."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from peerage.daemon.owner import Write
from peerage.daemon.params import flag, integer, paths_bytes, string, strings, text
from peerage.errors import UserError
from peerage.flow.context import NodeContext, Report
from peerage.flow.fetch import BlobCache
from peerage.flow.files import Reader
from peerage.flow.rehearse import rehearse
from peerage.flow.restore import RestoreOptions, restore
from peerage.flow.search import Row, Wanted, compare, count_links, search
from peerage.flow.snapshots import find, list_directory, load, lookup, summaries
from peerage.flow.stats import stats
from peerage.snapshot.glob import Globs, names_of
from peerage.snapshot.tree import EntryType, split_ids

_RENEW_S = 60.0  # providers that failed are asked again after so long
_IDLE_S = 120.0
MAX_FILES = 256  # of one request
MAX_SMALL = 1 << 20  # bytes of each
_BATCH_BYTES = 64 << 10  # of rows that are written together
_BATCH_S = 0.2


class ReadingVerbs:
    """joined: the node's context, or an error while it has none."""

    def __init__(self, joined: Callable[[], NodeContext]) -> None:
        self._joined = joined
        self._shared: Reader | None = None
        self._renewed_s = 0.0
        self._idle: asyncio.TimerHandle | None = None

    def _reader(self) -> Reader:
        context = self._joined()
        loop = asyncio.get_running_loop()
        if self._shared is None:
            self._shared, self._renewed_s = Reader(context), loop.time()
        elif loop.time() - self._renewed_s > _RENEW_S:
            self._shared.fetcher.renew()
            self._renewed_s = loop.time()
        if self._idle is not None:
            self._idle.cancel()
        self._idle = loop.call_later(_IDLE_S, self._let_go)
        return self._shared

    def _let_go(self) -> None:
        self._shared = self._idle = None

    async def ls(self, params: dict[str, Any], _report: Report) -> dict[str, Any]:
        path = str(params.get("path") or "")
        return await list_directory(self._joined(), self._reader().blobs, string(params, "snapshot"), path)

    async def stats(self, _params: dict[str, Any], _report: Report) -> dict[str, Any]:
        context = self._joined()
        return await context.in_worker(stats, context)

    async def restore(self, params: dict[str, Any], report: Report) -> dict[str, Any]:
        wanted, target, include, options = _restore_of(params)
        return asdict(await restore(self._joined(), wanted, target, include, report, options))

    async def preview(self, params: dict[str, Any], write: Write) -> dict[str, Any]:
        """Rows of what a restore with these parameters would do, and how many of each."""
        context = self._joined()
        wanted, target, include, options = _restore_of(params)
        counts: dict[str, int] = {}
        cache = BlobCache(context, self._reader().fetcher)
        await _write_rows(rehearse(context, cache, wanted, target, include, options, counts), write)
        return {"target": str(target), "counts": counts}

    async def find(self, params: dict[str, Any], write: Write) -> dict[str, Any]:
        """Rows of what matches in one snapshot, `latest` by default, or in all."""
        context = self._joined()
        wanted = Wanted(
            Globs(strings(params, "patterns"), flag(params, "ignore_case")),
            frozenset(_type(name) for name in strings(params, "types")),
            _time(params, "newer_ns"),
            _time(params, "older_ns"),
            integer(params, "at_least"),
            integer(params, "at_most"),
        )
        if not wanted.globs:
            raise UserError("there is no pattern: name one, such as '*.txt'")
        every = flag(params, "all")
        snapshots = summaries(context) if every else [find(context, text(params, "snapshot") or "latest")]
        cache = BlobCache(context, self._reader().fetcher)
        return {"matches": await _write_rows(search(cache, snapshots, wanted), write)}

    async def diff(self, params: dict[str, Any], write: Write) -> dict[str, Any]:
        """Rows of what differs between two snapshots, at and below a source path."""
        context = self._joined()
        cache = BlobCache(context, self._reader().fetcher)
        old, new = (find(context, string(params, name)) for name in ("old", "new"))
        before, after = await load(cache, old.id), await load(cache, new.id)
        path = os.fsencode(text(params, "path"))
        at = names_of(path if path.startswith(b"/") else after.prefix + b"/" + path)
        rows = compare(cache, before, after, at)
        return {"old": old.id.hex(), "new": new.id.hex(), "changes": await _write_rows(rows, write)}

    async def cat(self, params: dict[str, Any], write: Write) -> dict[str, Any]:
        """Bytes [offset, offset+length) of a file; all of it by default."""
        reader = self._reader()
        path = string(params, "path")
        offset, length = integer(params, "offset") or 0, integer(params, "length")
        entry = await lookup(reader.blobs, await reader.snapshot(string(params, "snapshot")), os.fsencode(path))
        if entry is None or entry.type is not EntryType.FILE:
            what = "directory" if entry is None else entry.type.name.lower()
            raise UserError(f"{path} is a {what}: name a file (`peerage ls` shows what is in a directory)")
        sent = 0
        async with aclosing(reader.read(await reader.content(entry), offset, length)) as pieces:
            async for data in pieces:
                await write(data)
                sent += len(data)
        return {"size": entry.size, "bytes": sent}

    async def tree(self, params: dict[str, Any], write: Write) -> dict[str, Any]:
        """The tree blobs of a directory, each behind its length (u32be): by their ids, or of a snapshot's root."""
        reader = self._reader()
        wanted = text(params, "snapshot")
        subtree = (await reader.snapshot(wanted)).subtree if wanted else _ids(params, "ids")
        for id in split_ids(subtree):
            blob = await reader.blobs.get(id)
            await write(len(blob).to_bytes(4, "big"))
            await write(blob)
        return {"ids": subtree.hex()}

    async def read(self, params: dict[str, Any], write: Write) -> dict[str, Any]:
        """Bytes of a file that is named by its directory's ids: what reads bit by bit need not find its path anew."""
        reader = self._reader()
        content = await reader.content_at(_ids(params, "ids"), os.fsencode(string(params, "name")))
        async with aclosing(reader.read(content, integer(params, "offset") or 0, integer(params, "length"))) as pieces:
            async for data in pieces:
                await write(data)
        return {"size": content.size}

    async def files(self, params: dict[str, Any], write: Write) -> dict[str, Any]:
        """Several files of one directory, whole, each behind its length (u32be): small ones cost a request together."""
        reader = self._reader()
        ids, names = _ids(params, "ids"), paths_bytes(params, "names")
        if len(names) > MAX_FILES:
            raise UserError(f"{len(names)} files are too many for one request: ask for at most {MAX_FILES}")
        for name in names:
            content = await reader.content_at(ids, name)
            if content.size > MAX_SMALL:
                raise UserError(f"{os.fsdecode(name)} is too large to be read with others")
            data = b"".join([piece async for piece in reader.read(content)])
            await write(len(data).to_bytes(4, "big") + data)
        return {}

    async def links(self, params: dict[str, Any], write: Write) -> dict[str, Any]:
        """How many names each group of hard links has in a snapshot, as JSON. Walks all of it."""
        cache = BlobCache(self._joined(), self._reader().fetcher)
        snapshot = await load(cache, find(self._joined(), string(params, "snapshot")).id)
        await write(json.dumps(await count_links(cache, snapshot)).encode())
        return {}


async def _write_rows(rows: AsyncIterator[Row], write: Write) -> int:
    """Write rows as JSON lines, a batch at a time; returns how many."""
    loop = asyncio.get_running_loop()
    waiting, count, written_s = bytearray(), 0, loop.time()
    async for row in rows:
        waiting += json.dumps(row, ensure_ascii=True).encode() + b"\n"
        count += 1
        if len(waiting) > _BATCH_BYTES or loop.time() - written_s > _BATCH_S:
            await write(waiting)
            waiting, written_s = bytearray(), loop.time()
    await write(waiting)
    return count


def _restore_of(params: dict[str, Any]) -> tuple[str, Path, list[bytes], RestoreOptions]:
    """(snapshot, target, include, options) of a restore or its preview. Raises UserError."""
    target = Path(string(params, "target"))
    if not target.is_absolute():
        raise UserError("the target must be an absolute path")
    options = RestoreOptions(
        Globs(strings(params, "patterns")),
        Globs(strings(params, "exclude")),
        flag(params, "in_place"),
        flag(params, "delete"),
        flag(params, "verify"),
    )
    return string(params, "snapshot"), target, paths_bytes(params, "include"), options


def _type(name: str) -> EntryType:
    found = {t.name.lower(): t for t in EntryType if t is not EntryType.SOCKET}
    if name not in found:
        raise UserError(f"{name} is no type: there are {', '.join(found)}")
    return found[name]


def _time(params: dict[str, Any], name: str) -> int | None:
    value = params.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.removeprefix("-").isdecimal() or len(value) > 20:
        raise UserError(f"the parameter {name} must be nanoseconds since 1970, as text")
    return int(value)


def _ids(params: dict[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(text(params, name))
    except ValueError:
        raise UserError(f"the parameter {name} must be ids in hexadecimal") from None
