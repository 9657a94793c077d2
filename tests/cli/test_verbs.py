"""What the verbs send to the daemon, and how its answers become output and exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from peerage.cli.main import VERBS
from peerage.cli.progress import Events

from .conftest import Peerage

DONE = {"snapshot_id": "ab" * 32, "files": 2, "bytes": 3_000_000, "bytes_sent": 4_500_000, "seconds": 1.5}


class Daemon:
    """Answers in place of the owner's socket."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[Path, str, dict[str, Any]]] = []
        self.result: dict[str, Any] = {}
        monkeypatch.setattr("peerage.net.owner_client.call", self._call)

    def _call(self, home: Path, verb: str, params: dict[str, Any], on_event: Any = None) -> dict[str, Any]:
        self.asked.append((home, verb, params))
        on_event({"event": "progress", "phase": "backup", "files": 1, "bytes": 10})
        on_event({"event": "warning", "message": "member 4 is slow"})
        return dict(self.result)


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    return Daemon(monkeypatch)


def test_every_verb_has_help(peerage: Peerage) -> None:
    listed = peerage("--help")
    assert listed.code == 0
    for verb in VERBS:
        assert f"  {verb} " in listed.out
        answer = peerage(verb, "--help")
        assert answer.code == 0
        assert "--json" in answer.out
        assert "--home" in answer.out


def test_home_and_json_are_accepted_before_and_after_the_verb(
    peerage: Peerage, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.result = {"snapshots": []}
    home = tmp_path / "h"
    for arguments in (
        ("--home", home, "--json", "snapshots"),
        ("snapshots", "--home", home, "--json"),
        ("--json", "snapshots", "--home", home),
        ("policy", "--home", home, "show", "--json"),
    ):
        answer = peerage(*arguments)
        assert answer.code == 0
        assert answer.json == {"snapshots": []}
    monkeypatch.setenv("PEERAGE_HOME", str(tmp_path / "env"))
    peerage("snapshots")
    peerage("snapshots", "--home", home)
    assert [asked[0] for asked in daemon.asked] == [home] * 4 + [tmp_path / "env", home]


def test_backup_sends_absolute_paths_of_any_bytes(
    peerage: Peerage, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.result = DONE
    monkeypatch.chdir(tmp_path)
    odd = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(odd)
    (tmp_path / "link").symlink_to("nowhere")
    answer = peerage("backup", "link", os.fsdecode(odd), "--json")
    assert answer.code == 0
    assert answer.json == DONE
    verb, sent = daemon.asked[-1][1:]
    assert (verb, sent["paths"]) == ("backup", [str(tmp_path / "link"), os.fsdecode(odd)])
    assert "member 4 is slow" in answer.err


def test_backup_sends_what_to_leave_out(peerage: Peerage, daemon: Daemon, tmp_path: Path) -> None:
    daemon.result = DONE
    patterns = tmp_path / "patterns"
    patterns.write_text("# ours\n*.tmp\n")
    options = ("--exclude", "/build", "--exclude-file", str(patterns), "--one-file-system", "--exclude-caches")
    assert peerage("backup", str(tmp_path), *options, "--tag", "nightly", "--json").code == 0
    assert daemon.asked[-1][2] == {
        "paths": [str(tmp_path)],
        "exclude": ["# ours", "*.tmp", "/build"],
        "one_file_system": True,
        "exclude_caches": True,
        "tags": ["nightly"],
    }
    patterns.write_bytes("a\x0cb\r\n\nc\u2028d\x85\r\r\n".encode() + b"\xff\x1c\x0b")
    peerage("backup", str(tmp_path), "--exclude-file", str(patterns), "--host", "nas", "--dry-run")
    sent = daemon.asked[-1][2]
    assert sent["exclude"] == ["a\x0cb", "", "c\u2028d\x85\r", "\udcff\x1c\x0b"]
    assert (sent["host"], sent["dry_run"]) == ("nas", True)
    assert peerage("backup", str(tmp_path), "--limit-up", "2MB/s").code == 0
    assert daemon.asked[-1][2]["limit_up"] == "2MB/s"
    assert peerage("backup", str(tmp_path), "--limit-up", "1KB/s").code == 2
    missing = peerage("backup", str(tmp_path), "--exclude-file", str(tmp_path / "none"))
    assert missing.code == 5
    assert "none" in missing.err


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, 0),
        ({"unreadable": [{"path": "/x", "reason": "it changed while it was read"}]}, 3),
        ({"records_waiting": ["the revision with member 3"]}, 4),
        ({"unreadable": [{"path": "/x", "reason": "gone"}], "records_waiting": ["the anchor"]}, 4),
    ],
)
def test_backup_says_how_it_ended(
    peerage: Peerage, daemon: Daemon, tmp_path: Path, more: dict[str, Any], code: int
) -> None:
    daemon.result = {**DONE, **more}
    assert peerage("backup", tmp_path, "--json").code == code
    answer = peerage("backup", tmp_path)
    assert answer.code == code
    assert DONE["snapshot_id"] in answer.out
    assert ("/x" in answer.err) == ("unreadable" in more)


def test_restore_sends_its_parts(peerage: Peerage, daemon: Daemon, tmp_path: Path) -> None:
    daemon.result = {**DONE, "target": str(tmp_path / "t"), "failed": [{"path": "dev/null", "reason": "not root"}]}
    answer = peerage("restore", "latest", "--target", tmp_path / "t", "--include", "/etc/hosts", "--include", "/srv")
    assert answer.code == 3
    assert "dev/null: not root" in answer.err
    plain = {"patterns": [], "exclude": [], "in_place": False, "delete": False, "verify": False}
    asked = {"snapshot": "latest", "target": str(tmp_path / "t"), "include": ["/etc/hosts", "/srv"], **plain}
    assert daemon.asked[-1][1:] == ("restore", asked)


def test_restore_in_place_may_go_where_something_is(peerage: Peerage, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    daemon.result = {**DONE, "target": str(tmp_path), "failed": [], "kept": 7, "verified": 9, "mismatched": 0}
    options = ("--in-place", "--delete", "--verify", "--pattern", "*.txt", "--exclude", "*.tmp")
    answer = peerage("restore", "latest", "--target", tmp_path, *options)
    assert answer.code == 0
    sent = daemon.asked[-1][2]
    assert (sent["in_place"], sent["delete"], sent["verify"]) == (True, True, True)
    assert (sent["patterns"], sent["exclude"], sent["include"]) == (["*.txt"], ["*.tmp"], [])
    assert "kept" in answer.out
    assert "mismatched" not in answer.out
    assert peerage("restore", "latest", "--target", tmp_path).code == 5
    daemon.result = {**DONE, "failed": [{"path": "x", "reason": "differs"}], "mismatched": 1}
    assert peerage("restore", "latest", "--target", tmp_path / "new", "--verify").code == 8


def test_a_dry_run_says_what_there_is_to_do(peerage: Peerage, daemon: Daemon, tmp_path: Path) -> None:
    daemon.result = {
        "files": 7, "bytes": 9, "new_files": 2, "new_bytes": 5, "changed_files": 1, "changed_bytes": 1,
        "unchanged_files": 3, "excluded": 4, "unreadable": [{"path": "/x", "reason": "denied"}], "dry_run": True,
    }  # fmt: skip
    answer = peerage("backup", tmp_path, "--dry-run")
    assert answer.code == 3
    assert "2 (5 B)" in answer.out
    assert "/x: denied" in answer.err


JOB = {
    "name": "docs", "do": "backup", "when": "every 15m", "running": False, "last_ns": "0", "code": 5,
    "message": "the hook failed", "next_ns": str(10**18),
}  # fmt: skip


def test_schedule_for_people(peerage: Peerage, daemon: Daemon) -> None:
    daemon.result = {"jobs": [JOB, {**JOB, "name": "new", "last_ns": None, "code": None, "message": ""}]}
    answer = peerage("schedule")
    assert answer.code == 0
    assert "failed (exit code 5) at 1970-01-01T00:00:00Z" in answer.out
    assert "not run yet" in answer.out
    assert "2001-09-09T01:46:40Z" in answer.out
    assert "docs: the hook failed" in answer.err
    daemon.result = {"jobs": []}
    assert "[[schedule]]" in peerage("schedule").err


def test_schedule_run_ends_with_the_code_of_its_verb(peerage: Peerage, daemon: Daemon) -> None:
    daemon.result = {**DONE, "unreadable": [{"path": "/x", "reason": "gone"}]}
    answer = peerage("schedule", "run", "docs")
    assert answer.code == 3
    assert daemon.asked[-1][1:] == ("schedule.run", {"name": "docs"})


@pytest.mark.parametrize(
    ("damage", "unread", "code"),
    [([], [], 0), ([], [{"pack": "ab" * 32, "reason": "gone"}], 6), ([{"pack": "ab" * 32, "reason": "bad"}], [], 8)],
)
def test_check_says_how_it_ended(
    peerage: Peerage, daemon: Daemon, damage: list[dict[str, str]], unread: list[dict[str, str]], code: int
) -> None:
    figures = dict.fromkeys(("snapshots", "trees", "packs", "degraded", "lost", "packs_read", "bytes_read"), 1)
    daemon.result = {**figures, "damage": damage, "unread": unread}
    assert peerage("check", "--read-data").code == code


KEPT = {"id": "ab" * 32, "time_ns": "0", "host": "nas", "paths": ["/srv"], "bytes": 9, "tags": [], "hold": None}


def test_forget_sends_its_rules_and_shows_both_lists(peerage: Peerage, daemon: Daemon) -> None:
    daemon.result = {"kept": [{**KEPT, "reasons": ["last"]}], "removed": [{**KEPT, "id": "cd" * 32}], "dry_run": True}
    options = ("--keep-last", "2", "--keep-daily", "unlimited", "--keep-within", "6M", "--keep-tag", "a")
    answer = peerage("forget", *options, "--policy", "1d:15m,1y:1w", "--path", "/srv", "--dry-run")
    assert daemon.asked[-1][1:] == (
        "forget",
        {
            "keep_last": 2, "keep_daily": -1, "keep_within": "6M", "keep_tags": ["a"], "policy": "1d:15m,1y:1w",
            "paths": ["/srv"], "dry_run": True,
        },
    )  # fmt: skip
    assert "1 would be kept" in answer.out
    assert "1 would be forgotten" in answer.out
    assert "cdcdcdcdcdcdcdcd" in answer.out


@pytest.mark.parametrize(
    "options",
    [("--keep-within", "6m"), ("--keep-within", "x"), ("--keep-last", "-3"), ("--keep-daily", "a"), ("--policy", "1d")],
)
def test_forget_refuses_what_could_be_misread(peerage: Peerage, daemon: Daemon, options: tuple[str, ...]) -> None:
    assert peerage("forget", *options).code == 2
    assert daemon.asked == []


def test_hold_and_release(peerage: Peerage, daemon: Daemon) -> None:
    daemon.result = {"snapshot_id": "ab" * 32, "hold": "audit", "head": 4, "records_waiting": ["the anchor"]}
    answer = peerage("hold", "abab", "--reason", "audit")
    assert answer.code == 4
    assert daemon.asked[-1][1:] == ("hold", {"snapshot": "abab", "reason": "audit"})
    assert "audit" in answer.out
    daemon.result = {"snapshot_id": "ab" * 32, "hold": None, "head": 5, "records_waiting": []}
    assert peerage("release", "abab").code == 0
    assert daemon.asked[-1][1:] == ("release", {"snapshot": "abab"})


def test_status_for_people(peerage: Peerage, daemon: Daemon) -> None:
    daemon.result = {
        "health": 0.5,
        "snapshots": 2,
        "stripes": {"total": 4, "whole": 2, "degraded": 2, "lost": 0},
        "shards": {"total": 24, "proven": 20},
        "repaired_shards": 1,
        "providers": 8,
        "balance": "999.5",
        "schedule": [JOB],
    }
    out = peerage("status").out
    health = ("50%", "4 (2 whole, 2 degraded, 0 lost)", "24 (20 proven lately)", "999.5 credits")
    for shown in (*health, "schedule docs", "failed (exit code 5)"):
        assert shown in out


def test_progress_is_a_line_now_and_then_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    with Events(lambda: now[0]) as events:
        for second in range(12):
            now[0] = float(second)
            events.show({"event": "progress", "phase": "backup", "files": second, "bytes": second * 1_000_000})
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("backup: 10 files, 9.5 MiB, 1.0 MB/s")
    assert "left" not in lines[1]  # nobody knows the total yet


def test_progress_tells_the_time_left(capfd: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    with Events(lambda: now[0]) as events:
        for second in (0, 10):
            now[0] = float(second)
            events.show({"event": "progress", "phase": "restore", "bytes": second * 10**6, "bytes_total": 85 * 10**6})
    assert capfd.readouterr().err == "restore: 9.5 MiB/81.1 MiB, 1.0 MB/s, 1:15 left\n"


def test_the_command_line_imports_little(tmp_path: Path) -> None:
    code = "import sys, peerage.cli.main as m; m.run(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    began_s = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert time.monotonic() - began_s < 5.0  # 0.1 s on an idle machine
    for heavy in ("web3", "aiohttp", "cryptography", "rich"):
        assert f"'{heavy}'" not in done.stderr


def test_demand_asks_for_leaves_and_shows_the_deadlines(peerage: Peerage, daemon: Daemon) -> None:
    row = {"number": 3, "agreement": "ab" * 32, "client": 1, "provider": 2, "leaves": [4, 9], "epoch": 5}
    daemon.result = {"epoch": 6, "demands": [row | {"until_epoch": 9, "epochs_left": 4}]}
    answer = peerage("demand", "abab", "--leaf", "9", "--leaf", "4")
    assert daemon.asked[-1][1:] == ("demand", {"agreement": "abab", "leaves": [9, 4]})
    assert answer.out.splitlines()[-1].split() == ["3", "abababababab", "1", "2", "2", "9", "4"]
    assert peerage("demand", "--json").json == daemon.result
    assert daemon.asked[-1][1:] == ("demand", {"agreement": "", "leaves": []})
    assert peerage("demand", "--leaf", "1").code == 5
