"""Hooks around a backup: their order, their exit codes, what they are told, and that they end."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from tests.flow.network import network

from peerage.daemon import hooks
from peerage.daemon.backing import BackupVerbs
from peerage.daemon.limits import Limits
from peerage.errors import PeerageError, UserError
from peerage.flow.context import silent
from peerage.flow.snapshots import summaries
from peerage.store.config_tables import Hooks


def note(file: Path, *names: str, code: int = 0) -> list[str]:
    """A hook that appends the values of these variables to `file`, and ends with `code`."""
    script = (
        f"import os, sys; open({str(file)!r}, 'a').write(' '.join(os.environ.get(n, n) for n in sys.argv[1:]) + '\\n')"
    )
    return [sys.executable, "-c", f"{script}; sys.exit({code})", *names]


NO_LIMITS = Limits(lambda: [], UTC)


async def backed_up(tmp_path: Path, wanted: Hooks, report: Any = silent) -> tuple[dict[str, Any] | PeerageError, int]:
    """(result or error, snapshots) of one backup with these hooks."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("x")
    with network(tmp_path) as (context, _, _):
        verbs = BackupVerbs(lambda: context, tmp_path / "home", lambda: wanted, NO_LIMITS)
        try:
            result: Any = await verbs.backup({"paths": [str(source)]}, report)
        except PeerageError as error:
            result = error
        return result, len(summaries(context))


async def test_they_run_in_order_and_are_told_what_became_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEERAGE_PASSPHRASE", "secret")
    marks = tmp_path / "marks"
    wanted = Hooks(
        before_backup=[note(marks, "one", "PEERAGE_PASSPHRASE"), note(marks, "two", "PEERAGE_HOME")],
        after_backup=[note(marks, "PEERAGE_STATUS", "PEERAGE_SNAPSHOT"), note(marks, "last")],
    )
    result, _ = await backed_up(tmp_path, wanted)
    assert isinstance(result, dict)
    assert result["hooks_failed"] == []
    assert marks.read_text().splitlines() == [
        "one PEERAGE_PASSPHRASE", f"two {tmp_path / 'home'}", f"done {result['snapshot_id']}", "last",
    ]  # fmt: skip


async def test_one_before_that_fails_stops_the_backup_and_those_after_run(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    wanted = Hooks(
        before_backup=[note(marks, "one", code=3), note(marks, "two")],
        after_backup=[note(marks, "PEERAGE_STATUS", "PEERAGE_SNAPSHOT")],
    )
    result, snapshots = await backed_up(tmp_path, wanted)
    assert isinstance(result, UserError)
    assert "ended with exit code 3: nothing was backed up" in str(result)
    assert snapshots == 0
    assert marks.read_text() == "one\nfailed \n"


async def test_one_after_that_fails_is_told_and_the_others_run(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    events: list[dict[str, Any]] = []
    wanted = Hooks(after_backup=[["/no/such/command"], note(marks, "one", code=1), note(marks, "two")])
    result, snapshots = await backed_up(tmp_path, wanted, events.append)
    assert isinstance(result, dict)
    assert [("cannot be run" in p, "exit code 1" in p) for p in result["hooks_failed"]] == [
        (True, False),
        (False, True),
    ]
    assert snapshots == 1
    assert marks.read_text() == "one\ntwo\n"
    assert sum(e["event"] == "warning" for e in events) == 2


async def test_those_after_run_when_the_caller_goes_away(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    wanted = Hooks(before_backup=[note(marks, "frozen")], after_backup=[note(marks, "PEERAGE_STATUS")])
    going = asyncio.Event()

    async def read() -> bytes:
        going.set()
        await asyncio.sleep(3600)
        return b""

    with network(tmp_path) as (context, _, _):
        verbs = BackupVerbs(lambda: context, tmp_path, lambda: wanted, NO_LIMITS)
        running = asyncio.create_task(verbs.backup_stream({"name": "dump"}, silent, read))
        await going.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert marks.read_text() == "frozen\nfailed\n"


async def test_no_hook_runs_for_a_path_that_is_not_there(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    wanted = Hooks(before_backup=[note(marks, "frozen")])
    with network(tmp_path) as (context, _, _), pytest.raises(UserError, match="not there"):
        await BackupVerbs(lambda: context, tmp_path, lambda: wanted, NO_LIMITS).backup(
            {"paths": ["/no/such/path"]}, silent
        )
    assert not marks.exists()


async def test_one_that_takes_too_long_is_killed_with_what_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {pid}; wait"
    began = time.monotonic()
    problem = await hooks.run_hook(["/bin/sh", "-c", script], os.environ, 0.5)
    assert "did not end in 0.5 s" in problem
    assert time.monotonic() - began < 5
    for _ in range(50):
        if not alive(int(pid.read_text())):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("its child lives on")


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def test_what_it_leaves_running_holds_nobody_up() -> None:
    began = time.monotonic()
    assert await hooks.run_hook(["/bin/sh", "-c", "sleep 5 & echo done"], os.environ, 60) == ""
    assert time.monotonic() - began < 4


async def test_output_is_bounded_and_kept_by_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, Any]] = []

    class Log:
        def info(self, _event: str, **fields: Any) -> None:
            said.append(fields)

        warning = info

    monkeypatch.setattr(hooks, "log", Log())
    script = "import sys; print('x' * 5_000_000); print('the end', file=sys.stderr); sys.exit(2)"
    assert "exit code 2" in await hooks.run_hook([sys.executable, "-c", script], {}, 60)
    assert said[0]["output"].endswith("the end")
    assert len(said[0]["output"]) <= hooks.KEPT_OUTPUT
