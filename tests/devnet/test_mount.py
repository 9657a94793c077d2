"""Snapshots of a real member, mounted, browsed with ls and sha256sum, against the source."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.devnet.conftest import Devnet
from tests.trees.compare import difference
from tests.trees.make_tree import make_tree

from peerage.cli.mount.view import LIST_EVERY_S

pytestmark = [
    pytest.mark.devnet,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="this machine has no /dev/fuse"),
]


@contextmanager
def mounted(devnet: Devnet, where: Path) -> Iterator[subprocess.Popen[str]]:
    where.mkdir()
    command = [sys.executable, "-m", "peerage.cli.main", "--home", str(devnet.directory / "node1"), "mount", str(where)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        deadline_s = time.monotonic() + 30
        while not where.is_mount() and process.poll() is None:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        assert process.poll() is None, process.communicate()[1]
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert not where.is_mount()
    finally:
        process.kill()
        process.communicate()
        subprocess.run(["umount", "-l", str(where)], capture_output=True, check=False)


def shell(command: str, at: Path) -> str:
    return subprocess.run(["sh", "-c", command], cwd=at, capture_output=True, text=True, errors="replace").stdout


def read_all(root: Path) -> None:
    for name in sorted(os.listdir(root / "ordinary" / "d0" / "e0")):
        (root / "ordinary" / "d0" / "e0" / name).read_bytes()
    (root / "big" / "file").read_bytes()


LS = "ls -lRn --time-style=full-iso . | grep -v ^total | grep -v ^d | sed -E 's/ +/ /g'"
SUMS = "find . -type f -print0 | sort -z | xargs -0 sha256sum"


def test_a_mounted_snapshot_is_its_source(make_devnet: Callable[..., Devnet], tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    make_tree(tree, files=100, without=("deep",))  # which neither ls nor rsync can follow
    devnet = make_devnet(5, 5)
    devnet.node(1, "backup", tree)
    where = tmp_path / "mnt"
    with mounted(devnet, where):
        there = where / "latest" / "tree"
        assert shell(LS, there) == shell(LS, tree)
        sums = shell(SUMS, there)
        assert sums == shell(SUMS, tree)
        assert sums.count("\n") > 300
        assert difference(tree, there) == ""

        # The daemon goes and comes back; meanwhile there are errors, and then there are files again.
        time.sleep(LIST_EVERY_S)
        devnet.ok("devnet", "kill", "node1", "--home", devnet.directory)
        with pytest.raises(OSError, match="Input/output"):
            read_all(there)
        devnet.ok("devnet", "start", "node1", "--home", devnet.directory)

        def silent() -> str:
            return "" if shell(SUMS, there) == sums else "some files are not there"

        devnet.until(silent, 20)
