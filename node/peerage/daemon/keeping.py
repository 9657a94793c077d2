"""The verbs that keep snapshots and let them go: forget, hold, release (node/spec/owner-interface.md)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from peerage.daemon.params import flag, paths_bytes, readable, string, strings, text
from peerage.errors import UserError
from peerage.flow.context import NodeContext, Report
from peerage.flow.forget import Selection, forget_by_rules, forget_named
from peerage.flow.forget import hold as hold_snapshot
from peerage.model.calendar import LocalZone, Span
from peerage.snapshot.retention import PERIODS, UNLIMITED, Rules, Stage


async def forget(context: NodeContext, params: dict[str, Any], report: Report) -> dict[str, Any]:
    """Named snapshots, or those that the rules do not keep; never both at once."""
    names, dry_run = strings(params, "snapshots"), flag(params, "dry_run")
    selection = Selection(strings(params, "hosts"), strings(params, "tags"), paths_bytes(params, "paths"))
    if not names:
        result = await forget_by_rules(context, rules_of(params), selection, LocalZone(), report, dry_run)
    elif rules_of(params) or selection != Selection([], [], []):
        raise UserError("named snapshots are forgotten as they are: leave out the rules and filters, or the names")
    else:
        result = await forget_named(context, names, report, dry_run)
    return asdict(result)


async def hold(context: NodeContext, params: dict[str, Any], report: Report) -> dict[str, Any]:
    reason = text(params, "reason")
    readable([reason], "reason")
    return await hold_snapshot(context, string(params, "snapshot"), reason, report)


async def release(context: NodeContext, params: dict[str, Any], report: Report) -> dict[str, Any]:
    return await hold_snapshot(context, string(params, "snapshot"), None, report)


def rules_of(params: dict[str, Any]) -> Rules:
    """The rules among a verb's parameters. Raises UserError."""
    try:
        within, policy = text(params, "keep_within"), text(params, "policy")
        return Rules(
            last=_count(params, "keep_last"),
            counts={name: _count(params, f"keep_{name}") for name in PERIODS},
            within=Span.parse(within) if within else None,
            stages=Stage.parse_all(policy) if policy else (),
            tags=frozenset(strings(params, "keep_tags")),
        )
    except ValueError as error:
        raise UserError(str(error)) from None


def _count(params: dict[str, Any], name: str) -> int:
    value = params.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < UNLIMITED:
        raise UserError(f"the parameter {name} must be a number, or {UNLIMITED} for all")
    return value
