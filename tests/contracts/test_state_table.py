"""The tables of states in the documents are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATES = ("NONE", "ACTIVE", "GRACE", "LAPSED", "FAILED", "ENDED")


def in_code() -> set[tuple[str, str]]:
    """The transitions that StateTable.allows lets pass: one byte a row, bit n for the transition to state n."""
    source = (ROOT / "contracts" / "src" / "libraries" / "StateTable.sol").read_text(encoding="utf-8")
    found = re.search(r"ROWS = (0x[0-9a-f]+);", source)
    assert found
    rows = int(found[1], 16)
    return {(a, b) for i, a in enumerate(STATES) for n, b in enumerate(STATES) if rows >> (8 * i + n) & 1}


def in_table(page: Path) -> set[tuple[str, str]]:
    """The transitions that a page's table shows: rows from, columns to, a cell that is not empty."""
    lines = page.read_text(encoding="utf-8").splitlines()
    (start,) = [n for n, line in enumerate(lines) if line.startswith("| from")]
    columns = [cell.strip() for cell in lines[start].strip("|").split("|")][1:]
    found = set()
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        origin, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        found |= {(origin, to) for to, cell in zip(columns, cells, strict=True) if cell}
    return found


@pytest.mark.parametrize("page", ["contracts/README.md", "node/spec/agreements.md"])
def test_the_pages_show_the_state_table_of_the_code(page: str) -> None:
    assert in_table(ROOT / page) == in_code()


def test_the_states_are_numbered_as_in_the_code() -> None:
    source = (ROOT / "contracts" / "src" / "types" / "Types.sol").read_text(encoding="utf-8")
    found = re.search(r"enum AgreementState \{([^}]*)\}", source)
    assert found
    assert tuple(name.strip() for name in found[1].split(",")) == STATES
