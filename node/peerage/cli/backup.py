"""`peerage backup`: one snapshot of paths or of what is piped in, restorable and anchored before it returns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from peerage.cli.feed import output_of, standard_input
from peerage.cli.owner import ask, exit_code_of, feed
from peerage.cli.render import fields, rate, size, warn_of
from peerage.cli.session import Verb, session_of
from peerage.errors import UserError
from peerage.store.config_tables import parse_rate


def _rate(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value:
        try:
            parse_rate(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None
    return value


@click.command(cls=Verb)
@click.argument("paths", metavar="PATH...", nargs=-1, type=click.Path(path_type=bytes))
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
@click.option("--host", default="", metavar="NAME", help="Whose snapshot it is; else this machine's name.")
@click.option(
    "--limit-up",
    default="",
    metavar="RATE",
    callback=_rate,
    help="Send at most so fast, as in 2MB/s; also what else goes out meanwhile.",
)
@click.option("--dry-run", is_flag=True, help="Only say what is new or has changed.")
@click.option("--stdin", is_flag=True, help="Back up standard input as one file.")
@click.option(
    "--stdin-from-command",
    "from_command",
    is_flag=True,
    help="Back up what the command after -- writes; it must end with 0.",
)
@click.option("--stdin-name", "name", default="stdin", metavar="NAME", help="What that file is called (stdin).")
@click.pass_context
def backup(
    ctx: click.Context,
    paths: tuple[bytes, ...],
    patterns: tuple[str, ...],
    pattern_files: tuple[Path, ...],
    one_file_system: bool,
    exclude_caches: bool,
    tags: tuple[str, ...],
    host: str,
    limit_up: str,
    dry_run: bool,
    stdin: bool,
    from_command: bool,
    name: str,
) -> int:
    """Back up files and directories to other members.

    Returns when the snapshot can be restored from the peers and its head is anchored on the chain. Patterns are
    relative to each PATH: '/build' leaves out the build directly in it, 'build/' every directory of that name.
    """
    session = session_of(ctx)
    wanted: dict[str, Any] = {"tags": list(tags)}
    wanted |= {key: value for key, value in (("host", host), ("limit_up", limit_up)) if value}
    if stdin or from_command:
        if patterns or pattern_files or one_file_system or exclude_caches or dry_run or (stdin and from_command):
            raise click.UsageError("what is piped in goes with --stdin-name, --host, --limit-up and --tag only", ctx)
        if bool(paths) != from_command:
            example = "--stdin-from-command -- pg_dump db" if from_command else "pg_dump db | peerage backup --stdin"
            raise click.UsageError(f"write it as in '{example}'", ctx)
        pieces = output_of([os.fsdecode(part) for part in paths]) if from_command else standard_input()
        result = feed(session, "backup", {**wanted, "name": name}, pieces)
        session.result(result, _show)
        return exit_code_of(result)
    if not paths:
        raise click.UsageError("Missing argument 'PATH...'.", ctx)
    absolute = [os.path.abspath(path) for path in paths]
    for given, path in zip(paths, absolute, strict=True):
        if not os.path.lexists(path):
            raise UserError(f"there is nothing at {os.fsdecode(given)}: check the path")
    wanted |= {
        "paths": [os.fsdecode(path) for path in absolute],
        "exclude": [line for file in pattern_files for line in _lines(file)] + list(patterns),
        "one_file_system": one_file_system,
        "exclude_caches": exclude_caches,
    }
    result = ask(session, "backup", {**wanted, "dry_run": True} if dry_run else wanted)
    session.result(result, _show_preview if dry_run else _show)
    return exit_code_of(result)


def _show_preview(result: Mapping[str, Any]) -> None:
    """What a backup would do; nothing was kept."""
    fields(
        [
            ("files", f"{result['files']} ({size(result['bytes'])})"),
            ("new", f"{result['new_files']} ({size(result['new_bytes'])})"),
            ("changed", f"{result['changed_files']} ({size(result['changed_bytes'])})"),
            ("unchanged", result["unchanged_files"]),
            *([("left out", result["excluded"])] if result["excluded"] else []),
        ]
    )
    _show_unreadable(result)


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
    _show_unreadable(result)


def _show_unreadable(result: Mapping[str, Any]) -> None:
    warn_of("not read", result.get("unreadable") or [], _named)


def _lines(file: Path) -> list[str]:
    """The patterns of a file: lines end with a line feed, maybe after a carriage return, and with nothing else.

    Raises UserError.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}: name a file of patterns that can be read") from error
    return [os.fsdecode(line.removesuffix(b"\r")) for line in data.removesuffix(b"\n").split(b"\n")] if data else []


def _named(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return f"{entry.get('path')}: {entry.get('reason', 'unreadable')}"
    return str(entry)
