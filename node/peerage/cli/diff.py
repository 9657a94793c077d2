"""`peerage diff A B [PATH]`: what changed between two snapshots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask_rows
from peerage.cli.session import Verb, session_of

_MARKS = {"added": "+", "removed": "-", "content": "M", "metadata": "U", "type": "T"}


@click.command(cls=Verb)
@click.argument("old")
@click.argument("new")
@click.argument("path", required=False, default="/")
@click.pass_context
def diff(ctx: click.Context, old: str, new: str, path: str) -> None:
    """Show what changed from snapshot OLD to NEW, at and below PATH.

    Marks: + added, - removed, M content, U only metadata, T another type.
    """
    session = session_of(ctx)
    counts: Counter[str] = Counter()

    def show(row: Mapping[str, Any]) -> None:
        counts[row["change"]] += 1
        fields = f"  ({', '.join(row['fields'])})" if row["change"] == "metadata" else ""
        click.echo(f"{_MARKS.get(row['change'], '?')}  {row['path']}{'/' * (row['type'] == 'directory')}{fields}")

    result = ask_rows(session, "diff", {"old": old, "new": new, "path": path}, "entries", show)
    session.result(result, lambda _: _summary(counts))


def _summary(counts: Mapping[str, int]) -> None:
    text = ", ".join(f"{count} {change}" for change, count in sorted(counts.items()))
    click.echo(text or "nothing changed", err=True)
