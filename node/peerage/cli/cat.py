"""`peerage cat SNAPSHOT PATH`: one file's bytes, on stdout."""

from __future__ import annotations

import sys

import click

from peerage.cli.session import Verb, session_of


@click.command(cls=Verb)
@click.argument("snapshot")
@click.argument("path")
@click.option("--offset", type=click.IntRange(min=0), default=0, metavar="BYTES", help="Begin there.")
@click.option("--length", type=click.IntRange(min=0), metavar="BYTES", help="At most so many.")
@click.pass_context
def cat(ctx: click.Context, snapshot: str, path: str, offset: int, length: int | None) -> None:
    """Write a file of a snapshot to stdout. SNAPSHOT is an id, a unique prefix of one, or 'latest'."""
    from peerage.net import owner_client

    session = session_of(ctx)
    if session.json:
        raise click.UsageError("the result of cat is the file itself: leave --json out", ctx)
    out = sys.stdout.buffer
    params = {"snapshot": snapshot, "path": path, "offset": offset, "length": length}
    owner_client.call_data(session.home, "cat", params, out.write)
    out.flush()
