"""`peerage forget`, `hold` and `release`: which snapshots stay."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from peerage.cli.owner import ask, exit_code_of
from peerage.cli.render import fields, size, table, when
from peerage.cli.session import Verb, session_of
from peerage.model.calendar import Period, Span
from peerage.snapshot.retention import PERIODS, UNLIMITED, Stage


class Count(click.ParamType[int]):
    """A number of snapshots or periods, or 'unlimited'."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if str(value) == "unlimited":
            return UNLIMITED
        if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
            return int(value)
        self.fail(f"{value!r} is not a number or 'unlimited'", param, ctx)


def _checked(parse: Any) -> Any:
    def check(ctx: click.Context, param: click.Parameter, value: str) -> str:
        """The text as it was given, once it was understood."""
        if value:
            try:
                parse(value)
            except ValueError as error:
                raise click.BadParameter(str(error), ctx, param) from None
        return value

    return check


def _within(text: str) -> Span:
    # To restic 6m is six months, here it is six minutes: better asked than forgotten by mistake.
    if "m" in text:
        raise ValueError("say months with M, or a number of hours with h: m alone would be minutes")
    return Span.parse(text)


def _counts(command: Any) -> Any:
    for name, period in reversed(list(PERIODS.items())):
        help = f"Keep the newest of each of the N newest {_PLURALS[period]} that have one."
        command = click.option(f"--keep-{name}", type=Count(), default=0, metavar="N", help=help)(command)
    return command


_PLURALS = {
    Period(1, "h"): "hours",
    Period(1, "d"): "days",
    Period(1, "w"): "weeks",
    Period(1, "M"): "months",
    Period(1, "y"): "years",
}


@click.command(cls=Verb)
@click.argument("snapshots", metavar="[SNAPSHOT]...", nargs=-1)
@click.option("--keep-last", type=Count(), default=0, metavar="N", help="Keep the N newest.")
@_counts
@click.option("--keep-within", default="", metavar="SPAN", callback=_checked(_within), help="Keep those younger: 14d.")
@click.option("--keep-tag", "keep_tags", metavar="TAG", multiple=True, help="Keep those with this tag; repeatable.")
@click.option(
    "--policy",
    default="",
    metavar="SPAN:PERIOD,...",
    callback=_checked(Stage.parse_all),
    help="For how long how often: '1d:15m,7d:1h,30d:1d,1y:1w,10y:1M' (m minutes, M months).",
)
@click.option("--host", "hosts", metavar="NAME", multiple=True, help="Judge only those of this host; repeatable.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Judge only those with this tag; repeatable.")
@click.option("--path", "paths", metavar="PATH", multiple=True, help="Judge only those of this path; repeatable.")
@click.option("--dry-run", is_flag=True, help="Only say what would be forgotten.")
@click.pass_context
def forget(ctx: click.Context, /, **options: Any) -> int:
    """Forget snapshots: those that are named, or all that no rule keeps.

    Rules judge the snapshots of each host and set of paths by themselves; of each the newest stays, and whatever is
    held. What only forgotten snapshots held is freed by 'peerage prune'.
    """
    session = session_of(ctx)
    options["paths"] = tuple(os.path.abspath(path) for path in options["paths"])
    params = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    result = ask(session, "forget", {name: value for name, value in params.items() if value})
    session.result(result, _show)
    return exit_code_of(result)


def _show(result: Mapping[str, Any]) -> None:
    would = "would be " if result["dry_run"] else ""
    for title, rows in ((f"{would}kept", result["kept"]), (f"{would}forgotten", result["removed"])):
        click.echo(f"{len(rows)} {title}")
        if rows:
            table(
                ["snapshot", "time", "host", ">size", "paths", "tags", "reasons"],
                [
                    [
                        row["id"][:16],
                        when(row["time_ns"]),
                        row["host"],
                        size(row["bytes"]),
                        " ".join(row["paths"]),
                        ", ".join(row["tags"]),
                        ", ".join(row.get("reasons", [])),
                    ]
                    for row in rows
                ],
            )


@click.command(cls=Verb)
@click.argument("snapshot")
@click.option("--reason", default="", metavar="TEXT", help="Why, for whoever wants to forget it.")
@click.pass_context
def hold(ctx: click.Context, snapshot: str, reason: str) -> int:
    """Protect a snapshot: nothing forgets it until it is released."""
    return _change(ctx, "hold", {"snapshot": snapshot, "reason": reason})


@click.command(cls=Verb)
@click.argument("snapshot")
@click.pass_context
def release(ctx: click.Context, snapshot: str) -> int:
    """Let a held snapshot be forgotten again."""
    return _change(ctx, "release", {"snapshot": snapshot})


def _change(ctx: click.Context, verb: str, params: dict[str, Any]) -> int:
    session = session_of(ctx)
    result = ask(session, verb, params)
    session.result(result, _show_hold)
    return exit_code_of(result)


def _show_hold(result: Mapping[str, Any]) -> None:
    held = "no" if result["hold"] is None else "yes"
    fields([("snapshot", result["snapshot_id"]), ("held", held), *([("reason", r)] if (r := result["hold"]) else [])])
