"""`peerage recover`: from the words, a chain's URL and an empty home, everything back."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from peerage.cli.network import directory_option, optional_rpc_option
from peerage.cli.owner import exit_code_of
from peerage.cli.passphrase import new_passphrase
from peerage.cli.progress import Events
from peerage.cli.render import fields
from peerage.cli.restore import empty_target, show_restored, source_paths
from peerage.cli.session import Verb, session_of
from peerage.cli.words import owner_of, words_option
from peerage.errors import UserError

if TYPE_CHECKING:
    from peerage.flow.enrol import Network, NodeSettings
    from peerage_chain.types import MemberInfo

WORKERS = 4
ANYWHERE = "0.0.0.0"  # noqa: S104 - peers are on other machines
DEFAULT_PORT = 7420


@click.command(cls=Verb)
@click.argument("snapshot", default="latest")
@words_option
@optional_rpc_option
@directory_option
@click.option("--target", required=True, type=click.Path(path_type=Path), help="An empty or absent directory.")
@click.option("--include", multiple=True, metavar="PATH", help="Only this source path (may be given again).")
@click.option(
    "--listen", default="", metavar="HOST:PORT", help="Where peers will connect (as the old node's endpoint)."
)
@click.option("--endpoint", default="", metavar="URL", help="How peers will reach it (the old node's).")
@click.option("--name", default="", help="What people call this node.")
@click.pass_context
def recover(
    ctx: click.Context,
    snapshot: str,
    words_file: str,
    rpc: str | None,
    directory: str | None,
    target: Path,
    include: tuple[str, ...],
    listen: str,
    endpoint: str,
    name: str,
) -> int:
    """Rebuild this member on an empty home from its words, and restore SNAPSHOT ('latest') under --target.

    In the words file, ? is a missing word; with the six parity words, up to three wrong or six missing words are
    repaired and named. The old node's key is revoked. No daemon is left running: 'peerage up' starts it.
    """
    session = session_of(ctx)
    home, where = session.home, empty_target(target)
    _check_home(home)
    owner = owner_of(words_file, rpc, directory)
    passphrase = new_passphrase()
    settings = _settings(owner.member, listen, endpoint, name)
    with Events() as events:
        for position, given, _ in owner.repaired:
            events.show({"event": "note", "message": f"word {position} was repaired (given: {given or 'missing'})"})
        result = _recover(
            owner.words, owner.network, home, passphrase, settings, where, snapshot, source_paths(include), events.show
        )
    restored = result.pop("restore")
    shown = {
        **restored,
        **result,
        "repaired_words": [{"position": p, "given": given, "used": used} for p, given, used in owner.repaired],
        "account": owner.member.account,
        "home": str(home),
    }
    session.result(shown, _show)
    return exit_code_of(shown)


def _check_home(home: Path) -> None:
    if (home / "keystore.bin").exists():
        raise UserError(f"{home} is a home already: name an empty one with --home, or start it with 'peerage up'")
    if home.exists() and not (home / "version").exists() and (not home.is_dir() or any(home.iterdir())):
        raise UserError(f"{home} is not empty: name an empty home with --home")


def _settings(member: MemberInfo, listen: str, endpoint: str, name: str) -> NodeSettings:
    """Where the new node will be: as told, else where the member's newest node was."""
    from peerage.flow.enrol import NodeSettings

    last = member.nodes[-1] if member.nodes else None
    endpoint = endpoint or (last.endpoint if last else "")
    if not listen:
        there = urlsplit(endpoint)
        # A loopback endpoint is a devnet's: it must not start to listen to the world.
        host = there.hostname if there.hostname in ("127.0.0.1", "localhost") else ANYWHERE
        listen = f"{host}:{there.port or DEFAULT_PORT}"
    return NodeSettings(listen=listen, endpoint=endpoint, site=last.site if last else "", name=name)


def _recover(
    words: Sequence[str],
    network: Network,
    home: Path,
    passphrase: str,
    settings: NodeSettings,
    target: str,
    snapshot: str,
    include: list[str],
    report: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    from peerage.flow.recover import recover as flow

    with ThreadPoolExecutor(WORKERS, "work") as workers:
        result = asyncio.run(
            flow(
                words,
                network,
                home=home,
                passphrase=passphrase,
                settings=settings,
                target=Path(target),
                wanted=snapshot,
                include=[os.fsencode(path) for path in include],
                workers=workers,
                entropy=os.urandom,
                clock_ns=time.time_ns,
                report=report,
            )
        )
    return asdict(result)


def _show(result: Mapping[str, Any]) -> None:
    for repaired in result["repaired_words"]:
        given = repaired["given"] or "missing"
        click.echo(f"word {repaired['position']}: {given} was repaired to {repaired['used']}: correct your sheet")
    show_restored(result)
    fields([("member", result["member"]), ("home", result["home"])])
    click.echo("Next: 'peerage up' carries on as this member.")
