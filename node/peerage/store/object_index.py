"""The SQLite index of the object store: which objects, whose, in which order, and under which signed revisions.

Private to peerage.store.objects. Writing statements run on one connection inside `transaction()`; readers use a second
one, so a reader never waits for a writer's fsync (WAL).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from peerage.errors import IntegrityError, LocalFault, UnknownVersion
from peerage.model import AgreementId, Epoch, MemberId, ObjectKind, ShardRoot
from peerage.store.database import remove_database
from peerage.store.refusals import DiskFull

__all__ = ["Health", "NewObject", "ObjectIndex", "ObjectRow"]

_ROOT = 32
SCHEMA_VERSION = 5
_RESERVATIONS = """
CREATE TABLE reservations (
  agreement BLOB NOT NULL, number INTEGER NOT NULL, client INTEGER NOT NULL,
  capacity INTEGER NOT NULL, open_by INTEGER NOT NULL, PRIMARY KEY (agreement, number)
) WITHOUT ROWID
"""
_SERVED = """
CREATE TABLE served (
  agreement BLOB PRIMARY KEY REFERENCES agreements (id) ON DELETE CASCADE, bytes INTEGER NOT NULL
) WITHOUT ROWID
"""
SCHEMA = """
CREATE TABLE agreements (
  id BLOB PRIMARY KEY, owner INTEGER NOT NULL, capacity INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE objects (
  id INTEGER PRIMARY KEY,
  agreement BLOB NOT NULL REFERENCES agreements (id) ON DELETE CASCADE,
  root BLOB NOT NULL, owner INTEGER NOT NULL, kind INTEGER NOT NULL,
  repository INTEGER NOT NULL, number INTEGER NOT NULL,
  size INTEGER NOT NULL, leaves INTEGER NOT NULL, stored_ns INTEGER NOT NULL,
  health INTEGER NOT NULL DEFAULT 0,
  position INTEGER,
  removed INTEGER,
  removed_epoch INTEGER
);
CREATE UNIQUE INDEX objects_by_root ON objects (agreement, root);
CREATE UNIQUE INDEX objects_in_order ON objects (agreement, position) WHERE position IS NOT NULL;
CREATE INDEX objects_by_owner ON objects (owner, root);
CREATE INDEX heads ON objects (owner, repository, number) WHERE kind = 1;
CREATE TABLE subroots (
  object INTEGER PRIMARY KEY REFERENCES objects (id) ON DELETE CASCADE, hashes BLOB NOT NULL
);
CREATE TABLE revisions (
  id INTEGER PRIMARY KEY,
  agreement BLOB NOT NULL REFERENCES agreements (id) ON DELETE CASCADE,
  sequence INTEGER NOT NULL, digest BLOB NOT NULL, previous BLOB NOT NULL,
  root BLOB NOT NULL, leaves INTEGER NOT NULL, expires INTEGER NOT NULL, object_count INTEGER NOT NULL,
  revision BLOB NOT NULL, client_signature BLOB NOT NULL, provider_signature BLOB NOT NULL,
  recorded INTEGER NOT NULL DEFAULT 0,
  appended BLOB NOT NULL,
  removed BLOB NOT NULL DEFAULT x''
);
CREATE UNIQUE INDEX revisions_by_digest ON revisions (agreement, digest);
CREATE INDEX revisions_by_sequence ON revisions (agreement, sequence);
CREATE VIEW signed_revisions AS
  SELECT agreement, sequence, digest, previous, root, leaves, expires, revision, client_signature, provider_signature,
    object_count, recorded, id FROM revisions;
"""
SCHEMA += f"{_RESERVATIONS};{_SERVED}"
_UPGRADES = {
    1: """
ALTER TABLE objects ADD COLUMN removed INTEGER;
ALTER TABLE objects ADD COLUMN removed_epoch INTEGER;
ALTER TABLE revisions ADD COLUMN removed BLOB NOT NULL DEFAULT x''
""",
    # Version 2 wrote the roots of removed objects as text, which cannot be read back when it is no UTF-8.
    2: "UPDATE objects SET root = CAST(root AS BLOB) WHERE typeof(root) = 'text'",
    3: _RESERVATIONS,
    4: _SERVED,
}
"""What takes each version to the next."""


class Health(IntEnum):
    """What is known of an object's file."""

    GOOD = 0
    MISSING = 1
    """No file of the right size at the last start; cleared if it comes back (a disk that was not mounted)."""
    CORRUPT = 2
    """Its bytes did not match its root; only a new copy clears it."""


class NewObject(NamedTuple):
    agreement: AgreementId
    root: ShardRoot
    owner: MemberId
    kind: ObjectKind
    repository: int
    number: int
    size: int
    leaves: int
    subroots: bytes
    stored_ns: int


class ObjectRow(NamedTuple):
    agreement: AgreementId
    root: ShardRoot
    size: int
    health: Health


class ObjectIndex:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.created = not path.exists()
        self._write = self._connect(path)
        self._read = self._connect(path)
        self._write_lock = Lock()
        self._read_lock = Lock()
        self._migrate(path)

    @staticmethod
    def _connect(path: Path) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # a receipt must survive a power loss
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.DatabaseError as error:
            raise IntegrityError(f"the object index {path} cannot be used ({error}): restore it from a copy") from error
        return connection

    def _migrate(self, path: Path) -> None:
        (version,) = self.one("PRAGMA user_version") or (0,)
        if version > SCHEMA_VERSION:
            raise UnknownVersion(
                f"{path} has schema {version}, this release knows {SCHEMA_VERSION}: install a newer release"
            )
        if version < SCHEMA_VERSION:
            steps = [SCHEMA] if version == 0 else [_UPGRADES[v] for v in range(version, SCHEMA_VERSION)]
            with self.transaction() as db:
                for statement in ";".join(steps).split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One durable write: everything inside happens, or nothing."""
        with self._write_lock:
            try:
                self._write.execute("BEGIN IMMEDIATE")
                try:
                    yield self._write
                    self._write.execute("COMMIT")
                except BaseException:
                    if self._write.in_transaction:
                        self._write.execute("ROLLBACK")
                    raise
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                    raise DiskFull("the disk is full: its index has no room either, nothing was changed") from error
                raise LocalFault(f"the object index cannot be written ({error}): check the disk") from error

    @contextmanager
    def view(self) -> Iterator[sqlite3.Connection]:
        """Several reads of one state, whatever is written meanwhile; waits for no writer."""
        with self._read_lock:
            self._read.execute("BEGIN")
            try:
                yield self._read
            finally:
                self._read.execute("COMMIT")

    def one(self, sql: str, *arguments: Any) -> Any:
        with self._read_lock:
            return self._read.execute(sql, arguments).fetchone()

    def all(self, sql: str, *arguments: Any) -> list[Any]:
        with self._read_lock:
            return self._read.execute(sql, arguments).fetchall()

    def discard(self) -> None:
        """Remove an index that was created by mistake."""
        self.close()
        remove_database(self.path)

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            self._read.close()
            self._write.close()

    # Objects

    def insert_objects(self, objects: Sequence[NewObject]) -> list[bool]:
        """Rows for objects whose files are in place, in one transaction. For each, whether it is new here.

        An object that was here already counts as stored now, so that it is not dropped right after its receipt.
        """
        new: list[bool] = []
        with self.transaction() as db:
            for o in objects:
                here = db.execute("SELECT id FROM objects WHERE agreement = ? AND root = ?", (o.agreement, o.root))
                if row := here.fetchone():
                    db.execute("UPDATE objects SET stored_ns = ?, health = 0 WHERE id = ?", (o.stored_ns, row[0]))
                    new.append(False)
                    continue
                cursor = db.execute(
                    "INSERT INTO objects (agreement, root, owner, kind, repository, number, size, leaves, stored_ns)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*o[:8], o.stored_ns),
                )
                db.execute("INSERT INTO subroots VALUES (?, ?)", (cursor.lastrowid, o.subroots))
                new.append(True)
        return new

    def find(self, owner: MemberId, root: ShardRoot) -> ObjectRow | None:
        row = self.one(
            "SELECT agreement, root, size, health FROM objects WHERE owner = ? AND root = ? ORDER BY health",
            owner,
            root,
        )
        return ObjectRow(row[0], row[1], row[2], Health(row[3])) if row else None

    def find_in(self, agreement: AgreementId, root: ShardRoot) -> ObjectRow | None:
        row = self.one(
            "SELECT agreement, root, size, health FROM objects WHERE agreement = ? AND root = ?", agreement, root
        )
        return ObjectRow(row[0], row[1], row[2], Health(row[3])) if row else None

    def rows(self, damaged: bool = False) -> list[ObjectRow]:
        """All objects whose bytes are kept, or only the damaged ones."""
        rows = self.all(
            "SELECT agreement, root, size, health FROM objects WHERE leaves > 0 AND (health != 0 OR NOT ?)", damaged
        )
        return [ObjectRow(agreement, root, size, Health(health)) for agreement, root, size, health in rows]

    def is_removed(self, agreement: AgreementId, root: ShardRoot) -> bool:
        """Whether a recorded revision has removed it, and its bytes are about to go."""
        row = self.one("SELECT removed FROM objects WHERE agreement = ? AND root = ?", agreement, root)
        return row is not None and row[0] is not None

    def drop_removed(self, agreement: AgreementId, now: Epoch, keep_epochs: int) -> list[tuple[ShardRoot, int]]:
        """Note from when objects are removed; forget those that were noted keep_epochs ago: (root, size) of each.

        Their places in the order stay, as dead ones.
        """
        with self.transaction() as db:
            gone = db.execute(
                "SELECT root, size, id FROM objects WHERE agreement = ? AND leaves > 0 AND removed_epoch <= ?",
                (agreement, now - keep_epochs),
            ).fetchall()
            db.executemany(
                "UPDATE objects SET root = ?, size = 0, leaves = 0, kind = 0, health = 0 WHERE id = ?",
                [(id.to_bytes(_ROOT, "big"), id) for _, _, id in gone],
            )
            db.executemany("DELETE FROM subroots WHERE object = ?", [(id,) for _, _, id in gone])
            db.execute(
                "UPDATE objects SET removed_epoch = ? WHERE agreement = ? AND removed IS NOT NULL"
                " AND removed_epoch IS NULL",
                (now, agreement),
            )
        return [(root, size) for root, size, _ in gone]

    def set_health(self, marks: Sequence[tuple[AgreementId, ShardRoot, Health]]) -> None:
        with self.transaction() as db:
            db.executemany(
                "UPDATE objects SET health = ? WHERE agreement = ? AND root = ?",
                [(int(health), agreement, root) for agreement, root, health in marks],
            )
