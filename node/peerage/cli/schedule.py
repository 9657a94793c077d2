"""`peerage schedule`: what the node does by itself, when, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask, exit_code_of
from peerage.cli.render import table, when
from peerage.cli.session import Verb, VerbGroup, session_of


@click.group(cls=VerbGroup, invoke_without_command=True)
@click.pass_context
def schedule(ctx: click.Context) -> None:
    """Show what the node does by itself: the [[schedule]] tables of its config.toml."""
    if ctx.invoked_subcommand is None:
        session = session_of(ctx)
        session.result(ask(session, "schedule"), _show)


@schedule.command(cls=Verb)
@click.argument("name")
@click.pass_context
def run(ctx: click.Context, name: str) -> int:
    """Do one of these things now; its next time is counted from now."""
    session = session_of(ctx)
    result = ask(session, "schedule.run", {"name": name})
    session.result(result, lambda _: click.echo(f"{name}: {outcome(exit_code_of(result))}"))
    return exit_code_of(result)


def outcome(code: int) -> str:
    """An exit code in words."""
    known = {
        0: "done",
        3: "done, but some files could not be read",
        4: "done, but records wait for the chain",
        8: "damage was found",
    }
    return known.get(code, f"failed (exit code {code})")


def last(job: Mapping[str, Any]) -> str:
    """How a job's last run went, and when it began."""
    if job["running"]:
        return "running"
    if job["last_ns"] is None:
        return "not run yet"
    return f"{outcome(job['code'])} at {when(job['last_ns'])}"


def _show(result: Mapping[str, Any]) -> None:
    jobs = result["jobs"]
    if not jobs:
        click.echo("nothing is scheduled: add [[schedule]] tables to the node's config.toml", err=True)
        return
    table(
        ["name", "do", "when", "last", "next"],
        [[job["name"], job["do"], job["when"], last(job), when(job["next_ns"])] for job in jobs],
    )
    for job in jobs:
        if job["message"]:
            click.echo(f"{job['name']}: {job['message']}", err=True)
