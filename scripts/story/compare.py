"""Compares two trees, content and metadata, with a program that is not ours: rsync, else GNU tar."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from command import StoryBroken

RSYNC = ("rsync", "-aHAXn", "--checksum", "--delete", "--itemize-changes")
TAR = (
    *("tar", "--create", "--file=-", "--sort=name", "--numeric-owner", "--acls", "--xattrs", "--xattrs-include=*"),
    *("--format=posix", "--pax-option=delete=atime,delete=ctime,exthdr.name=%d/%f,globexthdr.name=global"),
)


def assert_same(source: Path, restored: Path) -> str:
    """Raise StoryBroken with the first differences; return the name of the comparison that found none."""
    if shutil.which("rsync"):
        return _by_rsync(source, restored)
    if shutil.which("tar"):
        return _by_tar(source, restored)
    raise StoryBroken("rsync or GNU tar is needed to compare the trees: install one")


def _by_rsync(source: Path, restored: Path) -> str:
    slash = "/" if source.is_dir() else ""
    done = subprocess.run(
        [*RSYNC, f"{source}{slash}", f"{restored}{slash}"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    differences = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode != 0 or differences:
        raise StoryBroken("rsync finds differences:\n" + "\n".join(differences[:20]))
    return " ".join(RSYNC)


def _by_tar(source: Path, restored: Path) -> str:
    digests = [_digest([*TAR, f"--directory={tree}", "."]) for tree in (source, restored)]
    if digests[0] != digests[1]:
        raise StoryBroken("tar makes two different archives of the two trees")
    return "tar of both trees, by sha256sum"


def _digest(command: Sequence[str]) -> bytes:
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "LC_ALL": "C"}) as tar:
        assert tar.stdout is not None
        answer = subprocess.run(["sha256sum"], stdin=tar.stdout, capture_output=True, check=True).stdout
    if tar.returncode != 0:
        raise StoryBroken(f"tar failed with {tar.returncode}")
    return answer
