"""`peerage up`: the daemon, in the foreground."""

from __future__ import annotations

import click

from peerage.cli.passphrase import passphrase
from peerage.cli.session import Verb, session_of
from peerage.errors import UserError


@click.command(cls=Verb)
@click.pass_context
def up(ctx: click.Context) -> int:
    """Run this member's node until it is interrupted.

    Answers peers, beats, proves, settles, repairs, and serves the other verbs on a socket in the home.
    """
    home = session_of(ctx).home
    if not home.is_dir():
        raise UserError(f"there is no home at {home}: make a member with 'peerage init', or name its home with --home")
    from peerage.daemon.main import run

    return run(home, passphrase())
