"""A real devnet, driven by the command line alone, as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

CALL_TIMEOUT_S = 240


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """stdout, which must be exactly one object on one line."""
        assert self.out.count("\n") == 1, (self.out, self.err)
        value: dict[str, Any] = json.loads(self.out)
        return value


class User:
    """Somebody at a shell, with a HOME of their own and nothing else of Peerage's."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home

    def run(self, *arguments: str | Path, stdin: str = "", **environment: str) -> Answer:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "PEERAGE_ANVIL") if name in os.environ}
        done = subprocess.run(
            [sys.executable, "-m", "peerage.cli.main", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            env={**kept, "HOME": str(self.home), "PYTHONDONTWRITEBYTECODE": "1", **environment},
            cwd=self.home,
            timeout=CALL_TIMEOUT_S,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str | Path, **environment: str) -> dict[str, Any]:
        """The result of a verb that must exit with 0."""
        answer = self.run(*arguments, "--json", **environment)
        assert answer.code == 0, (arguments, answer)
        return answer.json


class Devnet(User):
    """A running devnet."""

    def __init__(self, home: Path, directory: Path, nodes: int, epoch_s: int) -> None:
        super().__init__(home)
        self.directory = directory
        self.epoch_s = epoch_s
        up = ("devnet", "up", "--nodes", str(nodes), "--epoch", str(epoch_s), "--home", directory, "--detach")
        self.started = self.ok(*up)
        self.rpc: str = self.started["rpc"]

    def node(self, number: int, *arguments: str | Path) -> dict[str, Any]:
        return self.ok("--home", self.directory / f"node{number}", *arguments)

    def name_of(self, member: int) -> str:
        return str(next(n["name"] for n in self.started["nodes"] if n["member"] == member))

    def audit(self, what: str, *more: str) -> dict[str, Any]:
        return self.ok("audit", what, "--rpc", self.rpc, *more)

    def until(self, missing: Callable[[], object], epochs: int) -> None:
        """Wait until `missing` returns something empty; fail with what it returned."""
        deadline_s = time.monotonic() + epochs * self.epoch_s
        while what := missing():
            assert time.monotonic() < deadline_s, f"after {epochs} epochs still: {what}"
            time.sleep(1)


@pytest.fixture(scope="module")
def make_devnet() -> Iterator[Callable[..., Devnet]]:
    """Starts devnets under a short path, and ends them."""
    made: list[Devnet] = []
    with tempfile.TemporaryDirectory(prefix="peerage-", ignore_cleanup_errors=True) as folder:

        def make(nodes: int, epoch_s: int) -> Devnet:
            at = Path(folder) / str(len(made))
            made.append(devnet := Devnet(at / "user", at / "net", nodes, epoch_s))
            return devnet

        try:
            yield make
        finally:
            for path in Path(folder).glob("*/net"):
                User(path.parent / "user").run("devnet", "down", "--home", path)
