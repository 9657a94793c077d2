"""scripts/life: the life of one agreement, told by the chain's events."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHAPTERS = (
    "opened",
    "revised",
    "proven",
    "revised",
    "one epoch missed",
    "three more missed",
    "appealed",
    "decided",
    "renewed",
    "proven and paid as before",
    "Alice's account ends it early",
    "ended",
    "withdrawn",
)


@pytest.mark.devnet
def test_one_agreement_from_its_opening_to_the_withdrawal() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, str(ROOT / "scripts" / "story" / "life.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    headings = re.findall(r"^== (.*) \(epoch \d+\)$", done.stdout, re.MULTILINE)
    assert len(headings) == len(CHAPTERS) + 1
    assert all(heading.startswith(chapter) for heading, chapter in zip(headings[1:], CHAPTERS, strict=True))
    for amounts in (
        "escrow 2.929710  collateral 10.000000",
        "toClient 0.213633  burned 0.286367",
        "toProvider 8.500000",
    ):
        assert amounts in done.stdout
