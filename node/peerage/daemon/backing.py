"""The verbs that make snapshots: backup of paths, and of what is piped in (node/spec/owner-interface.md)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from peerage.daemon.hooks import around_backup
from peerage.daemon.owner import Read
from peerage.daemon.params import flag, string, strings, text
from peerage.errors import Busy
from peerage.flow.backup import BackupOptions, backup, check_paths
from peerage.flow.context import NodeContext, Report
from peerage.flow.preview import preview
from peerage.flow.stream import Stream
from peerage.source.select import Selector
from peerage.store.config_tables import Hooks


class BackupVerbs:
    """One backup at a time. joined: the node's context, or an error while it has none. hooks: those of now."""

    def __init__(self, joined: Callable[[], NodeContext], home: Path, hooks: Callable[[], Hooks]) -> None:
        self._joined = joined
        self._home = home
        self._hooks = hooks
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
            raise Busy("a backup is already running on this node: wait for it to end")
        if not options.stream:
            check_paths(paths)  # nothing is frozen for a path that is not there
        async with self._lock:
            async with around_backup(self._hooks(), self._home, report) as outcome:
                result = await backup(context, paths, report, options)
                outcome.ended(result.snapshot_id, bool(result.unreadable))
            return {**asdict(result), "hooks_failed": outcome.failed}


def _options(params: dict[str, Any], stream: Stream | None = None) -> BackupOptions:
    selector = Selector(strings(params, "exclude"), flag(params, "one_file_system"), flag(params, "exclude_caches"))
    tags = tuple(strings(params, "tags"))
    host = text(params, "host")
    return BackupOptions(selector, tags, host, stream) if host else BackupOptions(selector, tags, stream=stream)
