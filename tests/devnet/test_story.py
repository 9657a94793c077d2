"""The story of scripts/demo on a small tree, and what it must not show to a provider."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.devnet.conftest import Answer, Devnet, User
from tests.trees.compare import difference

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(480)]

SECRET = "the minutes of the board, 14 March"
NAME = "minutes-of-the-board.txt"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Every kind of file that needs no privilege, with awkward names, times and holes."""
    root = tmp_path / "docs"
    (root / "deep" / "er").mkdir(parents=True)
    (root / NAME).write_text(f"{SECRET}\n" * 2000)
    (root / "deep" / "random").write_bytes(os.urandom(3_000_000))
    (root / "deep" / "empty").touch()
    (root / "deep" / "er" / "run.sh").write_text("#!/bin/sh\n")
    (root / "deep" / "er" / "run.sh").chmod(0o4750)
    os.link(root / NAME, root / "deep" / "hard")
    (root / "soft").symlink_to("deep/random")
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "fifo", 0o600)
    with open(os.fsencode(root) + b"/\xff name", "wb") as file:
        file.write(b"x")
    with (root / "sparse").open("wb") as file:
        file.truncate(5_000_000)
        file.seek(4_000_000)
        file.write(b"data")
    os.utime(root / "deep" / "empty", ns=(1, 1_234_567_890_123_456_789))
    os.utime(root / "deep", ns=(1, 987_654_321_123_456_789))
    return root


def same(source: Path, restored: Path) -> None:
    assert difference(source, restored) == ""


def holders_of(needles: list[bytes], homes: list[Path]) -> list[tuple[Path, bytes]]:
    found = []
    for home in homes:
        for path in home.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                found += [(path, needle) for needle in needles if needle in data or needle in os.fsencode(path)]
    return found


def overwrite(objects: Path) -> int:
    files = [path for path in objects.rglob("*") if path.is_file()]
    for path in files:
        with path.open("r+b") as file:
            file.write(os.urandom(path.stat().st_size))
    return len(files)


def words_of(sheet: str) -> list[str]:
    return next(line for line in sheet.splitlines() if line.startswith("words:")).split()[1:]


def conduct(devnet: Devnet, member: int) -> dict[str, Any]:
    row: dict[str, Any] = devnet.audit("qos", "--member", str(member))["members"][0]
    return row


def test_a_member_comes_back_from_its_words(make_devnet: Callable[..., Devnet], tree: Path, tmp_path: Path) -> None:
    devnet = make_devnet(9, 6)
    assert {n["state"] for n in devnet.started["nodes"]} == {"running"}
    providers = [devnet.directory / f"node{i}" for i in range(2, 10)]

    # Back up, look, restore.
    done = devnet.node(1, "backup", tree)
    assert done["files"] >= 8
    again = devnet.node(1, "backup", tree)
    assert again["bytes_sent"] < done["bytes_sent"] / 4  # nothing changed: listings and a head alone
    status = devnet.node(1, "status")
    assert status["snapshots"] == 2
    assert status["health"] == 1.0
    assert status["stripes"]["lost"] == 0
    assert status["stripes"]["whole"] == status["stripes"]["total"] > 0
    assert status["providers"] >= 6
    assert Decimal(status["balance"]) < 1000
    listed = devnet.node(1, "ls", done["snapshot_id"][:12], tree / "deep")
    assert {e["name"] for e in listed["entries"]} == {"random", "empty", "er", "hard"}
    devnet.node(1, "restore", "latest", "--target", tmp_path / "all")
    same(tree, tmp_path / "all" / "docs")
    devnet.node(1, "restore", "latest", "--target", tmp_path / "part", "--include", tree / "deep" / "er")
    same(tree / "deep" / "er", tmp_path / "part" / "docs" / "deep" / "er")
    assert not (tmp_path / "part" / "docs" / NAME).exists()

    # A file that changes while it is read is named, and the run goes on.
    restless(devnet, tmp_path)

    # kill -9 in the middle of a backup loses nothing that was committed, and the next run goes on.
    cut_short(devnet, tmp_path)

    # Providers hold nothing that can be read.
    sheet = (devnet.directory / "node1.words").read_text()
    words = words_of(sheet)
    needles = [SECRET.encode(), NAME.encode(), b"minutes-of-the"]
    needles += [" ".join(pair).encode() for pair in pairwise(words)]
    assert holders_of(needles, providers) == []

    # Everybody beats and proves.
    def unproven() -> list[int]:
        rows = devnet.audit("agreements")["agreements"]
        return [a["provider"] for a in rows if a["proofs_made"] < 1]

    devnet.until(unproven, epochs=12)
    devnet.until(lambda: devnet.node(1, "status")["shards"]["proven"] == 0, epochs=4)

    # One provider's disk is damaged behind its back.
    agreements = devnet.node(1, "agreements")["agreements"]
    victim = sorted(agreements, key=lambda a: a["leaves"])[-1]["provider"]
    assert overwrite(devnet.directory / devnet.name_of(victim) / "objects") > 0

    def unpunished() -> object:
        row, status = conduct(devnet, victim), devnet.node(1, "status")
        penalised = Decimal(row["penalties_to_client"]) + Decimal(row["penalties_burned"]) > 0
        done = row["settled_misses"] >= 2 and penalised and status["repaired_shards"] >= 1 and status["health"] == 1
        return None if done else (row, status)

    devnet.until(unpunished, epochs=25)
    assert all(miss["reason"] for miss in conduct(devnet, victim)["misses"])

    # Two others and node 1's machine are gone.
    gone = [a["provider"] for a in agreements if a["provider"] != victim][-2:]
    for member in gone:
        killed = devnet.ok("devnet", "kill", devnet.name_of(member), "--home", devnet.directory)
        assert killed["state"] == "killed"
    devnet.ok("devnet", "kill", "1", "--home", devnet.directory)
    shutil.rmtree(devnet.directory / "node1")

    # Words 3, 9 and 20 are wrong, and the parity words know better.
    wrong = list(words)
    for position in (3, 9, 20):
        wrong[position - 1] = "zoo" if wrong[position - 1] != "zoo" else "zone"
    stranger = User(tmp_path / "stranger")
    (stranger.home / "sheet").write_text(sheet.replace(" ".join(words), " ".join(wrong)))
    back = stranger.ok(
        *("recover", "--words-file", "sheet", "--rpc", devnet.rpc, "--target", "back", done["snapshot_id"]),
        PEERAGE_PASSPHRASE="new",
    )
    assert back["repaired_words"] == [{"position": p, "given": wrong[p - 1], "used": words[p - 1]} for p in (3, 9, 20)]
    assert back["snapshot_id"] == done["snapshot_id"]
    same(tree, stranger.home / "back" / "docs")
    assert stranger.run("status").code == 5  # recovery leaves no daemon behind

    # What the chain says follows from its events, and shows who kept silent.
    report = devnet.audit("qos")
    assert report["verified"]
    devnet.until(lambda: [m for m in gone if conduct(devnet, m)["beats_missed"] < 1], epochs=6)
    states = {n["name"]: n["state"] for n in devnet.ok("devnet", "status", "--home", devnet.directory)["nodes"]}
    assert sorted(states.values()) == ["killed"] * 3 + ["running"] * 6


def cut_short(devnet: Devnet, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    for i in range(8):
        (folder / str(i)).write_bytes(os.urandom(16_000_000))
    before = devnet.node(1, "snapshots")["snapshots"]
    answers: list[Answer] = []
    caller = threading.Thread(
        target=lambda: answers.append(devnet.run("--home", devnet.directory / "node1", "backup", folder, "--json"))
    )
    caller.start()
    time.sleep(1.2)
    devnet.ok("devnet", "kill", "node1", "--home", devnet.directory)
    caller.join()
    if answers[0].code != 0:  # a fast machine may have finished
        assert answers[0].code == 1
        assert "error" in answers[0].json
    assert devnet.run("--home", devnet.directory / "node1", "status").code == 5
    started = devnet.ok("devnet", "start", "1", "--home", devnet.directory)
    assert started["state"] == "running"
    devnet.until(lambda: devnet.run("--home", devnet.directory / "node1", "status").code, epochs=10)
    after = devnet.node(1, "snapshots")["snapshots"]
    assert [s["id"] for s in after][: len(before)] == [s["id"] for s in before]
    devnet.node(1, "backup", folder)
    devnet.node(1, "restore", "latest", "--target", tmp_path / "uncut")
    same(folder, tmp_path / "uncut" / "large")


def restless(devnet: Devnet, tmp_path: Path) -> None:
    folder = tmp_path / "restless"
    folder.mkdir()
    (folder / "still").write_text("still")
    log = folder / "growing.log"
    log.write_bytes(os.urandom(20_000_000))
    stop = threading.Event()

    def grow() -> None:
        with log.open("ab") as file:
            while not stop.wait(0.001):
                file.write(b"one more line\n")
                file.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        answer = devnet.run("--home", devnet.directory / "node1", "backup", folder, "--json")
    finally:
        stop.set()
        writer.join()
    assert answer.code == 3, answer
    assert [entry["path"] for entry in answer.json["unreadable"]] == [str(log)]
    devnet.node(1, "restore", "latest", "--target", tmp_path / "calm", "--include", folder / "still")
    assert (tmp_path / "calm" / "restless" / "still").read_text() == "still"
