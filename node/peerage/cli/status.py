"""`peerage status`: this member's health in one screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask
from peerage.cli.render import fields, size, when
from peerage.cli.schedule import last
from peerage.cli.session import Verb, session_of


@click.command(cls=Verb)
@click.pass_context
def status(ctx: click.Context) -> None:
    """Show snapshots, stripes, shards proven lately, providers and balance.

    health is the share of stripes that would survive the loss of any one more provider.
    """
    session = session_of(ctx)
    session.result(ask(session, "status"), _show)


def _show(result: Mapping[str, Any]) -> None:
    stripes, shards = result.get("stripes", {}), result.get("shards", {})
    fields(
        [
            ("health", f"{float(result.get('health', 0)):.0%}"),
            ("snapshots", result.get("snapshots")),
            (
                "stripes",
                f"{stripes.get('total')} ({stripes.get('whole')} whole, {stripes.get('degraded')} degraded, "
                f"{stripes.get('lost')} lost)",
            ),
            ("shards", f"{shards.get('total')} ({shards.get('proven')} proven lately)"),
            ("repaired shards", result.get("repaired_shards")),
            ("moved by repair", size(result.get("repair_bytes", 0))),
            ("providers", result.get("providers")),
            ("balance", f"{result.get('balance')} credits"),
            *_money(result.get("forecast")),
            *([("appeals", f"{n} before the consortium")] if (n := result.get("appeals")) else []),
            *[("warning", text) for text in result.get("warnings", [])],
            *([("policy", f"an edit is not in force: {trouble}")] if (trouble := result.get("policy_trouble")) else []),
            *[
                (f"schedule {job['name']}", f"{last(job)}; next {when(job['next_ns'])}")
                for job in result.get("schedule", [])
            ],
        ]
    )


def _money(ahead: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Nothing while the chain is away."""
    if ahead is None:
        return []
    lasts = "for all terms" if ahead["money_ends"] is None else f"until epoch {ahead['money_ends']}"
    return [
        ("spending", f"{ahead['spending']} credits an epoch; money lasts {lasts}"),
        ("earning", f"{ahead['earning']} credits an epoch; {ahead['to_earn']} to the end of the terms"),
        ("locked", f"{ahead['escrow']} credits escrow, {ahead['collateral']} collateral"),
    ]
