"""The process that owns a devnet: starts the chain and the nodes, answers `devnet status|kill|start|down`, ends them.

Run as `python -m peerage.cli.devnet.supervisor` for --detach, or in the foreground by commands.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peerage.cli.devnet import bootstrap, control, state
from peerage.cli.devnet.chain import DevnetChain
from peerage.cli.devnet.describe import described
from peerage.cli.devnet.nodes import NodeProcess, end_leftover, home_of, log_of, log_tail
from peerage.errors import LocalFault, UserError

LOCK = "devnet.lock"
CHAIN = "chain"  # what `kill` and `start` call it
START_TOGETHER = 3  # nodes that import their libraries at the same time; more only wait for each other
READY_BASE_S = 60.0  # patience before a devnet counts as failed: a base, …
READY_PER_NODE_S = 10.0  # … for each node's start, …
READY_EPOCHS = 12  # … and epochs for the first commitments and beats

Report = Callable[[str], None]


class Supervisor:
    """One run of a devnet. `report` takes one line of progress at a time."""

    def __init__(self, directory: Path, devnet: state.DevnetState, report: Report) -> None:
        self.directory = directory
        self.devnet = devnet
        self._report = report
        self._stop = asyncio.Event()
        self._ready = False
        self._joining = asyncio.Lock()
        self._chain: DevnetChain | None = None
        self._nodes = [NodeProcess(directory, node, self._save) for node in devnet.nodes]

    async def run(self, on_ready: Callable[[dict[str, Any]], None]) -> None:
        """Bring everything up, call on_ready with the status, and stay until stopped. Raises when it cannot come up."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self._stop.set)
        self._clear_leftovers()
        server = await control.serve(self.directory, self._answer)
        try:
            coming_up = asyncio.create_task(self._up())
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait({coming_up, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not coming_up.done():
                coming_up.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await coming_up
                return
            stopping.cancel()
            coming_up.result()
            self._ready = True
            on_ready(self.status())
            assert self._chain is not None
            await self._chain.keep_until(self._stop)
        finally:
            await self._down()
            server.close()
            with contextlib.suppress(FileNotFoundError):
                (self.directory / control.SOCKET).unlink()

    async def _up(self) -> None:
        for node in self.devnet.nodes:
            if state.port_taken(node.port):
                raise UserError(f"port {node.port} of {node.name} is taken by another program: stop it, then try again")
        if state.port_taken(self.devnet.rpc_port):
            raise UserError(f"port {self.devnet.rpc_port} of the chain is taken by another program: stop it first")
        self._chain = DevnetChain(self.directory, self.devnet)
        self._report(f"starting the chain at {self.devnet.rpc}")
        await self._chain.start()
        self._save()
        if not self.devnet.ready_once:
            await bootstrap.create(self.directory, self.devnet, self._chain, self._report)
            await self._chain.dump()
            self.devnet.ready_once = True
            self._save()
        starting = [node for node in self._nodes if not node.node.killed]
        self._report(f"starting {len(starting)} nodes")
        for i in range(0, len(starting), START_TOGETHER):
            for process in starting[i : i + START_TOGETHER]:
                await process.start()
            await asyncio.sleep(0.5)
        await self._until_ready(starting)

    async def _until_ready(self, expected: list[NodeProcess]) -> None:
        assert self._chain is not None
        patience_s = READY_BASE_S + READY_PER_NODE_S * len(expected) + READY_EPOCHS * self.devnet.epoch_s
        shown = ""
        try:
            async with asyncio.timeout(patience_s):
                async for line in self._chain.readiness([node.node.member for node in expected]):
                    self._raise_if_failed(expected)
                    if line != shown:
                        shown = line
                        self._report(line)
        except TimeoutError:
            raise LocalFault(
                f"the nodes were not ready in {patience_s:.0f} s ({shown}): see the logs in {self.directory / 'logs'}"
            ) from None

    def _raise_if_failed(self, nodes: list[NodeProcess]) -> None:
        for process in nodes:
            if process.state == "failed":
                log = log_of(self.directory, process.node.name)
                self._report(f"--- the end of {log}:\n{log_tail(log)}")
                raise LocalFault(f"{process.node.name} ended with code {process.exit_code}: see {log}")

    async def _down(self) -> None:
        await asyncio.gather(*(node.stop() for node in self._nodes), return_exceptions=True)
        if self._chain is not None:
            await self._chain.stop()
        self.devnet.anvil_pid = 0
        self._save()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request.get("verb"):
            case "status":
                return self.status()
            case "down":
                self._stop.set()
                return self.status()
            case "kill" if request.get("node") == CHAIN:
                await self._running_chain.kill()
                return self._shown_chain()
            case "start" if request.get("node") == CHAIN:
                await self._running_chain.start()
                self._save()
                return self._shown_chain()
            case "join":
                return self._shown(await self._join())
            case "kill":
                process = self._process(str(request.get("node")))
                await process.kill()
                return self._shown(process)
            case "start":
                process = self._process(str(request.get("node")))
                await process.start()
                return self._shown(process)
            case verb:
                raise UserError(f"the devnet knows no verb {verb!r}")

    @property
    def _running_chain(self) -> DevnetChain:
        if self._chain is None or not self._ready:
            raise UserError("the devnet is still coming up: try again in a moment")
        return self._chain

    async def _join(self) -> NodeProcess:
        async with self._joining:
            chain = self._running_chain
            if chain.killed:
                raise UserError("the chain is stopped: start it first with 'peerage devnet start chain'")
            if len(self.devnet.nodes) >= state.MAX_NODES:
                raise UserError(f"a devnet has {state.MAX_NODES} nodes at most")
            node = state.NodeState(number=len(self.devnet.nodes) + 1, port=state.free_ports(1)[0])
            await bootstrap.join(self.directory, self.devnet, chain, node)
            self.devnet.nodes.append(node)
            process = NodeProcess(self.directory, node, self._save)
            self._nodes.append(process)
            self._save()
            await process.start()
            return process

    def _shown_chain(self) -> dict[str, Any]:
        assert self._chain is not None
        return {"name": CHAIN, "state": "killed" if self._chain.killed else "running", "pid": self._chain.pid or None}

    def _process(self, name: str) -> NodeProcess:
        node = self.devnet.node(name)
        return next(process for process in self._nodes if process.node is node)

    def _shown(self, process: NodeProcess) -> dict[str, Any]:
        node = process.node
        return {
            "name": node.name,
            "pid": process.pid,
            "state": process.state,
            "member": node.member,
            "endpoint": node.endpoint,
            "home": str(home_of(self.directory, node)),
            **({"exit_code": process.exit_code} if process.state == "failed" else {}),
        }

    def status(self) -> dict[str, Any]:
        return {
            "home": str(self.directory),
            "running": True,
            "ready": self._ready,
            "chain": "killed" if self._chain is not None and self._chain.killed else "running",
            "pid": os.getpid(),
            **described(self.devnet),
            "nodes": [self._shown(process) for process in self._nodes],
        }

    def _save(self) -> None:
        if self._chain is not None:
            self.devnet.anvil_pid = self._chain.pid
        state.save(self.directory, self.devnet)

    def _clear_leftovers(self) -> None:
        """A supervisor that was killed may have left its processes; they would hold ports and homes."""
        for node in self.devnet.nodes:
            if end_leftover(node.pid, str(home_of(self.directory, node))):
                self._report(f"ended {node.name} (process {node.pid}), which an earlier run had left")
            node.pid = 0
        if end_leftover(self.devnet.anvil_pid, str(self.devnet.rpc_port)):
            self._report(f"ended the chain (process {self.devnet.anvil_pid}), which an earlier run had left")
        self.devnet.anvil_pid = 0


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the devnet's directory. Raises UserError if another supervisor does."""
    fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"a devnet runs on {directory} already: "
                f"see 'peerage devnet status --home {directory}', or use another --home"
            ) from None
        yield
    finally:
        os.close(fd)


def opened(directory: Path, nodes: int | None, epoch_s: int | None) -> state.DevnetState:
    """The devnet of a directory: the one it holds, else a new one. The caller holds the lock. Raises UserError."""
    devnet = state.load(directory)
    if devnet is None:
        if strangers := [p.name for p in directory.iterdir() if p.name not in (LOCK, "logs")]:
            raise UserError(
                f"{directory} holds other files ({sorted(strangers)[0]}): name an empty directory with --home"
            )
        devnet = state.new_state(nodes or DEFAULT_NODES, epoch_s or DEFAULT_EPOCH_S)
        state.save(directory, devnet)
        return devnet
    if nodes is not None and nodes != len(devnet.nodes):
        raise UserError(
            f"the devnet of {directory} has {len(devnet.nodes)} nodes: leave --nodes out, or use another --home"
        )
    if epoch_s is not None and epoch_s != devnet.epoch_s:
        raise UserError(f"the devnet of {directory} has epochs of {devnet.epoch_s} s: leave --epoch out")
    return devnet


DEFAULT_NODES = 9
DEFAULT_EPOCH_S = 10


def supervise(
    directory: Path,
    nodes: int | None,
    epoch_s: int | None,
    report: Report,
    on_ready: Callable[[dict[str, Any]], None],
) -> None:
    """Run a devnet until it is stopped; see Supervisor.run."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(directory):
        (directory / "logs").mkdir(mode=0o700, exist_ok=True)
        devnet = opened(directory, nodes, epoch_s)
        if not devnet.ready_once:
            bootstrap.discard(directory, devnet)
        asyncio.run(Supervisor(directory, devnet, report).run(on_ready))
