"""What a devnet remembers between runs: devnet.json in its directory."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

import msgspec

from peerage.errors import LocalFault, UnknownVersion, UserError

SCHEMA = 1
FILE = "devnet.json"
HOST = "127.0.0.1"
MAX_NODES = 48
FIRST_PORT = 15000
LAST_PORT = 32000


class NodeState(msgspec.Struct):
    """One node. member: its number on chain. killed: `devnet kill` ended it, so only `devnet start` brings it back.
    pid: of the last process, kept to find what a killed supervisor left behind."""

    number: int
    port: int
    member: int = 0
    killed: bool = False
    pid: int = 0

    @property
    def name(self) -> str:
        return f"node{self.number}"

    @property
    def endpoint(self) -> str:
        return f"https://{HOST}:{self.port}"


class DevnetState(msgspec.Struct):
    """ready_once: the contracts are deployed and the members admitted; before that, `up` starts over."""

    schema: int
    epoch_s: int
    rpc_port: int
    nodes: list[NodeState]
    chain_id: int = 0
    genesis: str = ""
    directory: str = ""
    ready_once: bool = False
    anvil_pid: int = 0

    @property
    def rpc(self) -> str:
        return f"http://{HOST}:{self.rpc_port}"

    def node(self, name: str) -> NodeState:
        """The node called 'node4' or '4'. Raises UserError."""
        number = name.removeprefix("node")
        for node in self.nodes:
            if str(node.number) == number:
                return node
        raise UserError(f"there is no node called {name!r} here: name node1 … node{len(self.nodes)}")


def new_state(nodes: int, epoch_s: int) -> DevnetState:
    """A devnet with ports that are free now; they are kept for good."""
    ports = free_ports(nodes + 1)
    return DevnetState(
        schema=SCHEMA,
        epoch_s=epoch_s,
        rpc_port=ports[0],
        nodes=[NodeState(number=i + 1, port=port) for i, port in enumerate(ports[1:])],
    )


def load(directory: Path) -> DevnetState | None:
    """The devnet of a directory, None if there is none yet."""
    try:
        raw = (directory / FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"cannot read {directory / FILE}: {error.strerror}") from None
    try:
        state = msgspec.json.decode(raw, type=DevnetState)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{directory / FILE} is not a devnet's file ({error}): use another --home") from None
    if state.schema != SCHEMA:
        raise UnknownVersion(f"{directory / FILE} has schema {state.schema}; this release knows {SCHEMA}")
    return state


def save(directory: Path, state: DevnetState) -> None:
    """Replace devnet.json at once, durably."""
    temporary = directory / (FILE + ".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(state), indent=2))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / FILE)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on now.

    Below the range that the kernel gives to outgoing connections: a killed node's port must still be free for it later.
    """
    candidates = random.sample(range(FIRST_PORT, LAST_PORT), 50 * count)
    ports = [port for port in candidates if not port_taken(port)][:count]
    if len(ports) < count:
        raise LocalFault(f"no {count} free ports between {FIRST_PORT} and {LAST_PORT}")
    return ports


def port_taken(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False
