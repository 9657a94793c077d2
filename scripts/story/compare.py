"""Compares two trees, content and metadata, with a program that is not ours: rsync, else GNU tar."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from command import StoryBroken

sys.path.append(str(Path(__file__).parents[2]))
from tests.trees.compare import RSYNC, TAR, difference


def assert_same(source: Path, restored: Path) -> str:
    """Raise StoryBroken with the first differences; return the name of the comparison that found none."""
    program = RSYNC if shutil.which("rsync") else TAR
    if shutil.which(program[0]) is None:
        raise StoryBroken("rsync or GNU tar is needed to compare the trees: install one")
    found = difference(source, restored)
    if found:
        raise StoryBroken(f"{program[0]} finds differences:\n" + "\n".join(found.splitlines()[:20]))
    return " ".join(program)
