"""`peerage find PATTERN...`: where something is, in one snapshot or in all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from peerage.cli.owner import ask_rows
from peerage.cli.render import size, when
from peerage.cli.session import Verb, session_of
from peerage.errors import UserError

TYPES = ("file", "directory", "symlink", "fifo", "char", "block")
_SIZE = re.compile(r"([+-]?)([0-9]{1,18})([kKMGT]?)")
_UNIT = {"": 1, "k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@click.command(cls=Verb)
@click.argument("patterns", nargs=-1, required=True, metavar="PATTERN...")
@click.option("--snapshot", metavar="SNAPSHOT", help="Where to look: an id, a prefix of one; latest by default.")
@click.option("--all", "every", is_flag=True, help="Look in all snapshots.")
@click.option("--type", "types", multiple=True, type=click.Choice(TYPES), help="Only this type (may be given again).")
@click.option("--newer", metavar="TIME", help="Changed since: 2026-01-31, 2026-01-31T12:00:00, or 7d (so long ago).")
@click.option("--older", metavar="TIME", help="Changed before.")
@click.option("--size", "sizes", metavar="[+|-]N[kMGT]", multiple=True, help="Files of at least (+), at most (-), N.")
@click.option("--ignore-case", "-i", is_flag=True, help="Upper and lower case are the same.")
@click.pass_context
def find(
    ctx: click.Context,
    patterns: tuple[str, ...],
    snapshot: str | None,
    every: bool,
    types: tuple[str, ...],
    newer: str | None,
    older: str | None,
    sizes: tuple[str, ...],
    ignore_case: bool,
) -> None:
    """Find names in snapshots. PATTERN is a glob: *.txt anywhere, docs/*.txt, or /home/*/docs/** from the root on."""
    session = session_of(ctx)
    if every and snapshot:
        raise click.UsageError("give --snapshot or --all, not both", ctx)
    at_least, at_most = _bounds(sizes)
    params = {
        "patterns": list(patterns),
        "snapshot": snapshot or "",
        "all": every,
        "types": list(types),
        "newer_ns": _time_ns(newer),
        "older_ns": _time_ns(older),
        "at_least": at_least,
        "at_most": at_most,
        "ignore_case": ignore_case,
    }
    last: list[str] = []

    def show(row: Mapping[str, Any]) -> None:
        if every and last != [row["snapshot_id"]]:
            last[:] = [row["snapshot_id"]]
            click.echo(f"snapshot {row['snapshot_id'][:16]}")
        click.echo(f"{row['type'][0]}  {size(row['size']):>10}  {when(row['mtime_ns'])}  {row['path']}")

    result = ask_rows(session, "find", params, "entries", show)
    session.result(result, lambda found: None if found["matches"] else session.note("nothing matches"))


def _bounds(sizes: tuple[str, ...]) -> tuple[int | None, int | None]:
    """(at least, at most) in bytes."""
    at_least: int | None = None
    at_most: int | None = None
    for text in sizes:
        match = _SIZE.fullmatch(text)
        if match is None:
            raise UserError(f"{text} is no size: write it as in +10M (at least), -4k (at most) or 0")
        value = int(match[2]) * _UNIT[match[3]]
        if match[1] != "-":
            at_least = value
        if match[1] != "+":
            at_most = value
    return at_least, at_most


def _time_ns(text: str | None) -> str | None:
    """A time as people write it, in nanoseconds since 1970."""
    from peerage.model.calendar import Span

    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            found = Span.parse(text).before(datetime.now(UTC))
        except (ValueError, OverflowError):
            raise UserError(
                f"{text} is no time: write 2026-01-31, 2026-01-31T12:00:00, or 7d for so long ago"
            ) from None
    return str(int(found.timestamp()) * 1_000_000_000)
