"""`peerage demand`: make a provider that does not serve publish data on the chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask
from peerage.cli.render import table
from peerage.cli.session import Verb, session_of
from peerage.errors import UserError


@click.command(cls=Verb)
@click.argument("agreement", required=False, default="")
@click.option("--leaf", "leaves", multiple=True, type=click.IntRange(0), metavar="N", help="This leaf; repeatable.")
@click.pass_context
def demand(ctx: click.Context, agreement: str, leaves: tuple[int, ...]) -> None:
    """Demand data on the chain from a provider that does not serve; without AGREEMENT, list open demands.

    The provider publishes the leaves (1 KiB each) within some epochs, or loses collateral; a deposit waits meanwhile.
    Without --leaf the next 16 that were not published yet. Restores use what was published.
    """
    session = session_of(ctx)
    if leaves and not agreement:
        raise UserError("name the agreement that the leaves are of: `peerage agreements` lists them")
    session.result(ask(session, "demand", {"agreement": agreement, "leaves": list(leaves)}), _show)


def _show(result: Mapping[str, Any]) -> None:
    if not result["demands"]:
        click.echo("no demand is open", err=True)
        return
    table(
        [">demand", "agreement", ">client", ">provider", ">leaves", ">until epoch", ">epochs left"],
        [
            [
                row["number"],
                row["agreement"][:12],
                row["client"],
                row["provider"],
                len(row["leaves"]),
                row["until_epoch"],
                row["epochs_left"],
            ]
            for row in result["demands"]
        ],
    )
