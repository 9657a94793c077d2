"""The verbs that make snapshots: backup of paths, and of what is piped in (node/spec/owner-interface.md)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from peerage.daemon.owner import Read
from peerage.daemon.params import flag, string, strings, text
from peerage.errors import UserError
from peerage.flow.backup import BackupOptions, backup
from peerage.flow.context import NodeContext, Report
from peerage.flow.preview import preview
from peerage.flow.stream import Stream
from peerage.source.select import Selector


class BackupVerbs:
    """One backup at a time. joined: the node's context, or an error while it has none."""

    def __init__(self, joined: Callable[[], NodeContext]) -> None:
        self._joined = joined
        self._lock = asyncio.Lock()

    @property
    def busy(self) -> bool:
        return self._lock.locked()

    async def backup(self, params: dict[str, Any], report: Report) -> dict[str, Any]:
        paths = [os.fsencode(p) for p in strings(params, "paths")]
        options = _options(params)
        if flag(params, "dry_run"):
            return asdict(await preview(self._joined(), paths, options, report))
        return await self._run(paths, options, report)

    async def backup_stream(self, params: dict[str, Any], report: Report, read: Read) -> dict[str, Any]:
        """One file, as the caller sends it. A caller that goes away, or says why it failed, leaves no snapshot."""
        return await self._run([], _options(params, Stream(os.fsencode(string(params, "name")), read)), report)

    async def _run(self, paths: list[bytes], options: BackupOptions, report: Report) -> dict[str, Any]:
        context = self._joined()
        if self._lock.locked():
            raise UserError("a backup is already running on this node: wait for it to end")
        async with self._lock:
            return asdict(await backup(context, paths, report, options))


def _options(params: dict[str, Any], stream: Stream | None = None) -> BackupOptions:
    selector = Selector(strings(params, "exclude"), flag(params, "one_file_system"), flag(params, "exclude_caches"))
    tags = tuple(strings(params, "tags"))
    host = text(params, "host")
    return BackupOptions(selector, tags, host, stream) if host else BackupOptions(selector, tags, stream=stream)
