"""`peerage risk`: what if these members vanish tonight, and how likely a loss is within a year."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask
from peerage.cli.render import fields
from peerage.cli.session import Verb, session_of


@click.command(cls=Verb)
@click.option(
    "--without", metavar="MEMBER", type=int, multiple=True, help="Take this member to have vanished. Repeatable."
)
@click.option(
    "--repair-hours",
    type=click.FloatRange(0.01, 8760),
    default=24.0,
    show_default=True,
    help="Until a dead provider's shards are elsewhere.",
)
@click.pass_context
def risk(ctx: click.Context, without: tuple[int, ...], repair_hours: float) -> None:
    """Show how many providers may vanish tonight, and the probability of losing anything within a year.

    The probability comes from the failures of providers that this network has seen, however few: the second figure is
    the one that holds with a certainty of 97.5 %. It takes providers to fail independently.
    """
    session = session_of(ctx)
    session.result(ask(session, "risk", {"without": list(without), "repair_hours": repair_hours}), _show)


def _show(result: Mapping[str, Any]) -> None:
    seen, loss = result["seen"], result["yearly_loss"]
    without = ", ".join(map(str, result["without"]))
    fields(
        [
            *([("without members", without)] if without else []),
            ("stripes lost", f"{result['lost']} of {result['stripes']}"),
            ("may vanish tonight", f"any {result['may_vanish']} of {result['providers']} providers"),
            ("yearly loss", f"{_odds(loss['likely'])} likely, {_odds(loss['at_most'])} at most"),
            ("seen so far", f"{seen['failed']} of {seen['providers']} providers failed in {seen['years']:.2f} years"),
        ]
    )


def _odds(probability: float) -> str:
    if probability > 0.001:
        return f"{probability:.1%}"
    return f"1 in {1 / probability:,.0f}" if probability > 1e-12 else "under 1 in 10^12"
