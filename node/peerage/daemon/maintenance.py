"""The verbs that look after what is stored: prune, check, rebuild (node/spec/owner-interface.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from peerage.daemon.backing import BackupVerbs
from peerage.daemon.params import flag, text
from peerage.errors import UserError
from peerage.flow.check import Subset, check
from peerage.flow.context import NodeContext, Report
from peerage.flow.prune import MAX_UNUSED_PERCENT, prune
from peerage.flow.rebuild import rebuild_catalogue
from peerage.flow.removal import cancel_removals


class MaintenanceVerbs:
    """joined: the node's context, or an error while it has none. No backup runs while one of these does."""

    def __init__(self, joined: Callable[[], NodeContext], backing: BackupVerbs) -> None:
        self._joined = joined
        self._backing = backing

    async def prune(self, params: dict[str, Any], report: Report) -> dict[str, Any]:
        if flag(params, "cancel"):
            return {"cancelled": await cancel_removals(self._joined())}
        unused = params.get("max_unused_percent", MAX_UNUSED_PERCENT)
        if not isinstance(unused, int | float) or isinstance(unused, bool) or not 0 <= unused <= 1000:
            raise UserError("the parameter max_unused_percent must be a number from 0 to 1000")
        async with self._backing.exclusive("a prune"):
            return asdict(await prune(self._joined(), report, unused, flag(params, "dry_run")))

    async def check(self, params: dict[str, Any], report: Report) -> dict[str, Any]:
        subset = Subset.parse(text(params, "read")) if text(params, "read") else None
        async with self._backing.exclusive("a check"):
            return asdict(await check(self._joined(), report, subset))

    async def rebuild(self, _params: dict[str, Any], report: Report) -> dict[str, Any]:
        async with self._backing.exclusive("a rebuild"):
            return asdict(await rebuild_catalogue(self._joined(), report))
