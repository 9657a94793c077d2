"""The catalogue: what this member has stored, and where. A cache in SQLite; all of it can be rebuilt from the peers.

One connection, one lock: callers are the backup's threads and the daemon's loop, and every statement is short.
Tables are described in node/spec/catalogue.md.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter

from peerage.model import (
    LEAF_SIZE,
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
from peerage.store.deals import Deals
from peerage.store.rows import Check, FileState, LocalAgreement, LocalRemoval, QueuedRevision, StoredObject

__all__ = ["Catalogue", "Check", "FileState", "LocalAgreement", "LocalRemoval", "QueuedRevision", "StoredObject"]


class Catalogue(Deals):
    """Open or create the catalogue at `path`. Thread-safe. Raises UnknownVersion for a newer schema, LocalFault."""

    # -- packs, shards, chunks ---------------------------------------------------------------------------------------

    def add_pack(self, pack: PackRecord, indexed: bool = False) -> None:
        """Record a pack whose stripe is committed, with its blobs. A record of a known pack replaces its shards; empty
        blobs then keep the known ones (that is how repair's moves are read back)."""
        self.add_packs([pack], indexed)

    def add_stripe(self, pack: PackRecord, indexed: bool) -> None:
        """A pack and the objects that its providers gave receipts for, in one step: neither is ever there alone."""
        leaves = pack.shard_length // LEAF_SIZE
        with self._write() as db:
            self.insert_objects(
                db, [(s.agreement, s.root, leaves, ObjectKind.SHARD) for s in pack.shards if s.provider]
            )
            self._insert_packs(db, [pack], indexed)

    def add_packs(self, packs: Iterable[PackRecord], indexed: bool = False) -> None:
        with self._write() as db:
            self._insert_packs(db, packs, indexed)

    @staticmethod
    def _insert_packs(db: sqlite3.Connection, packs: Iterable[PackRecord], indexed: bool) -> None:
        chunks: list[tuple[ChunkId, int, int, int, int, int, int]] = []
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
            chunks += [(b.id, no, b.kind, b.ordinal, b.offset, b.length, b.raw_length) for b in pack.blobs]
        # In the order of the table, which costs half of a random one. Of two blobs, the later pack's stays last.
        chunks.sort(key=itemgetter(0))
        db.executemany("INSERT OR REPLACE INTO chunks VALUES (?,?,?,?,?,?,?)", chunks)

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

    def blobs_between(self, no: int, start: int, stop: int) -> list[BlobEntry]:
        """The blobs that lie whole in bytes [start, stop) of a pack, in order. Looks at all blobs of the pack."""
        rows = self._rows(
            "SELECT id, kind, ordinal, offset, length, raw_length FROM chunks"
            " WHERE pack=? AND offset>=? AND offset+length<=? ORDER BY offset",
            (no, start, stop),
        )
        return [BlobEntry(ChunkId(i), BlobKind(k), o, off, ln, raw) for i, k, o, off, ln, raw in rows]

    def pack_numbers(self, kind: PackKind | None = None) -> list[int]:
        if kind is None:
            return [r[0] for r in self._rows("SELECT no FROM packs WHERE dropped=0 ORDER BY no")]
        return [r[0] for r in self._rows("SELECT no FROM packs WHERE kind=? AND dropped=0 ORDER BY no", (kind,))]

    def unindexed(self) -> list[int]:
        """Numbers of data and meta packs that no index pack describes yet."""
        sql = "SELECT no FROM packs WHERE indexed=0 AND dropped=0 AND kind<>? ORDER BY no"
        return [r[0] for r in self._rows(sql, (PackKind.INDEX,))]

    def moved(self) -> list[int]:
        """Numbers of indexed data and meta packs whose shards moved since."""
        sql = "SELECT no FROM packs WHERE moved=1 AND indexed=1 AND dropped=0 AND kind<>? ORDER BY no"
        return [r[0] for r in self._rows(sql, (PackKind.INDEX,))]

    def mark_indexed(self, numbers: Iterable[int]) -> None:
        with self._write() as db:
            db.executemany("UPDATE packs SET indexed=1, moved=0 WHERE no=?", [(n,) for n in numbers])

    def move_shard(self, no: int, location: ShardLocation, leaves: int) -> None:
        """A repair put this shard elsewhere; that provider gave a receipt for it."""
        with self._write() as db:
            self.insert_objects(db, [(location.agreement, location.root, leaves, ObjectKind.SHARD)])
            db.execute(
                "UPDATE shards SET provider=?, agreement=? WHERE pack=? AND position=?",
                (location.provider, location.agreement, no, location.index),
            )
            db.execute("UPDATE packs SET moved=1 WHERE no=?", (no,))

    def mark_lost(self, agreement: AgreementId, root: ShardRoot) -> int:
        """This copy of a shard is no good: a debt from now on, until a repair puts it elsewhere. Returns how many."""
        with self._write() as db:
            return db.execute(
                "UPDATE shards SET provider=0, agreement=? WHERE agreement=? AND root=?", (bytes(32), agreement, root)
            ).rowcount

    def stripes(self) -> Iterator[tuple[int, Code, list[tuple[int, bytes, int, bytes]]]]:
        """Every stripe: (pack number, code, [(index, root, provider, agreement)]); read in pages, so memory is flat."""
        last = -1
        while True:
            rows = self._rows("SELECT no, k, m FROM packs WHERE no>? AND dropped=0 ORDER BY no LIMIT 500", (last,))
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
        return {
            AgreementId(r[0])
            for r in self._rows(
                "SELECT DISTINCT s.agreement FROM shards s JOIN packs p ON p.no=s.pack"
                " WHERE s.provider<>0 AND p.dropped=0"
            )
        }

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
        superseded: Iterable[int] = (),
    ) -> None:
        """Keep a head until it is anchored; older ones are known to the providers, so only the newest four stay.

        In the same step the snapshots that it does not list any more are dropped (forgotten: ids), and new summaries
        take the place of old ones (changed: id, summary); index packs that it does not list either are dropped
        (superseded: numbers), and the index is whole again.
        """
        with self._write() as db:
            db.execute("INSERT OR REPLACE INTO heads VALUES (?,?,?,0)", (number, hash, body))
            db.execute("DELETE FROM heads WHERE number<=? AND anchored=1", (number - 4,))
            db.executemany("DELETE FROM snapshots WHERE id=?", [(id,) for id in forgotten])
            db.executemany("UPDATE snapshots SET summary=? WHERE id=?", [(summary, id) for id, summary in changed])
            old = [(no,) for no in superseded]
            if old:
                db.executemany("UPDATE packs SET dropped=1 WHERE no=?", old)
                db.executemany("DELETE FROM chunks WHERE pack=?", old)
                db.execute("DELETE FROM counters WHERE name='reindex'")

    def newest_head(self) -> tuple[int, bytes, bytes, bool] | None:
        """(number, hash, body, anchored) of the newest head, or None."""
        rows = self._rows("SELECT number, hash, body, anchored FROM heads ORDER BY number DESC LIMIT 1")
        return None if not rows else (rows[0][0], rows[0][1], rows[0][2], bool(rows[0][3]))

    def unmark_anchored(self, number: int) -> None:
        """The chain shows this head's anchor no more."""
        with self._write() as db:
            db.execute("UPDATE heads SET anchored=0 WHERE number=?", (number,))

    def mark_anchored(self, number: int) -> None:
        with self._write() as db:
            db.execute("UPDATE heads SET anchored=1 WHERE number<=?", (number,))

    def heads(self) -> list[tuple[int, bytes]]:
        """(number, body) of the newest heads."""
        return self._rows("SELECT number, body FROM heads ORDER BY number DESC LIMIT 4")

    # -- pruning -----------------------------------------------------------------------------------------------------

    def ordinals(self, no: int) -> list[tuple[int, int]]:
        """(ordinal, sealed length) of the blobs that are found in pack `no`, in order."""
        return self._rows("SELECT ordinal, length FROM chunks WHERE pack=? ORDER BY ordinal", (no,))

    def entries(self, no: int, wanted: Callable[[int], bool]) -> list[BlobEntry]:
        """The blobs found in a pack whose ordinals are wanted, in order."""
        return [b for b in self.pack(no, blobs=True).blobs if wanted(b.ordinal)]

    def drop_packs(self, numbers: Iterable[int]) -> None:
        """These packs hold nothing that is needed: their chunks are not known any more, and the next head's index is
        written anew, without them. Their rows stay until forget_dropped, for whoever is reading them."""
        rows = [(no,) for no in numbers]
        with self._write() as db:
            db.executemany("DELETE FROM chunks WHERE pack=?", rows)
            db.executemany("UPDATE packs SET dropped=1 WHERE no=?", rows)
            db.execute("INSERT OR REPLACE INTO counters VALUES ('reindex',1)")

    def forget_dropped(self) -> None:
        """Delete the rows of packs that were dropped; the last stays, so that no number is given twice."""
        with self._write() as db:
            old = "SELECT no FROM packs WHERE dropped=1 AND no<(SELECT MAX(no) FROM packs)"
            db.execute(f"DELETE FROM shards WHERE pack IN ({old})")  # noqa: S608 - no value in it
            db.execute(f"DELETE FROM packs WHERE no IN ({old})")  # noqa: S608

    def file_contents(self, after: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """(path, content) of the next file states in the order of paths."""
        return self._rows("SELECT path, content FROM files WHERE path>? ORDER BY path LIMIT ?", (after, count))

    def drop_file_states(self, paths: Iterable[bytes]) -> None:
        """These files are read again by the next backup."""
        with self._write() as db:
            db.executemany("DELETE FROM files WHERE path=?", [(path,) for path in paths])
