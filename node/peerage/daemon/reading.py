"""The owner's verbs that look into snapshots. They share one reader, let go when nobody has asked for a while."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from peerage.daemon.owner import Write
from peerage.daemon.params import integer, string
from peerage.errors import UserError
from peerage.flow.context import NodeContext, Report
from peerage.flow.files import Reader
from peerage.flow.snapshots import list_directory, lookup
from peerage.snapshot.tree import EntryType

_RENEW_S = 60.0  # providers that failed are asked again after so long
_IDLE_S = 120.0


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
