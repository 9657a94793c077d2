"""`peerage audit members | agreements | qos | quality | money`: what the chain says, with no key and no home."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from peerage.cli.network import directory_option, rpc_option
from peerage.cli.render import fields, size, table
from peerage.cli.session import Verb, VerbGroup, session_of

if TYPE_CHECKING:
    from peerage_chain.client import Chain

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

RECORDS_SHOWN = 40  # newest records that a person is shown; --json has all
MISSES_SHOWN = 20  # newest misses that a person is shown; --json has all


def _scope(function: F) -> F:
    """The options of every audit: which chain, which member, which epochs."""
    for option in (
        click.option(
            "--to", "to_epoch", type=click.IntRange(0), metavar="EPOCH", help="The last epoch (the last closed)."
        ),
        click.option("--from", "from_epoch", type=click.IntRange(0), metavar="EPOCH", help="The first epoch (0)."),
        click.option("--member", type=click.IntRange(1), metavar="ID", help="Only this member."),
        directory_option,
        rpc_option,
    ):
        function = option(function)
    return function


@click.group(cls=VerbGroup)
def audit() -> None:
    """Read what the chain says, with no key: members, agreements, and how well promises were kept.

    Verdicts and amounts are derived anew from the chain's events and compared with what the contracts decided.
    """


@audit.command(cls=Verb)
@_scope
@click.pass_context
def members(
    ctx: click.Context,
    rpc: str,
    directory: str | None,
    member: int | None,
    from_epoch: int | None,
    to_epoch: int | None,
) -> None:
    """Every member: status, nodes, offer, balance."""
    from peerage_chain.audit import audit_members

    rows = _read(rpc, directory, audit_members)
    chosen = [row for row in rows if member is None or row["member"] == member]
    session_of(ctx).result({"members": chosen}, _show_members)


@audit.command(cls=Verb)
@_scope
@click.pass_context
def agreements(
    ctx: click.Context,
    rpc: str,
    directory: str | None,
    member: int | None,
    from_epoch: int | None,
    to_epoch: int | None,
) -> None:
    """Every agreement: parties, data, proofs made and missed, money."""
    from peerage_chain.audit import audit_agreements

    rows = _read(rpc, directory, lambda chain: audit_agreements(chain, member, from_epoch, to_epoch))
    session_of(ctx).result({"agreements": rows}, _show_agreements)


@audit.command(cls=Verb)
@_scope
@click.pass_context
def qos(
    ctx: click.Context,
    rpc: str,
    directory: str | None,
    member: int | None,
    from_epoch: int | None,
    to_epoch: int | None,
) -> None:
    """Every member's conduct: beats, proofs made and missed, penalties, pay, balance."""
    from peerage_chain.audit import audit_qos

    report = _read(rpc, directory, lambda chain: audit_qos(chain, member, from_epoch, to_epoch))
    session_of(ctx).result(report, _show_qos)


@audit.command(cls=Verb)
@_scope
@click.pass_context
def quality(
    ctx: click.Context,
    rpc: str,
    directory: str | None,
    member: int | None,
    from_epoch: int | None,
    to_epoch: int | None,
) -> None:
    """What drawn members measured of each provider, the median, and the pay that it cost."""
    from peerage_chain.measured import audit_quality

    report = _read(rpc, directory, lambda chain: audit_quality(chain, member, from_epoch, to_epoch))
    session_of(ctx).result(report, _show_quality)


@audit.command(cls=Verb)
@directory_option
@rpc_option
@click.pass_context
def money(ctx: click.Context, rpc: str, directory: str | None) -> None:
    """Where every credit is, added up one by one and compared with the tokens that the contract holds."""
    from peerage_chain.money import audit_money

    session_of(ctx).result(_read(rpc, directory, audit_money), _show_money)


def _read(rpc: str, directory: str | None, read: Callable[[Chain], Coroutine[Any, Any, T]]) -> T:
    from peerage_chain.client import Chain

    async def connected() -> T:
        async with await Chain.connect(rpc, directory) as chain:
            return await read(chain)

    return asyncio.run(connected())


def _show_members(result: Mapping[str, Any]) -> None:
    table(
        [">member", "name", "status", "in", ">offers", ">promised", ">balance", "endpoint", "verified"],
        [
            [
                m["member"],
                m["name"],
                m["status"],
                m["jurisdiction"],
                size(m["offered_bytes"]),
                size(m["promised_bytes"]),
                m["balance"],
                next((n["endpoint"] for n in reversed(m["nodes"]) if n["live"]), "–"),
                _yes(m["verified"]),
            ]
            for m in result["members"]
        ],
    )


def _show_agreements(result: Mapping[str, Any]) -> None:
    rows = result["agreements"]
    table(
        [
            *("agreement", ">client", ">provider", "state", ">stored", ">rev", ">due", ">made", ">missed", ">paid"),
            *(">penalty", ">escrow", ">collateral", "verified"),
        ],
        [
            [
                a["agreement"][2:12],
                a["client"],
                a["provider"],
                a["state"],
                size(a["leaves"] * 1024),
                a["sequence"],
                a["proofs_due"],
                a["proofs_made"],
                a["proofs_missed"],
                a["paid"],
                _sum(a["to_client"], a["burned"]),
                a["escrow"],
                a["collateral_left"],
                _yes(a["verified"]),
            ]
            for a in rows
        ],
    )
    _show_misses([miss for a in rows for miss in a["misses"]])


def _show_qos(report: Mapping[str, Any]) -> None:
    verdict = "everything follows from the events" if report["verified"] else "NOT EVERYTHING FOLLOWS FROM THE EVENTS"
    void = len(report["void_epochs"])
    click.echo(
        f"epochs {report['from_epoch']} to {report['to_epoch']}, {void} void, at block {report['block']}; {verdict}"
    )
    table(
        [
            *(">member", "name", ">beats", ">silent", ">due", ">made", ">missed", ">penalties", ">earned", ">spent"),
            *(">balance", "verified"),
        ],
        [
            [
                m["member"],
                m["name"],
                m["beats_made"],
                m["beats_missed"],
                m["proofs_due"],
                m["proofs_made"],
                m["proofs_missed"],
                _sum(m["penalties_to_client"], m["penalties_burned"]),
                m["earned"],
                m["spent"],
                m["balance"],
                _yes(m["verified"]),
            ]
            for m in report["members"]
        ],
    )
    _show_misses([miss for m in report["members"] for miss in m["misses"]])


def _show_quality(report: Mapping[str, Any]) -> None:
    verdict = "everything follows from the events" if report["verified"] else "NOT EVERYTHING FOLLOWS FROM THE EVENTS"
    click.echo(f"epochs {report['from_epoch']} to {report['to_epoch']}, at block {report['block']}; {verdict}")
    shown = report["records"][-RECORDS_SHOWN:]
    table(
        [">epoch", ">provider", ">KiB/s down", ">up", ">ms", ">answered", ">reports", "disputed", "verified"],
        [
            [
                r["epoch"],
                r["provider"],
                *(
                    (m["down_kib_s"], m["up_kib_s"], m["latency_ms"], f"{m['availability_percent']} %")
                    if (m := r["median"])
                    else ("–",) * 4
                ),
                len(r["reports"]),
                ", ".join(str(one["member"]) for one in r["reports"] if one["disputed"]),
                _yes(r["verified"]),
            ]
            for r in shown
        ],
    )
    for row in report["withheld"]:
        click.echo(f"withheld from member {row['provider']}: {row['withheld']} in {row['epochs']} epochs")


def _show_money(report: Mapping[str, Any]) -> None:
    fields((name, report[name]) for name in ("accounts", "escrow", "collateral", "contested", "demands"))
    verdict = "equal, to the last unit" if report["verified"] else "NOT EQUAL"
    click.echo(
        f"sum {report['sum']}, owed {report['total']}, held {report['tokens']}: {verdict}; block {report['block']}"
    )


def _show_misses(misses: list[Mapping[str, Any]]) -> None:
    if not misses:
        return
    newest = sorted(misses, key=lambda miss: (miss["epoch"], miss["provider"]))[-MISSES_SHOWN:]
    click.echo(f"\nmisses ({len(newest)} newest of {len(misses)})")
    table(
        [">epoch", ">provider", ">client", "agreement", "reason", ">in window", "settled", ">to client", ">burned"],
        [
            [
                m["epoch"],
                m["provider"],
                m["client"],
                m["agreement"][2:12],
                m["reason"],
                m["in_window"],
                _yes(m["settled"]),
                m["to_client"],
                m["burned"],
            ]
            for m in newest
        ],
    )


def _yes(value: bool) -> str:
    return "yes" if value else "NO"


def _sum(*amounts: str) -> str:
    from decimal import Decimal

    return f"{sum(map(Decimal, amounts)):f}"
