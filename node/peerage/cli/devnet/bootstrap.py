"""A devnet's first day: contracts deployed, members made, admitted and funded. Nothing of it asks a human."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from peerage.cli.devnet.chain import DevnetChain
from peerage.cli.devnet.nodes import home_of
from peerage.cli.devnet.state import HOST, DevnetState, NodeState
from peerage.flow import enrol
from peerage_chain.deploy import Application, Operator
from peerage_chain.types import CREDIT, Params

OPERATOR_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
"""anvil's own first account, which every anvil funds and everybody knows: right for a devnet, and nowhere else."""

CREDITS_EACH = 1000 * CREDIT
JURISDICTIONS = ("FR", "DE", "NL", "ES", "IT", "BE", "PT", "AT", "PL")
SHEET_PEERS = 3  # endpoints of others that a sheet names


def sheet_path(directory: Path, node: NodeState) -> Path:
    return directory / f"{node.name}.words"


def discard(directory: Path, devnet: DevnetState) -> None:
    """Remove what an interrupted first day left: none of it was ever in use."""
    shutil.rmtree(directory / "chain", ignore_errors=True)
    for node in devnet.nodes:
        shutil.rmtree(home_of(directory, node), ignore_errors=True)
        sheet_path(directory, node).unlink(missing_ok=True)


async def create(directory: Path, devnet: DevnetState, chain: DevnetChain, report: Callable[[str], None]) -> None:
    """Deploy, make every node's home and sheet, admit the members and give each its credits. Fills in `devnet`."""
    report("deploying the contracts")
    operator = await Operator.connect(chain.url, OPERATOR_KEY)
    try:
        await operator.deploy(Params(epoch_s=devnet.epoch_s, genesis_time_s=0, samples=0))
        network = await enrol.look_up_network(chain.url)
        devnet.chain_id = network.chain_id
        devnet.genesis = "0x" + network.genesis.hex()
        devnet.directory = network.directory
        report(f"making {len(devnet.nodes)} members")
        accounts = await asyncio.gather(
            *(asyncio.to_thread(_make_member, directory, devnet, node, network) for node in devnet.nodes)
        )
        report("admitting them, and giving each its credits")
        members = await operator.admit_many(
            [_application(node, account) for node, account in zip(devnet.nodes, accounts, strict=True)]
        )
        for node, member in zip(devnet.nodes, members, strict=True):
            node.member = member
        await operator.fund({member: CREDITS_EACH for member in members})
    finally:
        await operator.close()


async def join(directory: Path, devnet: DevnetState, chain: DevnetChain, node: NodeState) -> None:
    """One more member: its home and sheet, admitted, with its credits. Fills in `node`, not in `devnet` yet."""
    operator = await Operator.connect(chain.url, OPERATOR_KEY)
    try:
        network = await enrol.look_up_network(chain.url, devnet.directory)
        account = await asyncio.to_thread(_make_member, directory, devnet, node, network)
        (node.member,) = await operator.admit_many([_application(node, account)])
        await operator.fund({node.member: CREDITS_EACH})
    except BaseException:
        shutil.rmtree(home_of(directory, node), ignore_errors=True)
        sheet_path(directory, node).unlink(missing_ok=True)
        raise
    finally:
        await operator.close()


def _application(node: NodeState, account: str) -> Application:
    return Application(
        account=account,
        legal_entity=hashlib.sha256(f"peerage devnet entity {node.number}".encode()).digest(),
        jurisdiction=JURISDICTIONS[(node.number - 1) % len(JURISDICTIONS)],
        name=f"Member {node.number}",
    )


def _make_member(directory: Path, devnet: DevnetState, node: NodeState, network: enrol.Network) -> str:
    """Write one member's home and sheet; return its account."""
    others = [other.endpoint for other in devnet.nodes if other is not node]
    start = node.number % max(1, len(others))
    identity = enrol.new_identity(enrol.fresh_words(os.urandom), network, now_s=int(time.time()), entropy=os.urandom)
    settings = enrol.NodeSettings(
        listen=f"{HOST}:{node.port}", endpoint=node.endpoint, site=f"site-{node.number}", name=node.name
    )
    home = enrol.write_home(home_of(directory, node), identity, settings, passphrase="")
    sheet = enrol.sheet_of(identity, peers=(others[start:] + others[:start])[:SHEET_PEERS])
    home.write_file(sheet_path(directory, node), sheet.text().encode())
    return identity.account
