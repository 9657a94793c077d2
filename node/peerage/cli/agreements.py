"""`peerage agreements`: this member's agreements, as client and as provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask
from peerage.cli.render import size, table
from peerage.cli.session import Verb, session_of


@click.command(cls=Verb)
@click.pass_context
def agreements(ctx: click.Context) -> None:
    """List this member's agreements, as client and as provider."""
    session = session_of(ctx)
    session.result(ask(session, "agreements"), show_agreements)


def show_agreements(result: Mapping[str, Any]) -> None:
    """The table of agreements, for `agreements` and `audit agreements` alike."""
    rows = result.get("agreements", [])
    if not rows:
        click.echo("no agreement yet: the first backup makes some", err=True)
        return
    table(
        ["agreement", ">client", ">provider", "state", ">capacity", ">stored", ">misses", ">escrow", ">collateral"],
        [
            [
                str(a.get("id", "")).removeprefix("0x")[:12],
                a.get("client"),
                a.get("provider"),
                a.get("state"),
                size(int(a.get("capacity", 0))),
                size(int(a.get("leaves", 0)) * 1024),
                a.get("misses", "–"),
                a.get("escrow", "–"),
                a.get("collateral", "–"),
            ]
            for a in rows
        ],
    )
