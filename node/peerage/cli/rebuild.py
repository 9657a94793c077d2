"""`peerage rebuild`: the catalogue anew, from the peers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask
from peerage.cli.render import fields
from peerage.cli.session import Verb, session_of


@click.command(cls=Verb)
@click.pass_context
def rebuild(ctx: click.Context) -> None:
    """Make the catalogue anew from the newest head and the providers.

    A node whose catalogue is lost or damaged does so by itself when it starts. The next backup reads all files once.
    """
    session = session_of(ctx)
    session.result(ask(session, "rebuild"), _show)


def _show(result: Mapping[str, Any]) -> None:
    fields([("head", result["head"]), ("snapshots", result["snapshots"]), ("packs", result["packs"])])
