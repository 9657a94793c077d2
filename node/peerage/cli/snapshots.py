"""`peerage snapshots` and `peerage ls`: what there is to restore."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask
from peerage.cli.render import size, table, when
from peerage.cli.session import Verb, session_of


@click.command(cls=Verb)
@click.option("--tag", metavar="TEXT", help="Only those that carry this tag.")
@click.pass_context
def snapshots(ctx: click.Context, tag: str | None) -> None:
    """List this member's snapshots, oldest first."""
    session = session_of(ctx)
    listed = ask(session, "snapshots")["snapshots"]
    session.result({"snapshots": [s for s in listed if tag is None or tag in s["tags"]]}, _show_snapshots)


def _show_snapshots(result: Mapping[str, Any]) -> None:
    listed = result.get("snapshots", [])
    if not listed:
        click.echo("no snapshot yet: make one with 'peerage backup PATH'", err=True)
        return
    table(
        ["snapshot", "time", ">files", ">size", "paths", "tags", "held"],
        [
            [
                str(s.get("id") or s.get("snapshot_id"))[:16],
                when(s.get("time_ns") or s.get("time")),
                s.get("files", "–"),
                size(s.get("bytes", 0)),
                " ".join(s.get("paths", [])),
                ", ".join(s["tags"]),
                _held(s.get("hold")),
            ]
            for s in listed
        ],
    )


def _held(hold: str | None) -> str:
    return "" if hold is None else hold or "yes"


@click.command(cls=Verb)
@click.argument("snapshot")
@click.argument("path", required=False, default="")
@click.pass_context
def ls(ctx: click.Context, snapshot: str, path: str) -> None:
    """List a directory of a snapshot. SNAPSHOT is an id, a unique prefix of one, or 'latest'."""
    session = session_of(ctx)
    session.result(ask(session, "ls", {"snapshot": snapshot, "path": path}), _show_entries)


def _show_entries(result: Mapping[str, Any]) -> None:
    table(
        ["mode", "owner", ">size", "modified", "name"],
        [
            [
                _mode(e),
                f"{e.get('user') or e.get('uid', '')}:{e.get('group') or e.get('gid', '')}",
                e.get("size", "–"),
                when(e.get("mtime_ns")),
                e.get("name", "") + (f" -> {e['target']}" if e.get("target") else ""),
            ]
            for e in result.get("entries", [])
        ],
    )


_TYPES = {"dir": "d", "directory": "d", "symlink": "l", "fifo": "p", "char": "c", "block": "b"}


def _mode(entry: Mapping[str, Any]) -> str:
    bits = stat.filemode(int(entry.get("mode", 0)) & 0o7777)[1:]
    return _TYPES.get(str(entry.get("type", "")).lower(), "-") + bits
