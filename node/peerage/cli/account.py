"""`peerage account …`: what only the member's account may do, by its words. No daemon is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeVar

import click

from peerage.cli.network import directory_option, optional_rpc_option
from peerage.cli.render import fields, table
from peerage.cli.session import Verb, VerbGroup, session_of
from peerage.cli.words import Owner, owner_of, words_option
from peerage.errors import UserError

if TYPE_CHECKING:
    from peerage_chain.client import Chain
    from peerage_chain.types import AgreementInfo

F = TypeVar("F", bound=Callable[..., Any])
Result = dict[str, Any]


@click.group(cls=VerbGroup)
def account() -> None:
    """Act as the member itself, by its 24 words: what a node key, which may be stolen, can not do.

    The words are used here and kept nowhere.
    """


def _scope(function: F) -> F:
    for option in (directory_option, optional_rpc_option, words_option):
        function = option(function)
    return function


def _act(
    words_file: str,
    rpc: str | None,
    directory: str | None,
    act: Callable[[Chain, Owner], Coroutine[Any, Any, Result]],
) -> Result:
    """Run `act` on a connection that signs with the account's key."""
    owner = owner_of(words_file, rpc, directory)
    from peerage.keys.words import account_of
    from peerage_chain.client import Chain

    async def run() -> Result:
        network, (_, key) = owner.network, account_of(owner.words)
        async with await Chain.connect(
            network.rpc, network.directory, network.chain_id, network.genesis, node_key=key
        ) as chain:
            return {"member": owner.member.id, **await act(chain, owner)}

    return asyncio.run(run())


@account.command(cls=Verb)
@_scope
@click.pass_context
def show(ctx: click.Context, words_file: str, rpc: str | None, directory: str | None) -> None:
    """Show the member's status, credits, node keys, and what is announced to be removed."""

    async def act(chain: Chain, owner: Owner) -> Result:
        from peerage_chain.audit import credits_text

        now = await chain.now()
        return {
            "account": owner.member.account,
            "status": owner.member.status.name.lower(),
            "balance": credits_text(await chain.balance(owner.member.id)),
            "nodes": [
                {
                    "key": node.key,
                    "endpoint": node.endpoint,
                    "site": node.site,
                    "revoked": node.revoked,
                    "expires_at": node.expires_at,
                }
                for node in owner.member.nodes
            ],
            "agreements": sum(a.is_live for a in await chain.agreements_of(owner.member.id)),
            "removals": await _removals(chain, owner),
            "epoch": now.epoch,
        }

    session_of(ctx).result(_act(words_file, rpc, directory, act), _show)


@account.command(cls=Verb)
@_scope
@click.pass_context
def leave(ctx: click.Context, words_file: str, rpc: str | None, directory: str | None) -> None:
    """Leave the network, for good: no new agreement from now on; those that run are kept to their end.

    The member has left once its last agreement is over; its credits can be withdrawn then. Until then its node must go
    on: what it stores for others is proven and paid as before. Asked again, this completes the leaving when it can.
    """

    async def act(chain: Chain, owner: Owner) -> Result:
        from peerage_chain.errors import Reverted
        from peerage_chain.types import MemberStatus

        if owner.member.status is not MemberStatus.LEFT:
            try:
                await chain.leave()
            except Reverted as error:
                if error.name != "StillBound":  # it was announced before, and is not over yet
                    raise
        member = await chain.member_by_account(owner.member.account)
        assert member is not None  # the words' account was a member just now
        live = [a for a in await chain.agreements_of(owner.member.id) if a.is_live]
        return {
            "status": member.status.name.lower(),
            "agreements": len(live),
            "until_epoch": max((a.terms.end_epoch for a in live), default=None),
        }

    session_of(ctx).result(_act(words_file, rpc, directory, act), _show_leaving)


@account.command(cls=Verb)
@click.argument("amount")
@click.option("--to", "to", required=True, metavar="ADDRESS", help="Where the credits go.")
@_scope
@click.pass_context
def withdraw(ctx: click.Context, amount: str, to: str, words_file: str, rpc: str | None, directory: str | None) -> None:
    """Send AMOUNT credits (or 'all' that is free) out of the clearing account."""
    from peerage_chain.typed import parse_address

    try:
        address = parse_address(to)
    except ValueError as error:
        raise UserError(f"--to: {error}") from None
    wanted = None if amount == "all" else micro_credits(amount)

    async def act(chain: Chain, owner: Owner) -> Result:
        from peerage_chain.audit import credits_text

        free = await chain.balance(owner.member.id)
        sent = free if wanted is None else wanted
        if not 0 < sent <= free:
            raise UserError(f"{credits_text(free)} credits are free: name an amount above 0 and not above that")
        await chain.withdraw(sent, address)
        return {"withdrawn": credits_text(sent), "to": address, "balance": credits_text(free - sent)}

    session_of(ctx).result(_act(words_file, rpc, directory, act), lambda r: fields(r.items()))


@account.command("cancel-removals", cls=Verb)
@_scope
@click.pass_context
def cancel_removals(ctx: click.Context, words_file: str, rpc: str | None, directory: str | None) -> None:
    """Cancel every removal of data that is announced: what a stolen node asked to delete is kept."""

    async def act(chain: Chain, owner: Owner) -> Result:
        from peerage_chain.types import AgreementId

        pending = await _removals(chain, owner)
        for removal in pending:
            await chain.cancel_removal(AgreementId(bytes.fromhex(removal["agreement"])))
        return {"cancelled": pending}

    def shown(result: Mapping[str, Any]) -> None:
        click.echo(f"{len(result['cancelled'])} removals cancelled")

    session_of(ctx).result(_act(words_file, rpc, directory, act), shown)


@account.command(cls=Verb)
@click.argument("node")
@_scope
@click.pass_context
def revoke(ctx: click.Context, node: str, words_file: str, rpc: str | None, directory: str | None) -> None:
    """Revoke NODE, the address of a node key: it can sign and reach nothing any more."""

    async def act(chain: Chain, owner: Owner) -> Result:
        from peerage.keys.words import account_of
        from peerage_chain.typed import revocation_digest, sign

        known = {n.key.lower(): n for n in owner.member.nodes}
        found = known.get(node.lower())
        if found is None:
            raise UserError(f"member {owner.member.id} has no node key {node}: 'peerage account show' lists them")
        if not found.revoked:
            _, key = account_of(owner.words)
            await chain.revoke(found.key, sign(key, revocation_digest(found.key, owner.network.domain)))
        return {"revoked": found.key}

    session_of(ctx).result(_act(words_file, rpc, directory, act), lambda r: fields(r.items()))


async def _removals(chain: Chain, owner: Owner) -> list[Result]:
    """Pending removals of the member's data."""
    found: list[Result] = []
    agreements: list[AgreementInfo] = [a for a in await chain.agreements_of(owner.member.id) if a.is_live]
    for agreement in agreements:
        if agreement.terms.client != owner.member.id:
            continue
        if removal := await chain.removal_of(agreement.id):
            found.append(
                {
                    "agreement": agreement.id.hex(),
                    "provider": agreement.terms.provider,
                    "bytes": removal.leaves * 1024,
                    "ready_epoch": removal.ready,
                }
            )
    return found


def micro_credits(text: str) -> int:
    """'12.5' → 12,500,000. Raises UserError for what is no amount with six decimals at most."""
    try:
        micro = Decimal(text) * 1_000_000
    except InvalidOperation:
        micro = Decimal("NaN")
    if not micro.is_finite() or micro != micro.to_integral_value() or not 0 < micro < 1 << 63:
        raise UserError(f"{text!r} is no amount of credits: as in 12.5, with six decimals at most")
    return int(micro)


def _show(result: Mapping[str, Any]) -> None:
    fields((name, result[name]) for name in ("member", "account", "status", "balance", "agreements"))
    table(
        ["node key", "endpoint", "site", "state"],
        [[n["key"], n["endpoint"], n["site"], "revoked" if n["revoked"] else "enrolled"] for n in result["nodes"]],
    )
    for removal in result["removals"]:
        click.echo(
            f"announced: {removal['bytes']:,} bytes at member {removal['provider']} may be removed from epoch"
            f" {removal['ready_epoch']} on; if you did not ask for it: 'peerage account cancel-removals'"
        )


def _show_leaving(result: Mapping[str, Any]) -> None:
    if result["status"] == "left":
        click.echo("the member has left: 'peerage account withdraw all' takes its credits out")
        return
    click.echo(
        f"the member is leaving: {result['agreements']} agreements bind it until epoch {result['until_epoch']};"
        " keep its node up until then, and ask again after it"
    )
