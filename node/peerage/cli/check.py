"""`peerage check`: is everything there, and does it come back as it was?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask, exit_code_of
from peerage.cli.render import fields, size, warn_of
from peerage.cli.session import Verb, session_of
from peerage.errors import UserError


@click.command(cls=Verb)
@click.option("--read-data", is_flag=True, help="Read all packs back from the peers and open every blob.")
@click.option(
    "--read-data-subset",
    "subset",
    default="",
    metavar="5%|3/10",
    help="Read a share at random, or one part of several.",
)
@click.pass_context
def check(ctx: click.Context, read_data: bool, subset: str) -> int:
    """Check that every snapshot's trees, chunks and shards are there.

    Exit code 8: something cannot be restored as it was; 6: packs that were to be read could not be had now.
    """
    session = session_of(ctx)
    if read_data and subset:
        raise UserError("give --read-data or --read-data-subset, not both")
    result = ask(session, "check", {"read": "100%" if read_data else subset})
    session.result(result, _show)
    return exit_code_of(result)


def _show(result: Mapping[str, Any]) -> None:
    fields(
        [
            ("snapshots", result["snapshots"]),
            ("trees", result["trees"]),
            ("packs", result["packs"]),
            ("degraded", result["degraded"]),
            ("lost", result["lost"]),
            ("packs read", f"{result['packs_read']} ({size(result['bytes_read'])})"),
            ("damage", len(result["damage"]) or "none"),
        ]
    )
    warn_of("damaged", result["damage"], _named)
    warn_of("not read", result["unread"], _named)


def _named(entry: Mapping[str, str]) -> str:
    where = f"pack {entry['pack'][:16]}" if "pack" in entry else f"{entry['snapshot'][:16]} {entry['path']}"
    return f"{where}: {entry['reason']}"
