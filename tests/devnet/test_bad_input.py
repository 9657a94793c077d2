"""Every bad input of node/spec/cli.md that needs a chain or a daemon: one line, its exit code, and nothing lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.devnet.conftest import Answer, Devnet, User

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def devnet(make_devnet: Callable[..., Devnet]) -> Devnet:
    """Two members: enough for everything but a backup."""
    return make_devnet(2, 5)


@pytest.fixture
def stranger(tmp_path: Path) -> User:
    return User(tmp_path / "stranger")


def refused(answer: Answer, code: int, kind: str, *says: str) -> None:
    assert answer.code == code, answer
    error: dict[str, Any] = json.loads(answer.out)
    assert error["exit_code"] == code
    assert error["error"]["kind"] == kind, answer
    line = next(line for line in answer.err.splitlines() if line.startswith("peerage: error: "))
    for text in says:
        assert text in line, line


def recover(user: User, *more: str | Path) -> Answer:
    return user.run("recover", "--target", "back", "--json", *more, PEERAGE_PASSPHRASE="")


def test_too_few_providers(devnet: Devnet, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    answer = devnet.run("--home", devnet.directory / "node1", "backup", tmp_path / "file", "--json")
    refused(answer, 6, "TooFewProviders")
    assert devnet.node(1, "status")["snapshots"] == 0


def test_a_snapshot_that_does_not_exist(devnet: Devnet, tmp_path: Path) -> None:
    home = devnet.directory / "node1"
    refused(devnet.run("--home", home, "restore", "abcd", "--target", tmp_path / "t", "--json"), 5, "UserError")
    refused(devnet.run("--home", home, "ls", "latest", "--json"), 5, "UserError")
    assert not (tmp_path / "t").exists()


def test_a_home_that_is_in_use(devnet: Devnet) -> None:
    home = devnet.directory / "node2"
    refused(devnet.run("--home", home, "up", "--json", PEERAGE_PASSPHRASE=""), 5, "UserError", "already in use")
    assert devnet.node(2, "status")["snapshots"] == 0
    again = devnet.run("devnet", "up", "--home", devnet.directory, "--detach", "--json")
    refused(again, 5, "UserError", "runs on")


def test_words_that_are_no_members(devnet: Devnet, stranger: User) -> None:
    (stranger.home / "words").write_text("abandon " * 23 + "art")
    refused(recover(stranger, "--words-file", "words", "--rpc", devnet.rpc), 7, "NotAMember", "no member")
    assert not (stranger.home / ".peerage").exists()


def test_another_chain_than_the_sheets(devnet: Devnet, stranger: User) -> None:
    sheet = (devnet.directory / "node1.words").read_text()
    chain_id = str(devnet.started["chain_id"])
    (stranger.home / "id").write_text(sheet.replace(f"chain-id: {chain_id}", "chain-id: 1"))
    refused(recover(stranger, "--words-file", "id"), 7, "WrongChain")
    genesis = devnet.started["genesis"]
    (stranger.home / "genesis").write_text(sheet.replace(genesis, "0x" + "11" * 32))
    refused(recover(stranger, "--words-file", "genesis"), 7, "WrongChain")


def test_contracts_that_are_not_there(devnet: Devnet, stranger: User) -> None:
    nowhere = "0x" + "11" * 20
    for verb in ("members", "agreements", "qos"):
        answer = stranger.run("audit", verb, "--rpc", devnet.rpc, "--directory", nowhere, "--json")
        refused(answer, 7, "ContractsMissing")
    sheet = devnet.directory / "node1.words"
    refused(recover(stranger, "--words-file", sheet, "--directory", nowhere), 7, "ContractsMissing")


def test_a_member_that_never_backed_up(devnet: Devnet, stranger: User) -> None:
    answer = recover(stranger, "--words-file", devnet.directory / "node2.words")
    refused(answer, 5, "UserError", "nothing to recover")
    assert devnet.node(2, "status")["snapshots"] == 0  # its node was not revoked


def test_nodes_are_named_or_numbered(devnet: Devnet) -> None:
    answer = devnet.run("devnet", "kill", "node9", "--home", devnet.directory, "--json")
    refused(answer, 5, "UserError", "node1")
    refused(devnet.run("devnet", "status", "--home", devnet.directory / "x", "--json"), 5, "UserError", "no devnet")


def test_init_makes_a_member_that_waits_to_be_admitted(devnet: Devnet, stranger: User) -> None:
    made = stranger.ok(
        *("init", "--rpc", devnet.rpc, "--sheet", "sheet.html", "--listen", "127.0.0.1:0", "--peer", "https://a:1"),
        PEERAGE_PASSPHRASE="secret",
    )
    assert len(made["words"]) == 24
    assert len(made["parity"]) == 6
    assert made["directory"] == devnet.started["directory"]
    assert "words: " + " ".join(made["words"]) in made["sheet"]
    assert "peer: https://a:1" in made["sheet"]
    page = stranger.home / "sheet.html"
    assert page.stat().st_mode & 0o777 == 0o600
    assert made["words"][5] in page.read_text()
    home = stranger.home / ".peerage"
    for path in [home, *home.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
        if path.is_file():
            assert " ".join(made["words"][:3]).encode() not in path.read_bytes()
    refused(stranger.run("up", "--json", PEERAGE_PASSPHRASE="wrong"), 5, "UserError", "passphrase")
    (stranger.home / "words").write_text(" ".join(made["words"]))
    away = stranger.run("--home", "other", "recover", "--words-file", "words", "--rpc", devnet.rpc, "--target", "b")
    assert away.code == 7, away


def test_status_and_audit_have_their_keys(devnet: Devnet) -> None:
    status = devnet.ok("devnet", "status", "--home", devnet.directory)
    assert status["rpc"] == devnet.rpc
    for number, node in enumerate(status["nodes"], 1):
        assert node["name"] == f"node{number}"
        assert node["state"] == "running"
        assert Path(f"/proc/{node['pid']}").exists()
        assert node["endpoint"].startswith("https://127.0.0.1:")
    health = devnet.node(1, "status")
    assert set(health) >= {"health", "snapshots", "stripes", "shards", "repaired_shards", "providers", "balance"}
    members = devnet.audit("members")["members"]
    assert [m["member"] for m in members] == [n["member"] for n in status["nodes"]]
    assert devnet.audit("qos", "--member", "2")["members"][0]["member"] == 2
    assert devnet.audit("agreements") == {"agreements": []}


def test_a_node_that_fails_is_shown_and_state_survives_down_and_up(make_devnet: Callable[..., Devnet]) -> None:
    devnet = make_devnet(1, 4)
    where = ("--home", devnet.directory)
    pid = devnet.ok("devnet", "status", *where)["nodes"][0]["pid"]
    os.kill(pid, 9)
    devnet.until(lambda: devnet.ok("devnet", "status", *where)["nodes"][0]["state"] != "failed", epochs=4)
    down = devnet.ok("devnet", "down", *where)
    assert (down["running"], down["nodes"][0]["state"]) == (False, "stopped")
    up = devnet.ok("devnet", "up", "--detach", *where)
    for kept in ("rpc", "chain_id", "genesis", "directory"):
        assert up[kept] == devnet.started[kept]
    assert up["nodes"][0]["state"] == "running"
    assert up["nodes"][0]["member"] == devnet.started["nodes"][0]["member"]
    # A supervisor that is killed takes its nodes along, and the next one cleans up after it.
    os.kill(up["pid"], 9)
    again = devnet.ok("devnet", "up", "--detach", *where)
    assert again["genesis"] == up["genesis"]
    assert again["nodes"][0]["state"] == "running"
