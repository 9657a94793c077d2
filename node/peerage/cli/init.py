"""`peerage init`: a new member. Prints its words and its recovery sheet once."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from peerage.cli.network import directory_option, rpc_option
from peerage.cli.passphrase import new_passphrase
from peerage.cli.session import Verb, session_of
from peerage.errors import LocalFault, UserError

if TYPE_CHECKING:
    from peerage.keys.sheet import Sheet


@click.command(cls=Verb)
@rpc_option
@directory_option
@click.option("--listen", default="0.0.0.0:7420", metavar="HOST:PORT", help="Where peers connect (0.0.0.0:7420).")
@click.option("--endpoint", default="", metavar="URL", help="How peers reach it, as https://host:port.")
@click.option("--site", default="", help="Where the machine stands: a failure domain, shown on the chain.")
@click.option("--name", default="", help="What people call this node.")
@click.option("--peer", "peers", multiple=True, metavar="URL", help="A peer to name on the sheet (may be given again).")
@click.option(
    "--sheet", type=click.Path(path_type=Path), metavar="FILE", help="Write the sheet too: .html to print, else text."
)
@click.pass_context
def init(
    ctx: click.Context,
    rpc: str,
    directory: str | None,
    listen: str,
    endpoint: str,
    site: str,
    name: str,
    peers: tuple[str, ...],
    sheet: Path | None,
) -> None:
    """Make a new member in an empty home: words, keys, and the recovery sheet, printed once.

    Give the printed account to the consortium, which admits it; then run 'peerage up'.
    """
    session = session_of(ctx)
    home = session.home
    if (home / "keystore.bin").exists():
        raise UserError(f"{home} is a home already: name another with --home")
    if sheet is not None and sheet.exists():
        raise UserError(f"{sheet} is there already: name another file with --sheet")
    from peerage.flow import enrol

    network = asyncio.run(enrol.look_up_network(rpc, directory))
    passphrase = new_passphrase()
    identity = enrol.new_identity(enrol.fresh_words(os.urandom), network, now_s=int(time.time()), entropy=os.urandom)
    settings = enrol.NodeSettings(listen=listen, endpoint=endpoint, site=site, name=name)
    page = enrol.sheet_of(identity, peers)
    if sheet is not None:
        _write_sheet(sheet, page)
    enrol.write_home(home, identity, settings, passphrase)
    session.result(
        {
            "home": str(home),
            "account": identity.account,
            "node": identity.node,
            "words": list(identity.words),
            "parity": list(page.parity),
            "sheet": page.text(),
            "chain_id": network.chain_id,
            "genesis": "0x" + network.genesis.hex(),
            "directory": network.directory,
            "endpoint": endpoint,
            "sheet_file": str(sheet) if sheet is not None else None,
        },
        _show,
    )
    if not passphrase:
        session.note("warning: the keystore has an empty passphrase: whoever copies this home is this node")


def _write_sheet(path: Path, page: Sheet) -> None:
    text = page.html() if path.suffix.lower() in (".html", ".htm") else page.text()
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise LocalFault(f"the sheet cannot be written to {path}: {error.strerror}") from None


def _show(result: Mapping[str, Any]) -> None:
    click.echo(result["sheet"])
    click.echo(
        "These words are the member: they are shown this once and kept nowhere. Print the sheet, or copy it by hand,\n"
        "and keep it away from this machine.\n"
    )
    click.echo(f"account  {result['account']}\nhome     {result['home']}\n")
    click.echo("Next: have the consortium admit the account, then run 'peerage up'.")
