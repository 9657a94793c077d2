"""scripts/crash with few rounds: kill -9 at random moments loses nothing and sends nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[2] / "scripts" / "story" / "crash.py"
ROUNDS = 6


@pytest.mark.devnet
@pytest.mark.timeout(600)
def test_kills_at_random_moments_lose_nothing() -> None:
    done = subprocess.run(
        [sys.executable, HARNESS, str(ROUNDS), "--seed", "7"], capture_output=True, text=True, timeout=580, check=False
    )
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    figures = json.loads(done.stdout.splitlines()[-1])
    assert sum(figures["kills"].values()) == ROUNDS
    assert figures["checks"]["restores compared"] == ROUNDS + 1
    assert figures["losses"] == 0
