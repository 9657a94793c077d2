"""`peerage restore SNAPSHOT --target DIR`: bring a snapshot, or parts of it, back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from peerage.cli.owner import ask, exit_code_of
from peerage.cli.render import fields, rate, size
from peerage.cli.session import Verb, session_of
from peerage.errors import UserError


@click.command(cls=Verb)
@click.argument("snapshot")
@click.option("--target", required=True, type=click.Path(path_type=Path), help="An empty or absent directory.")
@click.option("--include", multiple=True, metavar="PATH", help="Only this source path (may be given again).")
@click.pass_context
def restore(ctx: click.Context, snapshot: str, target: Path, include: tuple[str, ...]) -> int:
    """Restore a snapshot under a directory. SNAPSHOT is an id, a unique prefix of one, or 'latest'."""
    session = session_of(ctx)
    where = empty_target(target)
    params = {"snapshot": snapshot, "target": where, "include": source_paths(include)}
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


def show_restored(result: Mapping[str, Any]) -> None:
    seconds = float(result.get("seconds") or 0)
    fields(
        [
            ("snapshot", result.get("snapshot_id")),
            ("target", result.get("target")),
            ("files", result.get("files")),
            ("bytes", f"{size(result.get('bytes', 0))} ({rate(result.get('bytes', 0), seconds)})"),
            ("seconds", f"{seconds:.1f}"),
        ]
    )
    for entry in result.get("failed") or []:
        named = f"{entry.get('path')}: {entry.get('reason')}" if isinstance(entry, Mapping) else str(entry)
        click.echo(f"not restored in full: {named}", err=True)
