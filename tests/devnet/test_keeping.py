"""What keeps snapshots coming and lets them go, between real processes: streams, hooks, the schedule, holds."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.devnet.conftest import Devnet

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(300)]

DUMP = "import sys; sys.stdout.buffer.write(b'row\\n' * 2_000_000); sys.exit(int(sys.argv[1]))"


@pytest.fixture(scope="module")
def devnet(make_devnet: Callable[..., Devnet]) -> Devnet:
    return make_devnet(5, 5)


def listed(devnet: Devnet) -> list[str]:
    return [s["id"] for s in devnet.node(1, "snapshots")["snapshots"]]


def test_a_dump_comes_back_and_half_a_dump_does_not_exist(devnet: Devnet, tmp_path: Path) -> None:
    before = listed(devnet)
    command = ("--stdin-from-command", "--stdin-name", "db.sql", "--", sys.executable, "-c", DUMP)
    done = devnet.node(1, "--json", "backup", *command, "0")
    devnet.node(1, "restore", done["snapshot_id"], "--target", tmp_path / "back")
    assert (tmp_path / "back" / "db.sql").read_bytes() == b"row\n" * 2_000_000
    home = devnet.directory / "node1"
    failed = devnet.run("--home", home, "--json", "backup", *command, "3")
    assert failed.code == 5, failed
    assert "ended with exit code 3" in failed.err
    process = subprocess.Popen(
        [sys.executable, "-m", "peerage.cli.main", "--home", str(home), "backup", "--stdin"],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    process.stdin.write(b"x" * 3_000_000)
    process.stdin.flush()
    process.kill()
    process.communicate()
    time.sleep(2)
    assert listed(devnet) == [*before, done["snapshot_id"]]


def test_the_node_backs_up_and_forgets_by_itself(devnet: Devnet, tmp_path: Path) -> None:
    source, marks = tmp_path / "source", tmp_path / "marks"
    source.mkdir()
    (source / "file").write_text("x")
    with (devnet.directory / "node1" / "config.toml").open("a") as config:
        config.write(f"""
[hooks]
before_backup = [["sh", "-c", "echo before >> {marks}"]]
after_backup = [["sh", "-c", "echo after $PEERAGE_STATUS $PEERAGE_SNAPSHOT >> {marks}"]]

[[schedule]]
name = "documents"
do = "backup"
every = "1d"
with = {{ paths = ["{source}"], tags = ["auto"] }}

[[schedule]]
do = "forget"
at = "00:00"
with = {{ keep_last = 1, tags = ["auto"] }}
""")
    devnet.until(lambda: devnet.node(1, "schedule")["jobs"][0]["code"] != 0, epochs=12)
    first = devnet.node(1, "snapshots", "--tag", "auto")["snapshots"][0]["id"]
    assert marks.read_text() == f"before\nafter done {first}\n"
    second = devnet.node(1, "schedule", "run", "documents")["snapshot_id"]
    assert [s["id"] for s in devnet.node(1, "schedule", "run", "forget")["removed"]] == [first]
    assert listed(devnet)[-1] == second
    assert first not in listed(devnet)
    jobs = {job["name"]: job for job in devnet.node(1, "status")["schedule"]}
    assert (jobs["documents"]["code"], jobs["forget"]["code"]) == (0, 0)
    assert int(jobs["documents"]["next_ns"]) > time.time_ns()


def test_a_hold_is_in_the_anchored_head(devnet: Devnet, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("y")
    id = devnet.node(1, "backup", tmp_path / "file", "--host", "old")["snapshot_id"]
    devnet.node(1, "hold", id, "--reason", "audit")
    refused = devnet.run("--home", devnet.directory / "node1", "forget", id[:12])
    assert refused.code == 5
    assert "is held (audit)" in refused.err
    devnet.node(1, "release", id)
    assert [s["id"] for s in devnet.node(1, "forget", id[:12])["removed"]] == [id]
    assert devnet.node(1, "status")["anchored"] is True
