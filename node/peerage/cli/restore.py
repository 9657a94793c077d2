"""`peerage restore SNAPSHOT --target DIR`: bring a snapshot, or parts of it, back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from peerage.cli.owner import ask, ask_rows, exit_code_of
from peerage.cli.render import fields, rate, size
from peerage.cli.session import Verb, session_of
from peerage.errors import UserError


@click.command(cls=Verb)
@click.argument("snapshot")
@click.option(
    "--target", required=True, type=click.Path(path_type=Path), help="A directory: empty, absent or in place."
)
@click.option("--include", multiple=True, metavar="PATH", help="Only this source path (may be given again).")
@click.option(
    "--pattern", "patterns", multiple=True, metavar="GLOB", help="Only, or also, what matches: *.txt, /etc/**."
)
@click.option("--exclude", multiple=True, metavar="GLOB", help="Not what matches.")
@click.option("--in-place", is_flag=True, help="Over a tree that is there: what is right stays, the rest is replaced.")
@click.option("--delete", is_flag=True, help="In place, also remove what the snapshot's directories do not have.")
@click.option("--dry-run", "-n", is_flag=True, help="Only list what would be done.")
@click.option("--verify", is_flag=True, help="Read what was written, or left in place, and compare it.")
@click.pass_context
def restore(
    ctx: click.Context,
    snapshot: str,
    target: Path,
    include: tuple[str, ...],
    patterns: tuple[str, ...],
    exclude: tuple[str, ...],
    in_place: bool,
    delete: bool,
    dry_run: bool,
    verify: bool,
) -> int:
    """Restore a snapshot under a directory. SNAPSHOT is an id, a unique prefix of one, or 'latest'."""
    session = session_of(ctx)
    params = {
        "snapshot": snapshot,
        "target": os.path.abspath(target) if in_place else empty_target(target),
        "include": source_paths(include),
        "patterns": list(patterns),
        "exclude": list(exclude),
        "in_place": in_place,
        "delete": delete,
        "verify": verify,
    }
    if dry_run:
        session.result(ask_rows(session, "preview", params, "entries", _show_action), _show_counts)
        return 0
    result = ask(session, "restore", params)
    session.result(result, show_restored)
    return exit_code_of(result)


def empty_target(target: Path) -> str:
    """The absolute target; raises UserError unless it is absent or an empty directory."""
    absolute = Path(os.path.abspath(target))
    try:
        with os.scandir(absolute) as entries:
            occupied = next(entries, None) is not None
    except FileNotFoundError:
        occupied = False
    except NotADirectoryError:
        raise UserError(f"the target {target} is not a directory: name another") from None
    except OSError as error:
        raise UserError(f"the target {target} cannot be used: {error.strerror}") from None
    if occupied:
        raise UserError(f"the target {target} is not empty: name a new or an empty directory")
    return str(absolute)


def source_paths(include: tuple[str, ...]) -> list[str]:
    """--include names paths of the source as they were when backed up: absolute, or the caller's relative ones."""
    return [os.path.abspath(path) for path in include]


def _show_action(row: Mapping[str, Any]) -> None:
    of = f"  ({size(row['size'])})" if row["type"] == "file" else ""
    click.echo(f"{row['action']:<8}  {row['path']}{'/' * (row['type'] == 'directory')}{of}")


def _show_counts(result: Mapping[str, Any]) -> None:
    counts = dict(result.get("counts") or {})
    written = size(counts.pop("bytes", 0))
    text = ", ".join(f"{count} to {action}" for action, count in sorted(counts.items()))
    click.echo(f"{text or 'nothing to do'}; {written} to write", err=True)


def show_restored(result: Mapping[str, Any]) -> None:
    seconds = float(result.get("seconds") or 0)
    fields(
        [
            ("snapshot", result.get("snapshot_id")),
            ("target", result.get("target")),
            ("files", result.get("files")),
            ("bytes", f"{size(result.get('bytes', 0))} ({rate(result.get('bytes', 0), seconds)})"),
            *((name, result[name]) for name in ("kept", "deleted", "verified", "mismatched") if result.get(name)),
            ("seconds", f"{seconds:.1f}"),
        ]
    )
    for entry in result.get("failed") or []:
        named = f"{entry.get('path')}: {entry.get('reason')}" if isinstance(entry, Mapping) else str(entry)
        click.echo(f"not restored in full: {named}", err=True)
