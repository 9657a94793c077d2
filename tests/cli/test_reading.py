"""The verbs that look into snapshots: what they send, and how what comes back is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peerage.net.owner_client import RemoteError

from .conftest import Peerage


class DataDaemon:
    """Answers data verbs in place of the owner's socket."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.data: list[bytes] = []
        self.result: dict[str, Any] = {}
        self.error: Exception | None = None
        monkeypatch.setattr("peerage.net.owner_client.call_data", self._call)

    def _call(
        self, _home: Path, verb: str, params: dict[str, Any], on_data: Callable[[bytes], object]
    ) -> dict[str, Any]:
        self.asked.append((verb, params))
        for piece in self.data:
            on_data(piece)
        if self.error is not None:
            raise self.error
        return dict(self.result)


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> DataDaemon:
    return DataDaemon(monkeypatch)


def test_cat_writes_bytes_and_nothing_else(peerage: Peerage, daemon: DataDaemon) -> None:
    daemon.data = [b"one\n", b"two"]
    answer = peerage("cat", "latest", "/etc/hosts", "--offset", "5", "--length", "7")
    assert (answer.code, answer.out, answer.err) == (0, "one\ntwo", "")
    assert daemon.asked == [("cat", {"snapshot": "latest", "path": "/etc/hosts", "offset": 5, "length": 7})]


@pytest.mark.parametrize(("kind", "code"), [("PeerUnavailable", 6), ("TooFewShards", 8), ("UserError", 5)])
def test_cat_that_breaks_off_says_so(peerage: Peerage, daemon: DataDaemon, kind: str, code: int) -> None:
    daemon.data = [b"half"]
    daemon.error = RemoteError("it broke off", kind, code)
    answer = peerage("cat", "latest", "x")
    assert (answer.code, answer.out) == (code, "half")
    assert "it broke off" in answer.err


def test_cat_has_no_json(peerage: Peerage, daemon: DataDaemon) -> None:
    assert peerage("cat", "latest", "x", "--json").code == 2
    assert peerage("cat", "latest", "x", "--offset", "-1").code == 2
    assert daemon.asked == []
