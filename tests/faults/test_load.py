"""The short form of scripts/load."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.load import GROWTH_MAX_MIB, broken, siege


@pytest.mark.timeout(180)
async def test_attack_slow_and_many_requests_hold_no_restore_up(tmp_path: Path) -> None:
    outcome = await siege(tmp_path, requests=150, slow=150, objects=8)
    assert outcome.restored == 8
    assert broken(outcome) == []
    assert sum(outcome.ends["request"].values()) == 150
    assert outcome.ends["request"]["429"] > 0, "clear refusals, not only closed connections"
    assert outcome.rss_peak_mib - outcome.rss_before_mib < GROWTH_MAX_MIB
