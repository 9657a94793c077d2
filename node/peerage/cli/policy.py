"""`peerage policy`: what this node accepts without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask
from peerage.cli.render import fields
from peerage.cli.session import Verb, VerbGroup, session_of


@click.group(cls=VerbGroup, invoke_without_command=True)
@click.pass_context
def policy(ctx: click.Context) -> None:
    """Show or change what this node accepts without asking anybody."""
    if ctx.invoked_subcommand is None:
        _show_policy(ctx)


@policy.command(cls=Verb)
@click.pass_context
def show(ctx: click.Context) -> None:
    """Show the policy in force."""
    _show_policy(ctx)


@policy.command("set", cls=Verb)
@click.argument("key")
@click.argument("value")
@click.pass_context
def set_(ctx: click.Context, key: str, value: str) -> None:
    """Change one value, as in 'peerage policy set give.capacity_bytes 2TB'."""
    session = session_of(ctx)
    session.result(ask(session, "policy.set", {"key": key, "value": value}), _show)


def _show_policy(ctx: click.Context) -> None:
    session = session_of(ctx)
    session.result(ask(session, "policy.show"), _show)


def _show(result: Mapping[str, Any]) -> None:
    fields(_flat("", result.get("policy", result)))


def _flat(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        return [(prefix, value)]
    return [pair for key, inner in value.items() for pair in _flat(f"{prefix}.{key}" if prefix else str(key), inner)]
