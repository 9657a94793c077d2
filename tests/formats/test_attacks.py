"""Every test that the threat model names as carrying an attack out is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_threat_model_names_tests_that_there_are() -> None:
    page = (ROOT / "node" / "spec" / "threat-model.md").read_text(encoding="utf-8")
    table = page.split("## Attacks on a node's interfaces", 1)[1]
    named = set(re.findall(r"`(test_\w+)`", table))
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.endswith("| tests |")]
    assert [row for row in rows if "`test_" not in row] == []
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    written = {name for source in sources for name in re.findall(r"\bdef (test_\w+)", source)}
    assert len(named) > 20
    assert named - written == set()
