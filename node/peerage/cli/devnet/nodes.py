"""The processes of a devnet's nodes: started, watched, killed. No node is ever restarted by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from peerage.cli.devnet.state import NodeState
from peerage.errors import LocalFault

STOP_WAIT_S = 20.0  # a node that is asked to stop finishes what it writes; then it is killed
KILL_WAIT_S = 10.0

State = Literal["running", "killed", "stopped", "failed"]


def home_of(directory: Path, node: NodeState) -> Path:
    return directory / node.name


def log_of(directory: Path, name: str) -> Path:
    return directory / "logs" / f"{name}.log"


def log_tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error's evidence; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16384))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


class NodeProcess:
    """One node's process. state is 'failed' when it ended without being asked to."""

    def __init__(self, directory: Path, node: NodeState, on_change: Callable[[], None]) -> None:
        self.node = node
        self._directory = directory
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._ending: State | None = None
        self.exit_code: int | None = None
        self.state: State = "killed" if node.killed else "stopped"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self.state == "running" else None

    async def start(self) -> None:
        """Start the process; a running one is left alone."""
        if self.state == "running":
            return
        log = os.open(log_of(self._directory, self.node.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "peerage.cli.devnet.child",
                str(os.getpid()),
                "--home",
                str(home_of(self._directory, self.node)),
                "up",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                # Ctrl-C in the supervisor's terminal must reach the supervisor alone: it stops the nodes in order.
                start_new_session=True,
            )
        except OSError as error:
            raise LocalFault(f"cannot start {self.node.name}: {error.strerror}") from None
        finally:
            os.close(log)
        self._ending = None
        self.exit_code = None
        self.state = "running"
        self.node.pid = self._process.pid
        self.node.killed = False
        self._watcher = asyncio.create_task(self._watch(self._process), name=f"watch {self.node.name}")
        self._on_change()

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        self.exit_code = await process.wait()
        self.state = self._ending or "failed"
        self._on_change()

    async def kill(self) -> None:
        """SIGKILL; the node stays dead until it is started by name."""
        self.node.killed = True
        if self.state == "running":
            await self._end(signal.SIGKILL, "killed", KILL_WAIT_S)
        self.state = "killed"
        self._on_change()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL if it has not ended in time."""
        if self.state != "running":
            return
        try:
            await self._end(signal.SIGTERM, "stopped", STOP_WAIT_S)
        except TimeoutError:
            await self._end(signal.SIGKILL, "stopped", KILL_WAIT_S)

    async def _end(self, how: signal.Signals, ending: State, wait_s: float) -> None:
        assert self._process is not None
        assert self._watcher is not None
        self._ending = ending
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
        async with asyncio.timeout(wait_s):
            await asyncio.shield(self._watcher)


def _environment() -> dict[str, str]:
    """The user's environment without Peerage's own variables; the keystores of a devnet have an empty passphrase."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PEERAGE_")}
    for name in ("PEERAGE_DEBUG", "PEERAGE_LOG", "PEERAGE_ANVIL"):
        if name in os.environ:
            kept[name] = os.environ[name]
    kept["PEERAGE_PASSPHRASE"] = ""
    kept["PYTHONUNBUFFERED"] = "1"
    return kept


def end_leftover(pid: int, argument: str) -> bool:
    """End a process that a killed supervisor left behind, if `pid` still is it: its command names `argument`.

    A pid may have been given to another program since, so the command line decides. Waits until it is gone.
    """
    if pid <= 0:
        return False
    command = _command(pid)
    ours = os.fsencode(argument) in command
    if ours:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    elif command:
        return False
    # Without a command line it is dying already, by its parent's end perhaps, and may hold its ports still.
    deadline_s = time.monotonic() + KILL_WAIT_S
    while not _has_ended(pid) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return ours


def _has_ended(pid: int) -> bool:
    """Whether it is gone, or a zombie without threads: what it held open is closed with the last of them."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except (OSError, IndexError):
        return True
    return state in "ZX" and threads <= 1


def _command(pid: int) -> list[bytes]:
    """A process's command line; empty if it is gone, dying or a zombie."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return command.split(b"\0") if command else []
