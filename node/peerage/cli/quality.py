"""`peerage quality`: how good each provider is, by the chain's records and this node's own transfers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask
from peerage.cli.render import table
from peerage.cli.session import Verb, session_of


@click.command(cls=Verb)
@click.pass_context
def quality(ctx: click.Context) -> None:
    """Show how good each provider is: what drawn members measured of it lately, and what this node saw itself.

    Quality is speed as a part of the usual one, times availability; new data goes to the better ones first.
    """
    session = session_of(ctx)
    session.result(ask(session, "quality", {}), _show)


def _show(result: Mapping[str, Any]) -> None:
    rows = []
    for provider in result["providers"]:
        newest = provider["records"][-1] if provider["records"] else None
        seen = provider["seen"]
        rows.append(
            [
                provider["member"],
                provider["name"],
                f"{provider['quality']:.2f}" if provider["known"] else "unknown",
                *_newest(newest),
                len(provider["records"]),
                _rate(seen["down_kib_s"]),
                _rate(seen["up_kib_s"]),
            ]
        )
    table(
        [
            *(">member", "name", ">quality", ">epoch", ">KiB/s down", ">up", ">ms", ">answered", ">records"),
            *(">seen down", ">seen up"),
        ],
        rows,
    )


def _newest(record: Mapping[str, Any] | None) -> list[object]:
    if record is None:
        return ["–"] * 5
    return [
        record["epoch"],
        record["down_kib_s"],
        record["up_kib_s"],
        record["latency_ms"],
        f"{record['availability_percent']} %",
    ]


def _rate(kib_s: int | None) -> str:
    return "–" if kib_s is None else str(kib_s)
