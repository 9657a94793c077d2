"""`peerage devnet up | status | down | kill NODE | start NODE | join`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from peerage.cli.devnet.state import MAX_NODES
from peerage.cli.render import fields, table
from peerage.cli.session import Session, Verb, VerbGroup, session_of
from peerage.errors import LocalFault, PeerageError, UserError

JOIN_S = 60.0  # what a node needs to join is its imports, its keystore and a few blocks


@click.group(cls=VerbGroup)
def devnet() -> None:
    """A whole network on this machine: one chain and several members, to try, test and rehearse.

    --home names the devnet's directory (else PEERAGE_HOME, else ~/.peerage-devnet); its nodes are DIR/node1 …
    """


@devnet.command(cls=Verb)
@click.option("--nodes", type=click.IntRange(1, MAX_NODES), default=None, help="How many members (9).")
@click.option(
    "--epoch", type=click.IntRange(2, 86400), default=None, metavar="SECONDS", help="Length of an epoch (10)."
)
@click.option("--detach", is_flag=True, help="Return once all members are admitted, beating and offering.")
@click.pass_context
def up(ctx: click.Context, nodes: int | None, epoch: int | None, detach: bool) -> None:
    """Start a devnet, or continue the one of this directory. Runs until interrupted; with --detach in the background.

    A node that `devnet kill` ended stays dead until `devnet start`; a node that fails by itself is shown and left.
    """
    session = session_of(ctx)
    directory = session.devnet_home
    session.note(
        "devnet: the keystores here have an EMPTY PASSPHRASE and the words lie beside them: never for real data"
    )
    if detach:
        from peerage.cli.devnet.detach import start_detached

        session.result(start_detached(directory, nodes, epoch, session.note), show_status)
        return
    from peerage.cli.devnet.supervisor import supervise

    supervise(directory, nodes, epoch, session.note, lambda status: _ready(session, status))


def _ready(session: Session, status: Mapping[str, Any]) -> None:
    session.result(status, show_status)
    sys.stdout.flush()
    session.note("ready; Ctrl-C ends it and keeps its state")


@devnet.command(cls=Verb)
@click.pass_context
def status(ctx: click.Context) -> None:
    """Show the chain's URL and every node's state."""
    session = session_of(ctx)
    session.result(_status(session.devnet_home), show_status)


def _status(directory: Path) -> dict[str, Any]:
    from peerage.cli.devnet import control, state
    from peerage.cli.devnet.describe import stopped_status

    try:
        return control.ask(directory, "status")
    except UserError:
        saved = state.load(directory)
        if saved is None:
            raise UserError(f"there is no devnet in {directory}: make one with 'peerage devnet up'") from None
        return stopped_status(directory, saved)


@devnet.command(cls=Verb)
@click.pass_context
def down(ctx: click.Context) -> None:
    """Stop every node and the chain, and keep their state for the next `devnet up`."""
    session = session_of(ctx)
    from peerage.cli.devnet import control
    from peerage.cli.devnet.detach import wait_ended

    directory = session.devnet_home
    before = _status(directory)
    if before["running"]:
        control.ask(directory, "down")
        wait_ended(directory)
    session.result(_status(directory), show_status)


@devnet.command(cls=Verb)
@click.argument("node")
@click.pass_context
def kill(ctx: click.Context, node: str) -> None:
    """Kill a node (SIGKILL), as a power cut would; it stays dead until `devnet start`.

    NODE is node4 or 4, or chain, which stops with its state: as if all who run it were away.
    """
    _act(session_of(ctx), "kill", node)


@devnet.command(cls=Verb)
@click.argument("node")
@click.pass_context
def start(ctx: click.Context, node: str) -> None:
    """Start a node that was killed or that failed; returns when it has joined. NODE is node4 or 4, or chain."""
    from peerage.cli.devnet import control

    session = session_of(ctx)
    started = control.ask(session.devnet_home, "start", node=node)
    if "home" in started:  # the chain has none
        _wait_joined(session.devnet_home, started)
    session.result(started, lambda n: fields(n.items()))


@devnet.command(cls=Verb)
@click.pass_context
def join(ctx: click.Context) -> None:
    """Let one more member join: made, admitted, given its credits, and its node started; returns when it has joined."""
    from peerage.cli.devnet import control

    session = session_of(ctx)
    joined = control.ask(session.devnet_home, "join")
    _wait_joined(session.devnet_home, joined)
    session.result(joined, lambda n: fields(n.items()))


def _wait_joined(directory: Path, node: Mapping[str, Any]) -> None:
    """Until the node answers its owner and has joined; raises LocalFault when it ends, or takes JOIN_S."""
    from peerage.net import owner_client

    deadline = time.monotonic() + JOIN_S
    while time.monotonic() < deadline:
        try:
            if owner_client.call(Path(node["home"]), "ping", {})["joined"]:
                return
        except PeerageError:
            pass  # it has not opened its socket yet
        state = next(n["state"] for n in _status(directory)["nodes"] if n["name"] == node["name"])
        if state != "running":
            break
        time.sleep(0.2)
    raise LocalFault(f"{node['name']} did not join: see {directory / 'logs' / node['name']}.log")


def _act(session: Session, verb: str, node: str) -> None:
    from peerage.cli.devnet import control

    session.result(control.ask(session.devnet_home, verb, node=node), lambda n: fields(n.items()))


def show_status(status: Mapping[str, Any]) -> None:
    chain = f"{status['rpc']}, {status['chain']}"
    fields([("home", status["home"]), ("chain", chain), ("epoch", f"{status['epoch_seconds']} s")])
    table(
        ["node", ">member", "state", ">pid", "endpoint"],
        [[n["name"], n["member"] or "–", n["state"], n["pid"] or "–", n["endpoint"]] for n in status["nodes"]],
    )
