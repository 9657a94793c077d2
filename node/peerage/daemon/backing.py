"""The verbs that make snapshots: backup of paths, and of what is piped in (node/spec/owner-interface.md)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from peerage.daemon.hooks import around_backup
from peerage.daemon.limits import Limits
from peerage.daemon.owner import Read
from peerage.daemon.params import flag, paths_bytes, readable, string, strings, text
from peerage.errors import Busy, UserError
from peerage.flow.backup import BackupOptions, backup, check_paths
from peerage.flow.context import NodeContext, Report
from peerage.flow.preview import preview
from peerage.flow.stream import Stream
from peerage.source.select import Selector
from peerage.store.config_tables import Hooks, parse_rate


class BackupVerbs:
    """One backup at a time. joined: the node's context, or an error while it has none. hooks: those of now."""

    def __init__(
        self, joined: Callable[[], NodeContext], home: Path, hooks: Callable[[], Hooks], limits: Limits
    ) -> None:
        self._limits = limits
        self._joined = joined
        self._home = home
        self._hooks = hooks
        self._lock = asyncio.Lock()
        self._running = ""

    @property
    def busy(self) -> bool:
        return self._lock.locked()

    @asynccontextmanager
    async def exclusive(self, what: str) -> AsyncIterator[None]:
        """Do `what` ("a backup") while nothing else of the kind runs. Raises Busy."""
        if self._lock.locked():
            raise Busy(f"{self._running} is already running on this node: wait for it to end")
        async with self._lock:
            self._running = what
            yield

    async def backup(self, params: dict[str, Any], report: Report) -> dict[str, Any]:
        paths = paths_bytes(params, "paths")
        options = _options(params)
        if flag(params, "dry_run"):
            return asdict(await preview(self._joined(), paths, options, report))
        return await self._run(paths, options, _limit_up(params), report)

    async def backup_stream(self, params: dict[str, Any], report: Report, read: Read) -> dict[str, Any]:
        """One file, as the caller sends it. A caller that goes away, or says why it failed, leaves no snapshot."""
        options = _options(params, Stream(os.fsencode(string(params, "name")), read))
        return await self._run([], options, _limit_up(params), report)

    async def _run(
        self, paths: list[bytes], options: BackupOptions, limit_up: int | None, report: Report
    ) -> dict[str, Any]:
        context = self._joined()
        if not options.stream:
            check_paths(paths)  # nothing is frozen for a path that is not there
        async with self.exclusive("a backup"):
            async with around_backup(self._hooks(), self._home, report) as outcome:
                with self._limits.capped(limit_up):
                    result = await backup(context, paths, report, options)
                outcome.ended(result.snapshot_id, bool(result.unreadable))
            return {**asdict(result), "hooks_failed": outcome.failed}


def _options(params: dict[str, Any], stream: Stream | None = None) -> BackupOptions:
    selector = Selector(strings(params, "exclude"), flag(params, "one_file_system"), flag(params, "exclude_caches"))
    tags = tuple(strings(params, "tags"))
    host = text(params, "host")
    readable([*tags, host], "tags or host")
    return BackupOptions(selector, tags, host, stream) if host else BackupOptions(selector, tags, stream=stream)


def _limit_up(params: dict[str, Any]) -> int | None:
    """Bytes/s, or None. Raises UserError."""
    wanted = text(params, "limit_up")
    try:
        return parse_rate(wanted) if wanted else None
    except ValueError as error:
        raise UserError(f"the upload limit cannot be used: {error}") from None
