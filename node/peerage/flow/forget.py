"""forget, hold, release: what the next head lists of the snapshots there are. Normative: node/spec/retention.md.

Data is not touched: what only forgotten snapshots held is freed by prune.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any

import msgspec

from peerage.errors import UserError
from peerage.flow.context import NodeContext, Report, note, warn
from peerage.flow.publish import Edit, publish
from peerage.flow.room import Room
from peerage.flow.snapshots import find, summaries
from peerage.flow.stripe import StripeWriter
from peerage.snapshot.retention import Rules, Verdict, judge, series_of
from peerage.snapshot.snapshot import MAX_TEXT, SnapshotSummary
from peerage_chain.errors import ChainUnavailable

CLOCK_TOLERANCE_NS = 3_600 * 10**9
"""Ahead of the chain's time by more than this, this machine's clock is not believed."""

Decide = Callable[[list[SnapshotSummary]], list[Verdict]]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which snapshots are judged: of one of the hosts, with one of the tags, with all of the paths; empty: any."""

    hosts: Sequence[str] = ()
    tags: Sequence[str] = ()
    paths: Sequence[bytes] = ()

    def takes(self, snapshot: SnapshotSummary) -> bool:
        return (
            (not self.hosts or snapshot.host in self.hosts)
            and (not self.tags or bool(set(self.tags) & set(snapshot.tags)))
            and set(self.paths) <= set(snapshot.paths)
        )


@dataclass(slots=True)
class ForgetResult:
    """What --json shows: snapshots with the reasons why they are kept, and those that are gone (or would be)."""

    kept: list[dict[str, Any]]
    removed: list[dict[str, Any]]
    dry_run: bool
    head: int
    records_waiting: list[str] = field(default_factory=list)


async def forget_by_rules(
    context: NodeContext, rules: Rules, selection: Selection, zone: tzinfo, report: Report, dry_run: bool = False
) -> ForgetResult:
    """Forget what the rules do not keep. Raises UserError without a rule, what publish raises otherwise."""
    if not rules:
        raise UserError("nothing says what to keep: name snapshots, or give a rule such as --keep-daily 7")
    now_ns = await _now_ns(context, report)

    def decide(all_snapshots: list[SnapshotSummary]) -> list[Verdict]:
        chosen = [s for s in all_snapshots if selection.takes(s)]
        return [verdict for series in series_of(chosen) for verdict in judge(series, rules, now_ns, zone)]

    return await _apply(context, decide, report, dry_run)


async def forget_named(
    context: NodeContext, names: Sequence[str], report: Report, dry_run: bool = False
) -> ForgetResult:
    """Forget these snapshots: ids, prefixes or 'latest'. Raises UserError for one that is not there or that is held."""
    wanted = {find(context, name).id for name in names}

    def decide(all_snapshots: list[SnapshotSummary]) -> list[Verdict]:
        chosen = [s for s in all_snapshots if s.id in wanted]
        for snapshot in chosen:
            if snapshot.hold is not None:
                why = f" ({snapshot.hold})" if snapshot.hold else ""
                id = snapshot.id.hex()[:16]
                raise UserError(f"snapshot {id} is held{why}: `peerage release {id}` first, then it can be forgotten")
        return [Verdict(s, []) for s in chosen]

    return await _apply(context, decide, report, dry_run)


async def hold(context: NodeContext, name: str, reason: str | None, report: Report) -> dict[str, Any]:
    """Protect a snapshot, or with None release it; doing so again changes nothing. Raises UserError."""
    if reason is not None and len(reason) > MAX_TEXT:
        raise UserError(f"a reason has at most {MAX_TEXT} characters: shorten it")
    chosen = find(context, name)
    waiting: list[str] = []
    if chosen.hold == reason:
        note(report, f"snapshot {chosen.id.hex()[:16]} is {'not held' if reason is None else 'held already'}")
    else:

        def edit(current: list[SnapshotSummary]) -> list[SnapshotSummary]:
            if not any(s.id == chosen.id for s in current):
                raise UserError(f"snapshot {chosen.id.hex()[:16]} was forgotten in the meantime")
            return [msgspec.structs.replace(s, hold=reason) if s.id == chosen.id else s for s in current]

        waiting = await _publish(context, edit, report)
    return {
        "snapshot_id": chosen.id.hex(),
        "hold": reason,
        "head": context.catalogue.counter("head"),
        "records_waiting": waiting,
    }


async def _apply(context: NodeContext, decide: Decide, report: Report, dry_run: bool) -> ForgetResult:
    verdicts = decide(summaries(context))
    waiting: list[str] = []

    def edit(current: list[SnapshotSummary]) -> list[SnapshotSummary]:
        # Decided again: what was held or made since the first look must not be lost.
        nonlocal verdicts
        verdicts = decide(current)
        gone = {v.snapshot.id for v in verdicts if not v.reasons}
        return [s for s in current if s.id not in gone]

    if not dry_run and not all(v.reasons for v in verdicts):
        waiting = await _publish(context, edit, report)
    return ForgetResult(
        kept=[{**shown(v.snapshot), "reasons": v.reasons} for v in verdicts if v.reasons],
        removed=[shown(v.snapshot) for v in verdicts if not v.reasons],
        dry_run=dry_run,
        head=context.catalogue.counter("head"),
        records_waiting=waiting,
    )


async def _publish(context: NodeContext, edit: Edit, report: Report) -> list[str]:
    room = Room(context, report)
    await room.open(0, least=0)  # a head fits into what every agreement keeps free for it
    return await publish(context, room, StripeWriter(context, room, report), report, edit)


async def _now_ns(context: NodeContext, report: Report) -> int:
    own = context.clock_ns()
    try:
        chain = (await context.ledger.now()).timestamp_s * 10**9
    except ChainUnavailable:
        return own
    if own <= chain + CLOCK_TOLERANCE_NS:
        return own
    warn(report, "this machine's clock is more than an hour ahead of the chain's: the chain's is used")
    return chain


def shown(snapshot: SnapshotSummary) -> dict[str, Any]:
    """A snapshot as --json lists it."""
    return {
        "id": snapshot.id.hex(),
        "time_ns": str(snapshot.time_ns),
        "host": snapshot.host,
        "paths": [os.fsdecode(p) for p in snapshot.paths],
        "files": snapshot.files,
        "bytes": snapshot.bytes,
        "tags": snapshot.tags,
        "hold": snapshot.hold,
    }
