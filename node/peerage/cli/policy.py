"""`peerage policy`: what this node accepts without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

import click

from peerage.cli.owner import ask
from peerage.cli.render import fields
from peerage.cli.session import Verb, VerbGroup, session_of

_FILE_MAX = 64 << 10  # characters


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


@policy.command(cls=Verb)
@click.argument("file", required=False, type=click.File("r"))
@click.pass_context
def check(ctx: click.Context, file: TextIO | None) -> None:
    """Whether the members that there are meet the policy in force, or the one in FILE; with the numbers, and how fast
    others are served now."""
    session = session_of(ctx)
    toml = "" if file is None else file.read(_FILE_MAX)
    session.result(ask(session, "policy.check", {"toml": toml}), _show_check)


def _show_check(result: Mapping[str, Any]) -> None:
    click.echo(str(result["numbers"]))
    hours, change = result["hours"], result["hours"]["next"]
    then = f"; from {change['at']} {_rates(change)}" if change else ""
    click.echo(f"others are served: {_rates(hours['now'])} ({hours['time_zone']}){then}")
    for warning in result["warnings"]:
        click.echo(f"warning: {warning}")


def _rates(rates: Mapping[str, Any]) -> str:
    up, down = ("no limit" if rates[key] is None else f"{rates[key]} KiB/s" for key in ("up_kib_s", "down_kib_s"))
    return f"up {up}, down {down}"


def _show_policy(ctx: click.Context) -> None:
    session = session_of(ctx)
    session.result(ask(session, "policy.show"), _show)


def _show(result: Mapping[str, Any]) -> None:
    fields(_flat("", result.get("policy", result)))


def _flat(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        return [(prefix, _listed(value) if isinstance(value, list) else value)]
    return [pair for key, inner in value.items() for pair in _flat(f"{prefix}.{key}" if prefix else str(key), inner)]


def _listed(values: list[Any]) -> str:
    """As `policy set` takes it."""
    return ", ".join(_span(value) if isinstance(value, Mapping) else str(value) for value in values)


def _span(span: Mapping[str, Any]) -> str:
    days = [f"on={'+'.join(span['on'])}"] if span.get("on") else []
    rates = [f"{name}={span[f'{name}_kib_s']}" for name in ("up", "down") if span.get(f"{name}_kib_s")]
    return " ".join([f"{span['from']}-{span['to']}", *days, *rates])
