"""`peerage agreements`: this member's agreements, as client and as provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask
from peerage.cli.render import size, table
from peerage.cli.session import Verb, session_of


@click.command(cls=Verb)
@click.option("--why", is_flag=True, help="Also every yes and no lately, as client and as provider, and by which rule.")
@click.pass_context
def agreements(ctx: click.Context, why: bool) -> None:
    """List this member's agreements, as client and as provider."""
    session = session_of(ctx)
    session.result(ask(session, "agreements", {"why": why}), _show_why if why else show_agreements)


def _show_why(result: Mapping[str, Any]) -> None:
    show_agreements(result)
    table(
        [">epoch", "as", ">member", "about", "answer", ">times", "rule", "reason"],
        [
            [
                d["epoch"],
                d["side"],
                d["member"],
                d["action"],
                "yes" if d["ok"] else "no",
                d["times"],
                d["rule"],
                d["reason"],
            ]
            for d in result.get("decisions", [])
        ],
    )


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
