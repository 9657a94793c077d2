"""node/spec/catalogue.md names every table and column that the catalogue has, and no other."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from peerage.store.catalogue import Catalogue

PAGE = Path(__file__).parents[2] / "node" / "spec" / "catalogue.md"


def test_the_page_has_the_columns(tmp_path: Path) -> None:
    Catalogue(tmp_path / "catalogue.sqlite").close()
    db = sqlite3.connect(tmp_path / "catalogue.sqlite")
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
    found = {table: {row[1]: bool(row[5]) for row in db.execute(f"PRAGMA table_info({table})")} for table in tables}
    db.close()
    assert found == columns(PAGE.read_text().partition("## Columns")[2].partition("\n## ")[0])


def columns(section: str) -> dict[str, dict[str, bool]]:
    """Table -> column -> whether it belongs to the primary key. What stands in brackets is about them."""
    told = {}
    for table, cells in re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE):
        plain = re.sub(r"\([^()]*(\([^()]*\)[^()]*)*\)", "", cells)
        told[table] = {name: bool(bold) for bold, name in re.findall(r"(\*\*)?`(\w+)`", plain)}
    return told
