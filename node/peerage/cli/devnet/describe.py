"""What `devnet status` says, whether a supervisor runs or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peerage.cli.devnet.nodes import home_of
from peerage.cli.devnet.state import DevnetState


def described(devnet: DevnetState) -> dict[str, Any]:
    """What `status` says of a devnet whether it runs or not."""
    return {
        "rpc": devnet.rpc,
        "chain_id": devnet.chain_id,
        "genesis": devnet.genesis,
        "directory": devnet.directory,
        "epoch_seconds": devnet.epoch_s,
    }


def stopped_status(directory: Path, devnet: DevnetState) -> dict[str, Any]:
    """The status of a devnet that no supervisor runs."""
    return {
        "home": str(directory),
        "running": False,
        "ready": False,
        "chain": "stopped",
        "pid": None,
        **described(devnet),
        "nodes": [
            {
                "name": node.name,
                "pid": None,
                "state": "killed" if node.killed else "stopped",
                "member": node.member,
                "endpoint": node.endpoint,
                "home": str(home_of(directory, node)),
            }
            for node in devnet.nodes
        ],
    }
