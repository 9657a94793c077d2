"""`peerage prune`: free what no snapshot needs any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask, exit_code_of
from peerage.cli.render import fields, size
from peerage.cli.session import Verb, session_of
from peerage.errors import UserError


@click.command(cls=Verb)
@click.option(
    "--max-unused", default=5.0, type=click.FloatRange(0, 1000), metavar="PERCENT", help="Waste to leave in packs (5)."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@click.option("--cancel", is_flag=True, help="Withdraw the removals that are announced, and keep their data.")
@click.pass_context
def prune(ctx: click.Context, max_unused: float, dry_run: bool, cancel: bool) -> int:
    """Free what only forgotten snapshots held.

    The removal is announced on the chain; providers keep the bytes until the agreements' retention has passed, and the
    node removes them then by itself.
    """
    session = session_of(ctx)
    if dry_run and cancel:
        raise UserError("give --dry-run or --cancel, not both")
    result = ask(session, "prune", {"max_unused_percent": max_unused, "dry_run": dry_run, "cancel": cancel})
    session.result(result, _show)
    return exit_code_of(result)


def _show(result: Mapping[str, Any]) -> None:
    if "cancelled" in result:
        fields([("removals withdrawn", result["cancelled"])])
        return
    rows = [
        ("packs dropped", result["packs_dropped"]),
        ("of them rewritten", f"{result['packs_rewritten']} ({size(result['bytes_rewritten'])} kept)"),
        ("to be freed" if result["dry_run"] else "freed", size(result["bytes_freed"])),
        ("waste left in packs", size(result["bytes_unused"])),
    ]
    if result["removal_objects"]:
        rows.append(("leaves providers", f"{size(result['removal_bytes'])} from epoch {result['removal_epoch']} on"))
    fields(rows)
