"""Commands of the owner around a backup: freeze a database, take a snapshot of a file system, and undo it (home.md).

No shell runs them. They get this process's environment without its PEERAGE_* variables, of which one is a passphrase.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from peerage.errors import UserError
from peerage.flow.context import Report, warn
from peerage.store.config_tables import Hooks

KEPT_OUTPUT = 16 << 10
"""Bytes of a hook's output that the log gets: its last ones."""
_READ = 64 << 10
_DRAIN_S = 1.0

log = structlog.get_logger()


class Outcome:
    """What the hooks after a backup are told. status: done, partial (some files could not be read) or failed."""

    def __init__(self) -> None:
        self.snapshot_id = ""
        self.status = "failed"
        self.failed: list[str] = []

    def ended(self, snapshot_id: str, partial: bool) -> None:
        self.snapshot_id, self.status = snapshot_id, "partial" if partial else "done"


@asynccontextmanager
async def around_backup(hooks: Hooks, home: Path, report: Report) -> AsyncIterator[Outcome]:
    """Run the hooks before and after what is inside.

    Those after run in any case, all of them, whatever happened before. Raises UserError when one before fails; one
    after that fails is a warning, and named in the outcome.
    """
    outcome = Outcome()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PEERAGE_")}
    environment["PEERAGE_HOME"] = str(home)
    try:
        for argv in hooks.before_backup:
            if problem := await run_hook(argv, environment, hooks.timeout_s):
                raise UserError(f"the hook {problem}: nothing was backed up; its output is in the log")
        yield outcome
    finally:
        after = _after(hooks, environment, outcome, report)
        # Whoever asked for the backup may go away; what was frozen must thaw.
        await asyncio.shield(asyncio.ensure_future(after))


async def _after(hooks: Hooks, environment: Mapping[str, str], outcome: Outcome, report: Report) -> None:
    told = {**environment, "PEERAGE_SNAPSHOT": outcome.snapshot_id, "PEERAGE_STATUS": outcome.status}
    for argv in hooks.after_backup:
        if problem := await run_hook(argv, told, hooks.timeout_s):
            outcome.failed.append(problem)
            warn(report, f"the hook {problem}")


async def run_hook(argv: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> str:
    """Run one command; returns what went wrong with it, or an empty text. Its output goes to the log, the end of it.

    When it is cancelled or its time is over, the command is killed with all that it started.
    """
    # A pipe of our own: asyncio's would make us wait for whatever the command leaves running in the background.
    ours, theirs = os.pipe()
    output = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(output), os.fdopen(ours, "rb")
    )
    tail = bytearray()
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                env=dict(environment),
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        reading = asyncio.create_task(_keep_tail(output, tail))
        problem = await _wait(process, argv[0], timeout_s)
        await asyncio.wait([reading], timeout=_DRAIN_S)
        reading.cancel()
    except (OSError, ValueError) as error:
        problem = f"{argv[0]} cannot be run ({getattr(error, 'strerror', None) or error})"
    finally:
        transport.close()
    level = log.warning if problem else log.info
    level("hook", command=argv[0], problem=problem or None, output=tail.decode(errors="replace").strip() or None)
    return problem


async def _wait(process: asyncio.subprocess.Process, name: str, timeout_s: float) -> str:
    try:
        async with asyncio.timeout(timeout_s):
            code = await process.wait()
    except TimeoutError:
        return f"{name} did not end in {timeout_s:g} s and was killed"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if code:
        return f"{name} was killed by signal {-code}" if code < 0 else f"{name} ended with exit code {code}"
    return ""


async def _keep_tail(output: asyncio.StreamReader, tail: bytearray) -> None:
    while piece := await output.read(_READ):
        tail += piece
        del tail[:-KEPT_OUTPUT]
