"""Every test that contracts/README.md names as carrying an attack out is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEST = re.compile(r"\b(?:function|def) test_attack_(\w+)")


def test_the_table_of_attacks_names_the_tests() -> None:
    page = (ROOT / "contracts" / "README.md").read_text(encoding="utf-8")
    table = page.split("## Attacks considered", 1)[1].split("\n## ", 1)[0]
    named = {name for row in table.splitlines() if row.startswith("|") for name in re.findall(r"`(\w+)`", row)}
    folders = (ROOT / "tests" / "contracts", ROOT / "tests" / "chain")
    written = {
        name
        for folder in folders
        for path in (*folder.rglob("*.sol"), *folder.rglob("*.py"))
        for name in TEST.findall(path.read_text(encoding="utf-8"))
    }
    assert named - written == set()
