"""The client's catalogue is damaged, then gone: its node makes it anew from the peers, and goes on where it was."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.devnet.conftest import Devnet
from tests.trees.compare import difference

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(300)]


def damage(catalogue: Path) -> None:
    """As a bad sector would: the header, and pages in the middle."""
    data = bytearray(catalogue.read_bytes())
    data[:100] = random.Random(1).randbytes(100)
    catalogue.write_bytes(data)


def remove(catalogue: Path) -> None:
    for path in catalogue.parent.glob("catalogue.sqlite*"):
        path.unlink()


def test_a_lost_catalogue_is_made_anew_at_the_start(make_devnet: Callable[..., Devnet], tmp_path: Path) -> None:
    devnet = make_devnet(5, 4)
    source = tmp_path / "source"
    for name in ("a", "b/c"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(random.Random(name).randbytes(3_000_000))
    first = devnet.node(1, "backup", source)["snapshot_id"]
    catalogue = devnet.directory / "node1" / "catalogue.sqlite"
    for number, spoil in enumerate((damage, remove)):
        devnet.ok("devnet", "kill", "node1", "--home", devnet.directory)
        spoil(catalogue)
        devnet.ok("devnet", "start", "node1", "--home", devnet.directory)
        deadline = time.monotonic() + 60
        while (answer := devnet.run("--home", devnet.directory / "node1", "snapshots", "--json")).code:
            assert time.monotonic() < deadline, answer
            time.sleep(0.5)
        listed = [s["id"] for s in answer.json["snapshots"]]
        assert listed[0] == first
        assert len(listed) == 1 + number
        devnet.node(1, "restore", "latest", "--target", tmp_path / f"out{number}")
        assert difference(source, tmp_path / f"out{number}" / source.name) == ""
        (source / f"new{number}").write_bytes(b"more")
        again = devnet.node(1, "backup", source)
        assert again["records_waiting"] == []
        assert again["bytes_sent"] < 3_000_000, "what the peers have is not sent again"
    assert devnet.node(1, "check", "--read-data")["damage"] == []
