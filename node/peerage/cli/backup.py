"""`peerage backup PATH...`: one snapshot, restorable and anchored before it returns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask, exit_code_of
from peerage.cli.render import fields, rate, size
from peerage.cli.session import Verb, session_of
from peerage.errors import UserError

NAMED_UNREADABLE = 20  # files named for people; --json has all of them


@click.command(cls=Verb)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=bytes))
@click.pass_context
def backup(ctx: click.Context, paths: tuple[bytes, ...]) -> int:
    """Back up files and directories to other members.

    Returns when the snapshot can be restored from the peers and its head is anchored on the chain.
    """
    session = session_of(ctx)
    absolute = [os.path.abspath(path) for path in paths]
    for given, path in zip(paths, absolute, strict=True):
        if not os.path.lexists(path):
            raise UserError(f"there is nothing at {os.fsdecode(given)}: check the path")
    result = ask(session, "backup", {"paths": [os.fsdecode(path) for path in absolute]})
    session.result(result, _show)
    return exit_code_of(result)


def _show(result: Mapping[str, Any]) -> None:
    seconds = float(result.get("seconds") or 0)
    fields(
        [
            ("snapshot", result.get("snapshot_id")),
            ("files", result.get("files")),
            ("bytes", f"{size(result.get('bytes', 0))} ({rate(result.get('bytes', 0), seconds)})"),
            ("sent to peers", size(result.get("bytes_sent", 0))),
            ("seconds", f"{seconds:.1f}"),
        ]
    )
    unreadable = result.get("unreadable") or []
    for entry in unreadable[:NAMED_UNREADABLE]:
        click.echo(f"not read: {_named(entry)}", err=True)
    if len(unreadable) > NAMED_UNREADABLE:
        click.echo(f"not read: {len(unreadable) - NAMED_UNREADABLE} more; --json names them all", err=True)


def _named(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return f"{entry.get('path')}: {entry.get('reason', 'unreadable')}"
    return str(entry)
