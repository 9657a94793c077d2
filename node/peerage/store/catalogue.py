"""The catalogue: what this member has stored, and where. A cache in SQLite; all of it can be rebuilt from the peers.

One connection, one lock: callers are the backup's threads and the daemon's loop, and every statement is short.
Tables are described in node/spec/catalogue.md.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peerage.errors import LocalFault, UnknownVersion
from peerage.model import (
    AgreementId,
    BlobEntry,
    BlobKind,
    ChunkId,
    Code,
    MemberId,
    ObjectKind,
    PackId,
    PackKind,
    PackRecord,
    ShardLocation,
    ShardRoot,
)
from peerage.store.catalogue_schema import SCHEMA, SCHEMA_VERSION
from peerage.store.rows import Check, FileState, LocalAgreement, QueuedRevision, StoredObject

__all__ = ["Catalogue", "Check", "FileState", "LocalAgreement", "QueuedRevision", "StoredObject"]


class Catalogue:
    """Open or create the catalogue at `path`. Thread-safe. Raises UnknownVersion for a newer schema."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        new = not path.exists()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA cache_size=-32768")  # KiB
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if new or version == 0:
                self._db.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
            elif version != SCHEMA_VERSION:
                self._db.close()
                raise UnknownVersion(f"catalogue schema {version} is not known to this release: upgrade peerage")
        except sqlite3.DatabaseError as error:
            raise LocalFault(f"the catalogue {path} cannot be used ({error}): rebuild it with recover") from error

    def close(self) -> None:
        with self._lock:
            self._db.close()

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

    # -- packs, shards, chunks ---------------------------------------------------------------------------------------

    def add_pack(self, pack: PackRecord, indexed: bool = False) -> None:
        """Record a pack whose stripe is committed, with its blobs. A record of a known pack replaces its shards; empty
        blobs then keep the known ones (that is how repair's moves are read back)."""
        self.add_packs([pack], indexed)

    def add_packs(self, packs: Iterable[PackRecord], indexed: bool = False) -> None:
        with self._write() as db:
            for pack in packs:
                db.execute(
                    "INSERT INTO packs(id, kind, generation, length, k, m, shard_length, indexed)"
                    " VALUES (?,?,?,?,?,?,?,?) ON CONFLICT(id) DO NOTHING",
                    (pack.id, pack.kind, pack.generation, pack.length, pack.code.k, pack.code.m, pack.shard_length,
                     indexed),
                )  # fmt: skip
                no = db.execute("SELECT no FROM packs WHERE id=?", (pack.id,)).fetchone()[0]
                db.execute("DELETE FROM shards WHERE pack=?", (no,))
                db.executemany(
                    "INSERT INTO shards VALUES (?,?,?,?,?)",
                    [(no, s.index, s.root, s.provider, s.agreement) for s in pack.shards],
                )
                db.executemany(
                    "INSERT OR REPLACE INTO chunks VALUES (?,?,?,?,?,?,?)",
                    [(b.id, no, b.kind, b.ordinal, b.offset, b.length, b.raw_length) for b in pack.blobs],
                )

    def has_chunk(self, id: ChunkId) -> bool:
        with self._lock:
            return self._db.execute("SELECT 1 FROM chunks WHERE id=?", (id,)).fetchone() is not None

    def locate(self, id: ChunkId) -> tuple[int, BlobEntry] | None:
        """The pack number and place of a chunk's blob, or None."""
        with self._lock:
            row = self._db.execute(
                "SELECT pack, kind, ordinal, offset, length, raw_length FROM chunks WHERE id=?", (id,)
            ).fetchone()
        if row is None:
            return None
        return row[0], BlobEntry(id, BlobKind(row[1]), row[2], row[3], row[4], row[5])

    def pack(self, no: int, blobs: bool = False) -> PackRecord:
        """The record of pack number `no`; its blobs only when asked for."""
        with self._lock:
            row = self._db.execute(
                "SELECT id, kind, generation, length, k, m, shard_length FROM packs WHERE no=?", (no,)
            ).fetchone()
            shards = self._db.execute(
                "SELECT position, root, provider, agreement FROM shards WHERE pack=? ORDER BY position", (no,)
            ).fetchall()
            entries = (
                self._db.execute(
                    "SELECT id, kind, ordinal, offset, length, raw_length FROM chunks WHERE pack=? ORDER BY ordinal",
                    (no,),
                ).fetchall()
                if blobs
                else []
            )
        return PackRecord(
            PackId(row[0]),
            PackKind(row[1]),
            row[2],
            row[3],
            Code(row[4], row[5]),
            row[6],
            tuple(ShardLocation(p, ShardRoot(r), MemberId(m), AgreementId(a)) for p, r, m, a in shards),
            tuple(BlobEntry(ChunkId(i), BlobKind(k), o, off, ln, raw) for i, k, o, off, ln, raw in entries),
        )

    def pack_numbers(self, kind: PackKind | None = None) -> list[int]:
        if kind is None:
            return [r[0] for r in self._rows("SELECT no FROM packs ORDER BY no")]
        return [r[0] for r in self._rows("SELECT no FROM packs WHERE kind=? ORDER BY no", (kind,))]

    def unindexed(self) -> list[int]:
        """Numbers of data and meta packs that no index pack describes yet."""
        sql = "SELECT no FROM packs WHERE indexed=0 AND kind<>? ORDER BY no"
        return [r[0] for r in self._rows(sql, (PackKind.INDEX,))]

    def moved(self) -> list[int]:
        """Numbers of indexed data and meta packs whose shards moved since."""
        sql = "SELECT no FROM packs WHERE moved=1 AND indexed=1 AND kind<>? ORDER BY no"
        return [r[0] for r in self._rows(sql, (PackKind.INDEX,))]

    def mark_indexed(self, numbers: Iterable[int]) -> None:
        with self._write() as db:
            db.executemany("UPDATE packs SET indexed=1, moved=0 WHERE no=?", [(n,) for n in numbers])

    def move_shard(self, no: int, location: ShardLocation) -> None:
        """A repair put this shard elsewhere."""
        with self._write() as db:
            db.execute(
                "UPDATE shards SET provider=?, agreement=? WHERE pack=? AND position=?",
                (location.provider, location.agreement, no, location.index),
            )
            db.execute("UPDATE packs SET moved=1 WHERE no=?", (no,))

    def stripes(self) -> Iterator[tuple[int, Code, list[tuple[int, bytes, int, bytes]]]]:
        """Every stripe: (pack number, code, [(index, root, provider, agreement)]); read in pages, so memory is flat."""
        last = -1
        while True:
            rows = self._rows("SELECT no, k, m FROM packs WHERE no>? ORDER BY no LIMIT 500", (last,))
            if not rows:
                return
            first, last = rows[0][0], rows[-1][0]
            shards: dict[int, list[tuple[int, bytes, int, bytes]]] = {}
            for no, position, root, provider, agreement in self._rows(
                "SELECT pack, position, root, provider, agreement FROM shards WHERE pack BETWEEN ? AND ?"
                " ORDER BY pack, position",
                (first, last),
            ):
                shards.setdefault(no, []).append((position, root, provider, agreement))
            for no, k, m in rows:
                yield no, Code(k, m), shards.get(no, [])

    def agreements_of_stripes(self) -> set[AgreementId]:
        """The agreements that hold a shard of some stripe."""
        return {AgreementId(r[0]) for r in self._rows("SELECT DISTINCT agreement FROM shards WHERE provider<>0")}

    # -- files -------------------------------------------------------------------------------------------------------

    def file_state(self, path: bytes) -> FileState | None:
        with self._lock:
            row = self._db.execute(
                "SELECT size, mtime_ns, ctime_ns, inode, device, depth, content, run FROM files WHERE path=?", (path,)
            ).fetchone()
        return None if row is None else FileState(*row)

    def set_file_states(self, states: Iterable[tuple[bytes, FileState]]) -> None:
        with self._write() as db:
            db.executemany("INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?,?,?,?)", [(p, *s) for p, s in states])

    def begin_run(self) -> tuple[int, set[int]]:
        """Number a backup run: (its number, the runs that never ended, whose file states are not to be trusted)."""
        with self._write() as db:
            open_runs = {row[0] for row in db.execute("SELECT run FROM open_runs")}
            db.execute(
                "INSERT INTO counters VALUES ('runs',1) ON CONFLICT(name) DO UPDATE SET value=value+1",
            )
            run = int(db.execute("SELECT value FROM counters WHERE name='runs'").fetchone()[0])
            db.execute("INSERT INTO open_runs VALUES (?)", (run,))
        return run, open_runs

    def open_runs(self) -> set[int]:
        """The runs that never ended, and one that is under way."""
        return {row[0] for row in self._rows("SELECT run FROM open_runs")}

    def end_run(self, run: int) -> None:
        """All that this run read is stored."""
        with self._write() as db:
            db.execute("DELETE FROM open_runs WHERE run=?", (run,))

    # -- snapshots and heads -----------------------------------------------------------------------------------------

    def add_snapshot(self, id: bytes, summary: bytes) -> None:
        with self._write() as db:
            db.execute(
                "INSERT OR REPLACE INTO snapshots VALUES (?, (SELECT COALESCE(MAX(no),0)+1 FROM snapshots), ?)",
                (id, summary),
            )

    def snapshots(self) -> list[bytes]:
        """The summaries, oldest first."""
        return [r[0] for r in self._rows("SELECT summary FROM snapshots ORDER BY no")]

    def snapshot_count(self) -> int:
        return int(self._rows("SELECT COUNT(*) FROM snapshots")[0][0])

    def add_head(
        self,
        number: int,
        hash: bytes,
        body: bytes,
        forgotten: Iterable[bytes] = (),
        changed: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Keep a head until it is anchored; older ones are known to the providers, so only the newest four stay.

        In the same step the snapshots that it does not list any more are dropped (forgotten: ids), and new summaries
        take the place of old ones (changed: id, summary).
        """
        with self._write() as db:
            db.execute("INSERT OR REPLACE INTO heads VALUES (?,?,?,0)", (number, hash, body))
            db.execute("DELETE FROM heads WHERE number<=? AND anchored=1", (number - 4,))
            db.executemany("DELETE FROM snapshots WHERE id=?", [(id,) for id in forgotten])
            db.executemany("UPDATE snapshots SET summary=? WHERE id=?", [(summary, id) for id, summary in changed])

    def newest_head(self) -> tuple[int, bytes, bytes, bool] | None:
        """(number, hash, body, anchored) of the newest head, or None."""
        rows = self._rows("SELECT number, hash, body, anchored FROM heads ORDER BY number DESC LIMIT 1")
        return None if not rows else (rows[0][0], rows[0][1], rows[0][2], bool(rows[0][3]))

    def mark_anchored(self, number: int) -> None:
        with self._write() as db:
            db.execute("UPDATE heads SET anchored=1 WHERE number<=?", (number,))

    # -- agreements, their objects and revisions -----------------------------------------------------------------------

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

    def agreements(self) -> list[LocalAgreement]:
        return [
            LocalAgreement(AgreementId(i), MemberId(p), c, e, bool(v), s, r, u)
            for i, p, c, e, v, s, r, u in self._rows(
                "SELECT a.id, a.provider, a.capacity, a.end_epoch, a.live, a.sequence, a.revision,"
                " COALESCE((SELECT SUM(leaves)*1024 FROM objects o WHERE o.agreement=a.id), 0) FROM agreements a"
            )
        ]

    def add_objects(self, rows: Iterable[tuple[AgreementId, ShardRoot, int, ObjectKind]]) -> None:
        """Objects that a provider gave a receipt for: (agreement, root, leaves, kind)."""
        with self._write() as db:
            db.executemany("INSERT OR IGNORE INTO objects VALUES (?,?,?,?,NULL,NULL)", list(rows))

    def objects(self, agreement: AgreementId) -> list[StoredObject]:
        """In the order of the agreement's tree: co-signed ones first, then those not yet co-signed."""
        return [
            StoredObject(ShardRoot(r), n, ObjectKind(k), s)
            for r, n, k, s in self._rows(
                "SELECT root, leaves, kind, sequence FROM objects WHERE agreement=?"
                " ORDER BY position IS NULL, position, root",
                (agreement,),
            )
        ]

    def agreements_to_revise(self) -> list[AgreementId]:
        """Agreements with objects that no co-signed revision holds yet."""
        rows = self._rows("SELECT DISTINCT agreement FROM objects WHERE sequence IS NULL")
        return [AgreementId(r[0]) for r in rows]

    def object_sequences(self) -> dict[tuple[bytes, bytes], int]:
        """(agreement, root) -> the revision that first holds the object, for all co-signed ones."""
        rows = self._rows("SELECT agreement, root, sequence FROM objects WHERE sequence IS NOT NULL")
        return {(a, r): s for a, r, s in rows}

    def queue_revision(self, revision: QueuedRevision, roots: Sequence[ShardRoot]) -> None:
        """A co-signed revision: its objects get their positions, and it waits to be recorded."""
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

    def replace_objects(self, agreement: AgreementId, rows: Sequence[tuple[ShardRoot, int, int | None]]) -> None:
        """What a provider says it keeps, in tree order: (root, leaves, sequence). Used when rebuilding."""
        with self._write() as db:
            db.execute("DELETE FROM objects WHERE agreement=?", (agreement,))
            db.executemany(
                "INSERT INTO objects VALUES (?,?,?,?,?,?)",
                [
                    (agreement, root, leaves, ObjectKind.SHARD, None if seq is None else i, seq)
                    for i, (root, leaves, seq) in enumerate(rows)
                ],
            )

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
