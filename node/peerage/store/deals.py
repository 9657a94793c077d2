"""The catalogue's rows about agreements: what is kept under each, what was co-signed, announced and checked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from peerage.model import AgreementId, MemberId, ObjectKind, ShardRoot
from peerage.store.database import Database
from peerage.store.rows import Check, LocalAgreement, LocalRemoval, Opening, QueuedRevision, StoredObject

__all__ = ["Deals"]

_ROOT = 32


class Deals(Database):
    def set_agreement(
        self, id: AgreementId, provider: int, capacity: int, end_epoch: int, live: bool, sequence: int, revision: bytes
    ) -> None:
        with self._write() as db:
            db.execute(
                "INSERT INTO agreements VALUES (?,?,?,?,?,?,?)"
                " ON CONFLICT(id) DO UPDATE SET capacity=excluded.capacity, end_epoch=excluded.end_epoch,"
                " live=excluded.live, sequence=excluded.sequence, revision=excluded.revision",
                (id, provider, capacity, end_epoch, live, sequence, revision),
            )

    def mark_over(self, id: AgreementId) -> None:
        """An agreement is no longer in force."""
        with self._write() as db:
            db.execute("UPDATE agreements SET live=0 WHERE id=?", (id,))

    def add_opening(self, opening: Opening, now: int) -> None:
        """Keep by what an agreement was opened; those whose time was over before epoch `now` are dropped."""
        with self._write() as db:
            db.execute("DELETE FROM openings WHERE open_by<?", (now,))
            db.execute("INSERT OR REPLACE INTO openings VALUES (?,?,?,?,?)", opening)

    def opening(self, id: AgreementId) -> Opening | None:
        rows = self._rows("SELECT * FROM openings WHERE agreement=?", (id,))
        return Opening(*rows[0]) if rows else None

    def agreements(self) -> list[LocalAgreement]:
        return [
            LocalAgreement(AgreementId(i), MemberId(p), c, e, bool(v), s, r, u)
            for i, p, c, e, v, s, r, u in self._rows(
                "SELECT a.id, a.provider, a.capacity, a.end_epoch, a.live, a.sequence, a.revision,"
                " COALESCE((SELECT SUM(leaves)*1024 FROM objects o WHERE o.agreement=a.id AND removed IS NULL), 0)"
                " FROM agreements a"
            )
        ]

    def add_objects(self, rows: Iterable[tuple[AgreementId, ShardRoot, int, ObjectKind]]) -> None:
        """Objects that a provider gave a receipt for: (agreement, root, leaves, kind)."""
        with self._write() as db:
            self.insert_objects(db, rows)

    @staticmethod
    def insert_objects(db: sqlite3.Connection, rows: Iterable[tuple[AgreementId, ShardRoot, int, ObjectKind]]) -> None:
        """Within a transaction."""
        db.executemany("INSERT OR IGNORE INTO objects VALUES (?,?,?,?,NULL,NULL,NULL)", rows)

    def objects(self, agreement: AgreementId) -> list[StoredObject]:
        """In the order of the agreement's tree: co-signed ones first, then those not yet co-signed."""
        return [
            StoredObject(ShardRoot(r), n, ObjectKind(k), s, gone)
            for r, n, k, s, gone in self._rows(
                "SELECT root, leaves, kind, sequence, removed FROM objects WHERE agreement=?"
                " ORDER BY position IS NULL, position, root",
                (agreement,),
            )
        ]

    def agreement_of(self, provider: MemberId, root: ShardRoot) -> AgreementId | None:
        """One with that provider under which an object of this root is stored."""
        rows = self._rows(
            "SELECT a.id FROM agreements a JOIN objects o ON o.agreement=a.id WHERE a.provider=? AND o.root=? LIMIT 1",
            (provider, root),
        )
        return AgreementId(rows[0][0]) if rows else None

    def recorded_object(self, agreement: AgreementId, least: int, near: bytes) -> tuple[ShardRoot, int] | None:
        """(root, leaves) of an object that a co-signed revision holds, of `least` leaves at least: the next one after
        `near` in the order of their roots, or the first of all. None if there is none."""
        for after in (near, b""):
            rows = self._rows(
                "SELECT root, leaves FROM objects WHERE agreement=? AND root>=? AND leaves>=?"
                " AND sequence IS NOT NULL AND removed IS NULL ORDER BY root LIMIT 1",
                (agreement, after, least),
            )
            if rows:
                return ShardRoot(rows[0][0]), rows[0][1]
        return None

    def agreements_to_revise(self) -> list[AgreementId]:
        """Agreements with objects that no co-signed revision holds yet."""
        rows = self._rows("SELECT DISTINCT agreement FROM objects WHERE sequence IS NULL")
        return [AgreementId(r[0]) for r in rows]

    def object_sequences(self) -> dict[tuple[bytes, bytes], int]:
        """(agreement, root) -> the revision that first holds the object, for all co-signed ones."""
        rows = self._rows(
            "SELECT agreement, root, sequence FROM objects WHERE sequence IS NOT NULL AND removed IS NULL"
        )
        return {(a, r): s for a, r, s in rows}

    def queue_revision(
        self, revision: QueuedRevision, roots: Sequence[ShardRoot], removed: Sequence[ShardRoot] = ()
    ) -> None:
        """A co-signed revision: its objects get their positions, and it waits to be recorded. removed: the objects that
        it removes, whose announcement is done with."""
        with self._write() as db:
            start = db.execute(
                "SELECT COALESCE(MAX(position)+1,0) FROM objects WHERE agreement=? AND sequence<?",
                (revision.agreement, revision.sequence),
            ).fetchone()[0]
            db.execute(
                "UPDATE objects SET position=NULL, sequence=NULL WHERE agreement=? AND sequence>=?",
                (revision.agreement, revision.sequence),
            )
            db.executemany(
                "UPDATE objects SET position=?, sequence=? WHERE agreement=? AND root=?",
                [(start + i, revision.sequence, revision.agreement, root) for i, root in enumerate(roots)],
            )
            if removed:
                db.executemany(
                    "UPDATE objects SET removed=? WHERE agreement=? AND root=?",
                    [(revision.sequence, revision.agreement, root) for root in removed],
                )
                db.execute("DELETE FROM removals WHERE agreement=?", (revision.agreement,))
            db.execute("INSERT OR REPLACE INTO revisions VALUES (?,?,?,?,?)", revision)

    def queued_revisions(self) -> list[QueuedRevision]:
        rows = self._rows("SELECT * FROM revisions ORDER BY agreement, sequence")
        return [QueuedRevision(*r) for r in rows]

    def drop_revision(self, agreement: AgreementId, sequence: int, recorded: bool) -> None:
        """A queued revision was recorded, or can no longer be: then its objects wait for the next one."""
        with self._write() as db:
            db.execute("DELETE FROM revisions WHERE agreement=? AND sequence=?", (agreement, sequence))
            if not recorded:
                db.execute(
                    "UPDATE objects SET position=NULL, sequence=NULL WHERE agreement=? AND sequence>=?",
                    (agreement, sequence),
                )
                db.execute("UPDATE objects SET removed=NULL WHERE agreement=? AND removed>=?", (agreement, sequence))

    def replace_objects(self, agreement: AgreementId, rows: Sequence[tuple[ShardRoot, int, int | None]]) -> None:
        """What a provider says it keeps, in tree order: (root, leaves, sequence); removed ones have no leaves. Used
        when rebuilding."""
        with self._write() as db:
            db.execute("DELETE FROM objects WHERE agreement=?", (agreement,))
            db.executemany(
                "INSERT INTO objects VALUES (?,?,?,?,?,?,?)",
                [
                    (agreement, root if leaves else i.to_bytes(_ROOT, "big"), leaves, ObjectKind.SHARD,
                     None if seq is None else i, seq, None if leaves else 0)
                    for i, (root, leaves, seq) in enumerate(rows)
                ],
            )  # fmt: skip

    # -- removals ----------------------------------------------------------------------------------------------------

    def unreferenced(self, agreement: AgreementId, heads: Iterable[ShardRoot]) -> list[StoredObject]:
        """Objects that no stripe in use and none of these heads is made of, removed ones left out."""
        kept = set(heads)
        return [
            StoredObject(ShardRoot(r), n, ObjectKind(k), s, None)
            for r, n, k, s in self._rows(
                "SELECT root, leaves, kind, sequence FROM objects o WHERE agreement=? AND removed IS NULL"
                " AND NOT EXISTS (SELECT 1 FROM shards s JOIN packs p ON p.no=s.pack"
                " WHERE s.agreement=o.agreement AND s.root=o.root AND p.dropped=0)",
                (agreement,),
            )
            if r not in kept
        ]

    def roots_of_stripes(self, agreement: AgreementId) -> set[ShardRoot]:
        """What the stripes in use have under an agreement."""
        sql = "SELECT s.root FROM shards s JOIN packs p ON p.no=s.pack WHERE s.agreement=? AND p.dropped=0"
        return {ShardRoot(r) for (r,) in self._rows(sql, (agreement,))}

    def is_removed(self, agreement: AgreementId, root: ShardRoot) -> bool:
        """Whether a co-signed revision removes it there."""
        return bool(
            self._rows("SELECT 1 FROM objects WHERE agreement=? AND root=? AND removed IS NOT NULL", (agreement, root))
        )

    def drop_unrecorded(self, agreement: AgreementId, roots: Iterable[ShardRoot]) -> None:
        """Objects that no revision holds are not to be co-signed: their provider drops them by itself."""
        with self._write() as db:
            db.executemany(
                "DELETE FROM objects WHERE agreement=? AND root=? AND sequence IS NULL",
                [(agreement, root) for root in roots],
            )

    def set_removal(self, removal: LocalRemoval) -> None:
        """Remember what was announced for an agreement."""
        with self._write() as db:
            db.execute(
                "INSERT OR REPLACE INTO removals VALUES (?,?,?)",
                (removal.agreement, removal.ready, b"".join(removal.roots)),
            )

    def removals(self) -> list[LocalRemoval]:
        return [
            LocalRemoval(AgreementId(a), e, tuple(ShardRoot(b[i : i + _ROOT]) for i in range(0, len(b), _ROOT)))
            for a, e, b in self._rows("SELECT agreement, ready, roots FROM removals")
        ]

    def drop_removal(self, agreement: AgreementId) -> None:
        with self._write() as db:
            db.execute("DELETE FROM removals WHERE agreement=?", (agreement,))

    # -- checks and counters -----------------------------------------------------------------------------------------

    def add_check(self, agreement: AgreementId, check: Check) -> None:
        with self._write() as db:
            db.execute("INSERT OR REPLACE INTO checks VALUES (?,?,?,?)", (agreement, *check))
            db.execute("DELETE FROM checks WHERE agreement=? AND epoch<?", (agreement, check.epoch - 64))

    def checks(self, agreement: AgreementId, last: int = 16) -> list[Check]:
        """The newest `last` checks, newest first."""
        rows = self._rows(
            "SELECT epoch, sequence, proven FROM checks WHERE agreement=? ORDER BY epoch DESC LIMIT ?",
            (agreement, last),
        )
        return [Check(e, s, bool(p)) for e, s, p in rows]

    def counter(self, name: str) -> int:
        rows = self._rows("SELECT value FROM counters WHERE name=?", (name,))
        return int(rows[0][0]) if rows else 0

    def set_counter(self, name: str, value: int) -> None:
        with self._write() as db:
            db.execute("INSERT OR REPLACE INTO counters VALUES (?,?)", (name, value))

    def add_to_counter(self, name: str, amount: int) -> None:
        with self._write() as db:
            db.execute(
                "INSERT INTO counters VALUES (?,?) ON CONFLICT(name) DO UPDATE SET value=value+excluded.value",
                (name, amount),
            )
