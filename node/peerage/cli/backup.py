"""`peerage backup PATH...`: one snapshot, restorable and anchored before it returns."""

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

NAMED_UNREADABLE = 20  # files named for people; --json has all of them


@click.command(cls=Verb)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=bytes))
@click.option(
    "--exclude", "patterns", metavar="PATTERN", multiple=True, help="Leave out, as in .gitignore; repeatable."
)
@click.option(
    "--exclude-file",
    "pattern_files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A file of such patterns, one a line; repeatable.",
)
@click.option("--one-file-system", is_flag=True, help="Do not enter other file systems; their mount points are kept.")
@click.option("--exclude-caches", is_flag=True, help="Of a directory with a CACHEDIR.TAG keep only that.")
@click.option("--tag", "tags", metavar="TEXT", multiple=True, help="A name for the snapshot; repeatable.")
@click.pass_context
def backup(
    ctx: click.Context,
    paths: tuple[bytes, ...],
    patterns: tuple[str, ...],
    pattern_files: tuple[Path, ...],
    one_file_system: bool,
    exclude_caches: bool,
    tags: tuple[str, ...],
) -> int:
    """Back up files and directories to other members.

    Returns when the snapshot can be restored from the peers and its head is anchored on the chain. Patterns are
    relative to each PATH: '/build' leaves out the build directly in it, 'build/' every directory of that name.
    """
    session = session_of(ctx)
    absolute = [os.path.abspath(path) for path in paths]
    for given, path in zip(paths, absolute, strict=True):
        if not os.path.lexists(path):
            raise UserError(f"there is nothing at {os.fsdecode(given)}: check the path")
    wanted = {
        "paths": [os.fsdecode(path) for path in absolute],
        "exclude": [line for file in pattern_files for line in _lines(file)] + list(patterns),
        "one_file_system": one_file_system,
        "exclude_caches": exclude_caches,
        "tags": list(tags),
    }
    result = ask(session, "backup", wanted)
    session.result(result, _show)
    return exit_code_of(result)


def _show(result: Mapping[str, Any]) -> None:
    seconds = float(result.get("seconds") or 0)
    fields(
        [
            ("snapshot", result.get("snapshot_id")),
            ("files", result.get("files")),
            ("bytes", f"{size(result.get('bytes', 0))} ({rate(result.get('bytes', 0), seconds)})"),
            *([("left out", result["excluded"])] if result.get("excluded") else []),
            ("sent to peers", size(result.get("bytes_sent", 0))),
            ("seconds", f"{seconds:.1f}"),
        ]
    )
    unreadable = result.get("unreadable") or []
    for entry in unreadable[:NAMED_UNREADABLE]:
        click.echo(f"not read: {_named(entry)}", err=True)
    if len(unreadable) > NAMED_UNREADABLE:
        click.echo(f"not read: {len(unreadable) - NAMED_UNREADABLE} more; --json names them all", err=True)


def _lines(file: Path) -> list[str]:
    """The patterns of a file. Raises UserError."""
    try:
        return file.read_text(errors="surrogateescape").splitlines()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}: name a file of patterns that can be read") from error


def _named(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return f"{entry.get('path')}: {entry.get('reason', 'unreadable')}"
    return str(entry)
