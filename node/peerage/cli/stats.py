"""`peerage stats`: what the snapshots hold, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask
from peerage.cli.render import fields, size
from peerage.cli.session import Verb, session_of


@click.command(cls=Verb)
@click.pass_context
def stats(ctx: click.Context) -> None:
    """Show what all snapshots hold together, before and after deduplication, compression and redundancy."""
    session = session_of(ctx)
    session.result(ask(session, "stats"), _show)


def _show(result: Mapping[str, Any]) -> None:
    def ratio(name: str) -> str:
        value = result.get(name)
        return f" (× {value})" if value else ""

    fields(
        [
            ("snapshots", result.get("snapshots")),
            ("files in all of them", result.get("files")),
            ("bytes in all of them", size(result.get("bytes", 0))),
            ("unique bytes", size(result.get("unique_bytes", 0)) + ratio("dedup_ratio")),
            ("compressed", size(result.get("sealed_bytes", 0)) + ratio("compression_ratio")),
            ("listings and indexes", size(result.get("listing_bytes", 0))),
            ("stored with peers", size(result.get("stored_bytes", 0)) + ratio("redundancy")),
            ("chunks", result.get("chunks")),
            ("packs", result.get("packs")),
        ]
    )
