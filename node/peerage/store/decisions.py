"""The newest decisions about agreements, kept over restarts: node/spec/home.md."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

from peerage.deal.decision import Decision
from peerage.errors import LocalFault
from peerage.store.database import remove_database

KEPT = 1_000
"""Decisions, the newest ones; one that repeats the last about its member is counted, not kept again."""
KEPT_OF_MEMBER = 50
"""Of one side and member: whoever asks a thousand times pushes out what it was told, not what others were."""
_REASON_MAX = 400
_VERSION = 1
_SCHEMA = """
CREATE TABLE decisions (
  no INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, times INTEGER NOT NULL, side TEXT NOT NULL, member INTEGER NOT NULL,
  action TEXT NOT NULL, ok INTEGER NOT NULL, rule TEXT NOT NULL, reason TEXT NOT NULL, epoch INTEGER NOT NULL,
  capacity INTEGER NOT NULL, price INTEGER NOT NULL);
CREATE INDEX by_member ON decisions(side, member, no);
"""
_COLUMNS = "time_ns, times, side, member, action, ok, rule, reason, epoch, capacity, price"


class Decisions:
    """Open or create the file at `path`; one that cannot be read begins anew. Thread-safe. Raises LocalFault."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            try:
                self._db = _open(path)
            except sqlite3.DatabaseError:
                remove_database(path)
                self._db = _open(path)
        except (sqlite3.Error, OSError) as error:
            raise LocalFault(f"{path} cannot be used ({error}): make room, or give it back to the node") from error

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def add(self, d: Decision, time_ns: int) -> bool:
        """Keep it; whether it is news, that is not what was decided about this member the last time."""
        reason = d.reason[:_REASON_MAX]
        same = (d.action, int(d.ok), d.rule, reason, d.capacity, d.price)
        with self._lock, self._db as db:
            last = db.execute(
                "SELECT no, action, ok, rule, reason, capacity, price FROM decisions WHERE side=? AND member=?"
                " ORDER BY no DESC LIMIT 1",
                (d.side, d.member),
            ).fetchone()
            if last is not None and tuple(last[1:]) == same:
                db.execute(
                    "UPDATE decisions SET times=times+1, time_ns=?, epoch=? WHERE no=?", (time_ns, d.epoch, last[0])
                )
                return False
            db.execute(
                f"INSERT INTO decisions({_COLUMNS}) VALUES (?,1,?,?,?,?,?,?,?,?,?)",  # noqa: S608 - constants
                (time_ns, d.side, d.member, *same[:4], d.epoch, *same[4:]),
            )
            db.execute(
                "DELETE FROM decisions WHERE no IN (SELECT no FROM decisions WHERE side=? AND member=?"
                " ORDER BY no DESC LIMIT -1 OFFSET ?)",
                (d.side, d.member, KEPT_OF_MEMBER),
            )
            db.execute(
                "DELETE FROM decisions WHERE no IN (SELECT no FROM decisions ORDER BY no DESC LIMIT -1 OFFSET ?)",
                (KEPT,),
            )
            return True

    def newest(self, count: int = KEPT) -> list[dict[str, Any]]:
        """Newest first, as --json shows them."""
        names = _COLUMNS.split(", ")
        with self._lock:
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM decisions ORDER BY no DESC LIMIT ?",  # noqa: S608 - constants
                (count,),
            ).fetchall()
        return [{**dict(zip(names, row, strict=True)), "time_ns": str(row[0]), "ok": bool(row[5])} for row in rows]


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False)
    path.chmod(0o600)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != _VERSION:
        if version:
            raise sqlite3.DatabaseError(f"version {version} is not known here")
        db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={_VERSION};COMMIT;")
    return db
