from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from peerage.cli.main import run
from peerage.flow import enrol

WORDS = ("abandon " * 23 + "art").split()
NETWORK = enrol.Network("http://127.0.0.1:9", 31337, bytes(31) + b"\x01", "0x5FbDB2315678afecb367f032d93F642f64180aa3")
PASSPHRASE = "correct horse"


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """stdout, which must be exactly one object on one line."""
        assert self.out.count("\n") == 1, self.out
        value: dict[str, Any] = json.loads(self.out)
        return value


Peerage = Callable[..., Answer]


@pytest.fixture
def peerage(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Peerage:
    """Runs one command line in this process, with a HOME of its own and no PEERAGE_* of the developer's."""
    for name in ("PEERAGE_HOME", "PEERAGE_RPC", "PEERAGE_PASSPHRASE", "PEERAGE_PASSPHRASE_FILE", "PEERAGE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))

    def call(*arguments: str | Path) -> Answer:
        capfd.readouterr()
        code = run([str(a) for a in arguments])
        captured = capfd.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


class Draws:
    """Entropy that is the same in every run."""

    def __init__(self) -> None:
        self._drawn = 0

    def __call__(self, n: int) -> bytes:
        self._drawn += 1
        return bytes([self._drawn]) * n


def identity() -> enrol.Identity:
    return enrol.new_identity(WORDS, NETWORK, now_s=1_800_000_000, entropy=Draws())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A member's home; no chain answers at its endpoint."""
    path = tmp_path / "home"
    enrol.write_home(path, identity(), enrol.NodeSettings(endpoint="https://127.0.0.1:7420"), PASSPHRASE)
    return path
