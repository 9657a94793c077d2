"""The chain is away: backups and restores go on, also of nodes that start without it, and what it missed is recorded
when it is back."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.devnet.conftest import Devnet
from tests.trees.compare import difference

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(300)]


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.5)


def test_what_the_chain_missed_is_recorded_when_it_is_back(make_devnet: Callable[..., Devnet], tmp_path: Path) -> None:
    devnet = make_devnet(6, 4)

    def act(*words: str) -> None:
        devnet.ok("devnet", *words, "--home", devnet.directory)

    source = tmp_path / "source"
    source.mkdir()
    (source / "before").write_bytes(random.Random(1).randbytes(2_000_000))
    devnet.node(1, "backup", source)
    act("kill", "chain")

    for number in range(3):
        if number == 2:  # nodes that start now, a client's and two providers', have what they saw of the chain last
            for name in ("node1", "node2", "node3"):
                act("kill", name)
                act("start", name)
            wait_for(lambda: devnet.run("--home", devnet.directory / "node1", "status").code == 0, 60)
        (source / f"meanwhile {number}").write_bytes(random.Random(number).randbytes(2_000_000))
        answer = devnet.run("--home", devnet.directory / "node1", "backup", source, "--json")
        assert answer.code == 4, "done, but not all of it is recorded"
        stripes = devnet.node(1, "status")["stripes"]
        assert stripes["whole"] == stripes["total"], answer
        snapshot = answer.json["snapshot_id"]
    assert devnet.node(1, "status")["records_waiting"]
    devnet.node(1, "restore", snapshot, "--target", tmp_path / "without a chain")
    assert difference(source, tmp_path / "without a chain" / "source") == ""

    act("start", "chain")
    joined = devnet.ok("devnet", "join", "--home", devnet.directory)

    def caught_up() -> bool:
        status = devnet.node(1, "status")
        return status["anchored"] and not status["records_waiting"]

    wait_for(caught_up, 90)

    def all_beat() -> bool:
        rows = devnet.audit("qos")["members"]
        return any(row["member"] == joined["member"] and row["beats_made"] for row in rows)

    wait_for(all_beat, 90)
    devnet.node(1, "restore", "latest", "--target", tmp_path / "with a chain")
    assert difference(source, tmp_path / "with a chain" / "source") == ""
    rows = devnet.audit("agreements")["agreements"]
    assert rows
    assert all(row["verified"] for row in rows)
