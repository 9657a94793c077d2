"""The verbs that look into snapshots: what they send, and how what comes back is shown."""

from __future__ import annotations

import json
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


ROW = {"snapshot_id": "ab" * 32, "path": "/etc/hosts", "type": "file", "size": 12, "mtime_ns": "0"}


def test_find_sends_its_limits_and_shows_rows_as_they_come(peerage: Peerage, daemon: DataDaemon) -> None:
    line = json.dumps(ROW).encode() + b"\n"
    daemon.data = [line[:20], line[20:] + line]
    daemon.result = {"matches": 2}
    limits = ("--type", "file", "--newer", "2026-01-31T00:00:00+00:00", "--size", "+1k", "--size", "-2M", "-i")
    answer = peerage("find", "*.txt", "hosts", *limits)
    assert answer.code == 0
    assert answer.out.count("/etc/hosts") == 2
    assert daemon.asked[-1] == (
        "find",
        {
            "patterns": ["*.txt", "hosts"],
            "snapshot": "",
            "all": False,
            "types": ["file"],
            "newer_ns": "1769817600000000000",
            "older_ns": None,
            "at_least": 1024,
            "at_most": 2 << 20,
            "ignore_case": True,
        },
    )
    assert peerage("find", "x", "--json").json == {"matches": 2, "entries": [ROW, ROW]}
    daemon.data, daemon.result = [], {"matches": 0}
    nothing = peerage("find", "x")
    assert (nothing.code, nothing.out) == (0, "")
    assert "nothing matches" in nothing.err


def test_find_refuses_what_it_cannot_read(peerage: Peerage, daemon: DataDaemon) -> None:
    for arguments, code in (
        (("x", "--all", "--snapshot", "ab"), 2),
        (("x", "--newer", "yesterday"), 5),
        (("x", "--size", "big"), 5),
        (("x", "--type", "door"), 2),
        ((), 2),
    ):
        assert peerage("find", *arguments).code == code, arguments
    assert daemon.asked == []


def test_diff_shows_marks_and_a_summary(peerage: Peerage, daemon: DataDaemon) -> None:
    rows = [
        {"change": "added", "path": "/a", "type": "directory", "size": 0},
        {"change": "metadata", "path": "/b", "type": "file", "size": 1, "size_before": 1, "fields": ["mode", "uid"]},
    ]
    daemon.data = [b"".join(json.dumps(row).encode() + b"\n" for row in rows)]
    daemon.result = {"changes": 2}
    answer = peerage("diff", "aaaa", "bbbb")
    assert answer.out == "+  /a/\nU  /b  (mode, uid)\n"
    assert "1 added, 1 metadata" in answer.err
    assert daemon.asked == [("diff", {"old": "aaaa", "new": "bbbb", "path": "/"})]
    assert peerage("diff", "aaaa", "bbbb", "/b", "--json").json == {"changes": 2, "entries": rows}


def test_a_rehearsed_restore_lists_what_it_would_do(peerage: Peerage, daemon: DataDaemon, tmp_path: Path) -> None:
    rows = [
        {"action": "create", "path": "docs", "type": "directory", "size": 0},
        {"action": "replace", "path": "docs/a", "type": "file", "size": 2048},
    ]
    daemon.data = [json.dumps(row).encode() + b"\n" for row in rows]
    daemon.result = {"target": str(tmp_path), "counts": {"create": 1, "replace": 1, "keep": 5, "bytes": 2048}}
    answer = peerage("restore", "latest", "--target", tmp_path, "--in-place", "--dry-run")
    assert answer.code == 0
    assert answer.out.splitlines() == ["create    docs/", "replace   docs/a  (2.0 KiB)"]
    assert "1 to create, 5 to keep, 1 to replace; 2.0 KiB to write" in answer.err
    assert daemon.asked[-1][0] == "preview"
    assert peerage("restore", "latest", "--target", tmp_path, "--in-place", "-n", "--json").json["entries"] == rows
