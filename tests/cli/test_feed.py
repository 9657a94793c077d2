"""`backup --stdin` and `--stdin-from-command`, against the owner's real socket: whole, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peerage.daemon.owner import OwnerServer, Read
from peerage.errors import PeerageError, TooFewProviders
from peerage.flow.context import Report

from .conftest import Peerage

MIB = 1 << 20


class Taker:
    """A daemon of one verb: takes what is sent, and remembers how it ended."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.params: dict[str, Any] = {}
        self.taken = hashlib.sha256()
        self.bytes = 0
        self.ended: list[BaseException | None] = []
        self.fail_after: int | None = None
        self.loop = asyncio.new_event_loop()
        self.server = OwnerServer(home, {}, {}, {"backup": self.take})
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._run(self.server.start())

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def close(self) -> None:
        self._run(self.server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def take(self, params: dict[str, Any], report: Report, read: Read) -> dict[str, Any]:
        self.params = params
        try:
            report({"event": "note", "message": "taking"})
            while piece := await read():
                self.taken.update(piece)
                self.bytes += len(piece)
                if self.fail_after is not None and self.bytes >= self.fail_after:
                    raise TooFewProviders("nobody is up")
        except BaseException as error:
            self.ended.append(error)
            raise
        self.ended.append(None)
        return {"snapshot_id": "ab" * 32, "files": 1, "bytes": self.bytes, "bytes_sent": 0, "seconds": 1}

    def wait(self) -> BaseException | None:
        for _ in range(200):
            if self.ended:
                return self.ended[0]
            time.sleep(0.05)
        raise AssertionError("the verb did not end")


@pytest.fixture
def taker(tmp_path: Path) -> Iterator[Taker]:
    (tmp_path / "home").mkdir()
    taker = Taker(tmp_path / "home")
    yield taker
    taker.close()


def cli(taker: Taker, *arguments: str, stdin: Any = subprocess.PIPE) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "peerage.cli.main", "--home", str(taker.home), "backup", *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Tests that run in the background of a shell would hand down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_standard_input_arrives_whole(taker: Taker, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(9 * MIB + 13)
    process = cli(taker, "--stdin", "--stdin-name", "db.sql", "--host", "db1", "--tag", "nightly", "--json")
    out, err = process.communicate(data, timeout=30)
    assert process.returncode == 0, err
    assert taker.taken.digest() == hashlib.sha256(data).digest()
    assert taker.params == {"name": "db.sql", "host": "db1", "tags": ["nightly"]}
    assert b'"bytes": 9437197' in out
    file = tmp_path / "file"
    file.write_bytes(data)
    with file.open("rb") as redirected:  # not every standard input can be waited for
        process = cli(taker, "--stdin", stdin=redirected)
        assert (process.communicate(timeout=30), process.returncode)[1] == 0
    assert taker.bytes == 2 * len(data)


def test_what_a_command_writes_arrives(peerage: Peerage, taker: Taker) -> None:
    command = (sys.executable, "-c", "import sys; sys.stdout.buffer.write(b'x' * 3000000)")
    answer = peerage("--home", taker.home, "backup", "--stdin-from-command", "--json", "--", *command)
    assert answer.code == 0
    assert answer.json["bytes"] == 3_000_000
    assert taker.params == {"name": "stdin", "tags": []}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; print('half a dump'); sys.exit(3)", "ended with exit code 3"),
        ("import os; print('half', flush=True); os.kill(os.getpid(), 9)", "was killed by signal 9"),
    ],
)
def test_a_command_that_fails_leaves_nothing(peerage: Peerage, taker: Taker, script: str, said: str) -> None:
    answer = peerage("--home", taker.home, "backup", "--stdin-from-command", "--", sys.executable, "-c", script)
    assert answer.code == 5
    assert said in answer.err
    assert isinstance(taker.wait(), PeerageError)


def test_a_command_that_is_not_there(peerage: Peerage, taker: Taker) -> None:
    answer = peerage("--home", taker.home, "backup", "--stdin-from-command", "--", "no-such-command")
    assert answer.code == 5
    assert "no-such-command cannot be run" in answer.err


def test_a_command_line_that_is_killed_leaves_nothing(taker: Taker) -> None:
    process = cli(taker, "--stdin")
    assert process.stdin is not None
    process.stdin.write(b"x" * (3 * MIB))
    process.stdin.flush()
    while taker.bytes < MIB:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert taker.wait() is not None


def test_an_interrupt_ends_the_command_line_and_the_command(taker: Taker, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    script = (
        f"import os, time; print('x', flush=True); open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    )
    process = cli(taker, "--stdin-from-command", "--", sys.executable, "-c", script)
    while not mark.exists() or not mark.read_text():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert taker.wait() is not None
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
    process.communicate()


def test_an_error_of_the_daemon_ends_it_at_once(taker: Taker) -> None:
    taker.fail_after = MIB
    process = cli(taker, "--stdin")  # which stays open: nobody waits for its end
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"x" * (2 * MIB))
        process.stdin.flush()
    assert process.wait(20) == 6
    assert b"nobody is up" in process.communicate()[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--stdin", "/etc"),
        ("--stdin", "--dry-run"),
        ("--stdin", "--exclude", "x"),
        ("--stdin-from-command",),
        ("--stdin", "--stdin-from-command", "--", "true"),
        (),
    ],
)
def test_what_does_not_go_together(peerage: Peerage, arguments: tuple[str, ...]) -> None:
    assert peerage("backup", *arguments).code == 2
