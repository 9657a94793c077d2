"""The catalogue's file: one connection, one lock, short statements."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peerage.errors import LocalFault, UnknownVersion
from peerage.store.catalogue_schema import SCHEMA, SCHEMA_VERSION, UPGRADES

__all__ = ["Database", "remove_database", "remove_journals"]


def remove_journals(path: Path) -> None:
    """What SQLite keeps beside a closed database; one of another file must not be left beside a new one."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def remove_database(path: Path) -> None:
    """A closed database that may not be there at all, with its journals."""
    path.unlink(missing_ok=True)
    remove_journals(path)


class Database:
    """Open or create the catalogue at `path`. Thread-safe. Raises UnknownVersion for a newer schema, LocalFault."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._open()

    def _open(self) -> None:
        path = self.path
        new = not path.exists()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA cache_size=-32768")  # KiB
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if new or version < SCHEMA_VERSION:
                steps = [SCHEMA] if new or version == 0 else [UPGRADES[v] for v in range(version, SCHEMA_VERSION)]
                script = "".join(steps)
                self._db.executescript(f"BEGIN;{script}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
            elif version != SCHEMA_VERSION:
                self._db.close()
                raise UnknownVersion(f"catalogue schema {version} is not known to this release: upgrade peerage")
        except sqlite3.DatabaseError as error:
            raise LocalFault(f"the catalogue {path} cannot be used ({error}): `peerage up` makes a new one") from error

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def replace_by(self, path: Path) -> None:
        """Go on with the closed catalogue at `path`, which takes the place of this one. Raises LocalFault."""
        with self._lock:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # no journal of the old one beside the new one
            self._db.close()
            remove_journals(self.path)
            path.replace(self.path)
            self._open()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        with self._lock:
            return self._db.execute(sql, parameters).fetchall()
