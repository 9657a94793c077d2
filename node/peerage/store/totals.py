"""Sums over the catalogue, on a connection of their own: they read every row, and nothing else waits for them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from peerage.errors import LocalFault
from peerage.model import PackKind

__all__ = ["Total", "totals"]


class Total(NamedTuple):
    """All packs of one kind. raw, sealed: bytes of their blobs, plain and as stored; stored: of the shards placed."""

    packs: int = 0
    blobs: int = 0
    raw: int = 0
    sealed: int = 0
    stored: int = 0


def totals(catalogue: Path) -> dict[PackKind, Total]:
    """What the packs of each kind add up to; reads all of the catalogue's file. Raises LocalFault."""
    try:
        with closing(sqlite3.connect(f"{catalogue.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as db:
            packs = db.execute(
                "SELECT kind, COUNT(*), SUM(shard_length * (SELECT COUNT(*) FROM shards WHERE pack=no AND provider<>0))"
                " FROM packs WHERE dropped=0 GROUP BY kind"
            ).fetchall()
            blobs = db.execute(
                "SELECT p.kind, COUNT(*), SUM(c.raw_length), SUM(c.length) FROM chunks c JOIN packs p ON p.no=c.pack"
                " WHERE p.dropped=0 GROUP BY p.kind"
            ).fetchall()
    except sqlite3.Error as error:
        raise LocalFault(f"the catalogue {catalogue} cannot be read ({error})") from error
    found = {PackKind(kind): Total(packs=count, stored=stored) for kind, count, stored in packs}
    for kind, count, raw, sealed in blobs:
        found[PackKind(kind)] = found.get(PackKind(kind), Total())._replace(blobs=count, raw=raw, sealed=sealed)
    return {kind: found.get(kind, Total()) for kind in PackKind}
