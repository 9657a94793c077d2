"""scripts/endure in its short form: whatever befalls the members, nothing is lost, and all heals without a hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

STORY = Path(__file__).parents[2] / "scripts" / "story" / "endure.py"


@pytest.mark.devnet
@pytest.mark.timeout(1200)
def test_a_network_lives_through_everything_at_once() -> None:
    command = [sys.executable, str(STORY), "--minutes", "4", "--every", "15", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1150, check=False)
    assert done.returncode == 0, (done.stdout[-4000:], done.stderr[-2000:])
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["losses"] == 0
    assert figures["money"]["verified"]
    mended = {fault["name"].split(" of ")[0].split(" at ")[0] for fault in figures["faults"] if fault["mended_s"]}
    assert {"bit rot", "death", "leaving"} <= mended
    assert figures["counts"]["backups"] >= 5
