"""Restoring as a user who is not root: what can be done is done, and all else is listed, no more and no less."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from tests.trees.compare import difference
from tests.trees.make_tree import make_tree

ROOT = Path(__file__).parents[2]
UID = 65534


def give_to(uid: int, tree: Path) -> None:
    """All that is root's; modes stay, though a change of owner takes setuid bits away."""
    for base, folders, files in os.walk(tree):
        for path in [Path(base), *(Path(base) / name for name in folders + files)]:
            st = path.lstat()
            if st.st_uid == st.st_gid == 0:
                os.chown(path, uid, uid, follow_symlinks=False)
                if not path.is_symlink():
                    path.chmod(st.st_mode & 0o7777)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make what others cannot restore")
@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync names what differs")
def test_what_cannot_be_restored_is_listed_and_all_else_is_restored(tmp_path: Path) -> None:
    source, target, state = tmp_path / "source", tmp_path / "target", tmp_path / "state"
    make_tree(source, files=30, without=["names", "deep", "big"])
    give_to(UID, source)
    for path in (target, state):
        path.mkdir()
        os.chown(path, UID, UID)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o011)
    command = [sys.executable, "-m", "tests.flow.as_nobody", source, target, state, str(UID)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    listed = defaultdict(list)
    for failure in json.loads(done.stdout):
        listed[failure["path"].removeprefix("source/")].append(failure["reason"])
    changed = difference(source, target / "source", "--out-format=%i %n").splitlines()
    assert {line.split(maxsplit=1)[1].rstrip("/") for line in changed} == set(listed)
    reasons = {path: " ".join(found) for path, found in listed.items()}
    assert "Operation not permitted" in reasons["specials/null"]
    assert "its owner" in reasons["owners/54321 12345"]
    assert "its group" in reasons["owners/54321 12345"]
    assert "trusted.peerage" in reasons["attributes/file"]
    assert not (target / "source" / "specials" / "null").exists()
    # What may be had is had, even of what is listed.
    assert (target / "source" / "owners" / "54321 12345").read_text() == "owned"
    assert os.getxattr(target / "source" / "attributes" / "file", "user.text") == b"a value"
    assert (target / "source" / "modes" / "file 4755").stat().st_mode & 0o7777 == 0o4755
    assert (target / "source" / "owners" / "folder").stat().st_uid == UID
