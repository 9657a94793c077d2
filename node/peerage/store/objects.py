"""What a provider stores for others: plain files in a directory, an SQLite index beside it. Spec: object-store.md.

Every method may be called from any thread and blocks on the disk: an asyncio caller uses `asyncio.to_thread`.

    store = ObjectStore.open(home.objects, home.object_index)
    store.set_agreement(agreement, owner=client, capacity_bytes=terms.capacity)
    with store.begin(client, agreement, root, size) as upload:   # refuses whole, before a byte is taken
        async for piece in body:
            await asyncio.to_thread(upload.write, piece)
        await asyncio.to_thread(upload.commit, root, leaves, subroots, ObjectKind.SHARD)   # durable when it returns
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from peerage.errors import IntegrityError, LocalFault
from peerage.model import LEAF_SIZE, MIB, AgreementId, Epoch, MemberId, ShardRoot
from peerage.ports import Buffer
from peerage.shard.tree import TreeHasher
from peerage.store.group_commit import GroupCommit
from peerage.store.object_files import ObjectFiles, ObjectReader
from peerage.store.object_index import Health, NewObject, ObjectIndex
from peerage.store.reconcile import Reconciliation, reconcile
from peerage.store.refusals import BadObject, DiskFull, OverCapacity, RevisionConflict, UnknownAgreement, UnknownObject
from peerage.store.reservations import Reservations
from peerage.store.revisions import RevisionBook, SignedRevision
from peerage.store.served import Served
from peerage.store.upload import Upload

__all__ = ["ObjectReader", "ObjectStore", "Reconciliation", "SignedRevision", "Upload", "Usage"]

RESERVE_BYTES = 256 * MIB
"""Kept free on the disk whatever was promised: the index, the logs and the system live there too."""
REMOVED_KEPT_EPOCHS = 3
"""Challenges are over a revision that is two epochs old, so what it holds may still be asked for."""


@dataclass(frozen=True, slots=True)
class Usage:
    """capacity_bytes: promised. used_bytes: stored, and being stored now. objects: stored."""

    capacity_bytes: int
    used_bytes: int
    objects: int


class ObjectStore:
    """See the module. One process at a time, which the home's lock ensures. See RevisionBook, Reservations, Served."""

    def __init__(
        self, directory: Path, index: Path, reserve_bytes: int, write: Callable[[int, Buffer], int] = os.write
    ) -> None:
        """write: for tests that play a failing disk."""
        self._files = ObjectFiles(directory)
        self._index = ObjectIndex(index)
        self._reserve_bytes = reserve_bytes
        self._write = write
        self._lock = Lock()
        self._moving = Lock()
        """Held from a file's or a row's change to the other's: an object that is stored again while it is dropped must
        not end as a row without its file."""
        self._uploads: set[Upload] = set()
        self._commits: GroupCommit[tuple[Upload, NewObject]] = GroupCommit(self._commit_batch)
        self.revisions = RevisionBook(self._index)
        self.reservations = Reservations(self._index)
        self.served = Served(self._index)
        self.reconciliation = reconcile(self._files, self._index)
        self._used: dict[AgreementId, int] = dict(
            self._index.all("SELECT agreement, sum(size) FROM objects WHERE removed IS NULL GROUP BY agreement")
        )

    @classmethod
    def open(cls, directory: Path, index: Path, reserve_bytes: int = RESERVE_BYTES) -> ObjectStore:
        """Open or create, and tidy up after a crash. Raises LocalFault, IntegrityError, UnknownVersion."""
        return cls(directory, index, reserve_bytes)

    def close(self) -> None:
        """Abort uploads and close the index. Readers stay usable."""
        for upload in list(self._uploads):
            upload.abort()
        self._index.close()

    # Agreements and room

    def set_agreement(self, agreement: AgreementId, owner: MemberId, capacity_bytes: int) -> None:
        """Keep room for an agreement; again with another capacity to change it. Drops nothing that is stored."""
        with self._index.transaction() as db:
            db.execute(
                "INSERT INTO agreements VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET capacity = excluded.capacity",
                (agreement, owner, capacity_bytes),
            )

    def drop_agreement(self, agreement: AgreementId) -> None:
        """Delete an agreement that is over, with its objects and revisions."""
        with self._index.transaction() as db:
            db.execute("DELETE FROM agreements WHERE id = ?", (agreement,))
        with self._lock:
            self._used.pop(agreement, None)
        self._files.remove_agreement(agreement)

    def agreements(self) -> dict[AgreementId, MemberId]:
        """Every agreement known here, and its client."""
        return dict(self._index.all("SELECT id, owner FROM agreements"))

    def usage(self, owner: MemberId | None = None, agreement: AgreementId | None = None) -> Usage:
        """Of one agreement, of one owner's, or of all."""
        rows = self._index.all(
            "SELECT id, capacity, (SELECT count(*) FROM objects WHERE agreement = agreements.id AND removed IS NULL)"
            " FROM agreements WHERE (?1 IS NULL OR owner = ?1) AND (?2 IS NULL OR id = ?2)",
            owner,
            agreement,
        )
        ids = {row[0] for row in rows}
        with self._lock:
            used = sum(self._used.get(id, 0) + self._coming(id) for id in ids)
        return Usage(sum(row[1] for row in rows), used, sum(row[2] for row in rows))

    def room_bytes(self) -> int:
        """What may still be promised: free disk, less the reserve, less what is promised and not yet stored."""
        total = self.usage()
        return max(0, self._free_bytes() - max(0, total.capacity_bytes - total.used_bytes))

    def _free_bytes(self) -> int:
        with self._lock:
            coming = sum(upload.size - upload.written for upload in self._uploads)
        return shutil.disk_usage(self._files.directory).free - self._reserve_bytes - coming

    # Writing

    def begin(self, owner: MemberId, agreement: AgreementId, root: ShardRoot, size: int) -> Upload:
        """Reserve room for an object of `size` bytes; refuses whole, before any byte is taken.

        Raises UnknownAgreement (not known, or not this owner's), BadObject for an impossible size, OverCapacity,
        DiskFull, RevisionConflict for an object whose removal is recorded.
        """
        row = self._index.one("SELECT capacity FROM agreements WHERE id = ? AND owner = ?", agreement, owner)
        if row is None:
            raise UnknownAgreement("no such agreement of yours here")
        if size <= 0 or size % LEAF_SIZE:
            raise BadObject(f"an object has a positive multiple of {LEAF_SIZE} bytes, not {size}")
        if len(root) != 32:
            raise BadObject("a root has 32 bytes")
        if self._free_bytes() < size:
            raise DiskFull(f"the disk has no room for {size} bytes: free some, or lower the capacity on offer")
        if self._index.is_removed(agreement, root):
            raise RevisionConflict(f"object {root.hex()[:16]} is being removed here: store it elsewhere")
        with self._lock:
            stored = self._index.find_in(agreement, root) is not None
            before = self._coming(agreement)
            upload = Upload(self, owner, agreement, root, size, extra=0 if stored else size)
            self._uploads.add(upload)
            left = row[0] - self._used.get(agreement, 0) - before
            if self._coming(agreement) - before > left:
                self._uploads.discard(upload)
            else:
                return upload
        upload.abort()
        raise OverCapacity(f"{size} bytes are more than the {max(0, left)} left of the agreement's {row[0]}")

    def _commit_batch(self, batch: Sequence[tuple[Upload, NewObject]]) -> list[Exception | None]:
        with self._moving:
            return self._place(batch)

    def _place(self, batch: Sequence[tuple[Upload, NewObject]]) -> list[Exception | None]:
        rows = [row for _, row in batch]
        try:
            results: list[Exception | None] = list(
                self._files.publish((upload.path, row.agreement, row.root) for upload, row in batch)
            )
            known = self.agreements()
            for i, row in enumerate(rows):
                if results[i] is None and known.get(row.agreement) != row.owner:
                    results[i] = UnknownAgreement("the agreement ended meanwhile")
            placed = [row for row, result in zip(rows, results, strict=True) if result is None]
            new = self._index.insert_objects(placed)
        except LocalFault:
            self._discard(rows)
            raise
        self._discard([row for row, result in zip(rows, results, strict=True) if result is not None])
        with self._lock:
            for row, is_new in zip(placed, new, strict=True):
                if is_new:
                    self._used[row.agreement] = self._used.get(row.agreement, 0) + row.size
                for upload in self._uploads:
                    if (upload.agreement, upload.root) == (row.agreement, row.root):
                        upload.extra = 0
        return results

    def _discard(self, rows: Sequence[NewObject]) -> None:
        """Remove files that did not come to count; one that counted before stays, its content is the same."""
        for row in rows:
            if self._index.find_in(row.agreement, row.root) is None:
                self._files.remove(row.agreement, row.root)

    def _coming(self, agreement: AgreementId) -> int:
        """Bytes that uploads will add; an object that comes several times at once adds once. Under the lock."""
        extra: dict[ShardRoot, int] = {}
        for upload in self._uploads:
            if upload.agreement == agreement:
                extra[upload.root] = max(upload.extra, extra.get(upload.root, 0))
        return sum(extra.values())

    def _end(self, upload: Upload) -> None:
        with self._lock:
            self._uploads.discard(upload)

    # Reading

    def has(self, agreement: AgreementId, root: ShardRoot) -> bool:
        """Whether a good copy is stored under this agreement (then there is no need to take the bytes again)."""
        row = self._index.find_in(agreement, root)
        return row is not None and row.health == Health.GOOD

    def is_there(self, agreement: AgreementId, root: ShardRoot) -> bool:
        """Whether its file is on the disk now, at its size; one that is not is marked as damaged."""
        try:
            self.open_in(agreement, root).close()
        except UnknownObject:
            return False
        except IntegrityError:
            self.mark_damaged(agreement, root)
            return False
        return True

    def open_object(self, owner: MemberId, root: ShardRoot) -> ObjectReader:
        """Open an object for its owner. Raises UnknownObject, for other owners' too; IntegrityError if damaged."""
        row = self._index.find(owner, root)
        if row is None:
            raise UnknownObject(f"no object {root.hex()[:16]} of yours here")
        return self._files.open(row.agreement, root, row.size)

    def open_in(self, agreement: AgreementId, root: ShardRoot) -> ObjectReader:
        """Open an object of an agreement, for proving. Raises UnknownObject, IntegrityError."""
        row = self._index.find_in(agreement, root)
        if row is None:
            raise UnknownObject(f"no object {root.hex()[:16]} under this agreement")
        return self._files.open(agreement, root, row.size)

    def read(self, owner: MemberId, root: ShardRoot, offset: int, length: int) -> bytes:
        """A range of an object, for its owner. Raises as open_object; ValueError outside the object."""
        with self.open_object(owner, root) as reader:
            return reader.read(offset, length)

    def subroots(self, agreement: AgreementId, root: ShardRoot) -> bytes:
        """The subroots given at commit. Raises UnknownObject."""
        row = self._index.one(
            "SELECT hashes FROM subroots JOIN objects ON objects.id = object WHERE agreement = ? AND root = ?",
            agreement,
            root,
        )
        if row is None:
            raise UnknownObject(f"no object {root.hex()[:16]} under this agreement")
        return bytes(row[0])

    def leaves(self, agreement: AgreementId, roots: Sequence[ShardRoot]) -> list[int]:
        """Leaf counts of stored objects, in the order asked. Raises UnknownObject naming the first that is not here."""
        counts = []
        for root in roots:
            row = self._index.one("SELECT leaves FROM objects WHERE agreement = ? AND root = ?", agreement, root)
            if row is None:
                raise UnknownObject(f"object {root.hex()[:16]} is not stored here: put it again")
            counts.append(row[0])
        return counts

    def heads_of(self, owner: MemberId, repository: int) -> list[tuple[int, ShardRoot, int]]:
        """Good heads kept for a member's repository, newest first: (number, root, bytes)."""
        return self._index.all(
            "SELECT DISTINCT number, root, size FROM objects"
            " WHERE owner = ? AND repository = ? AND kind = 1 AND health = 0 ORDER BY number DESC, id DESC",
            owner,
            repository,
        )

    # Order

    def objects_of(self, agreement: AgreementId) -> list[tuple[ShardRoot, int]]:
        """(root, leaves) of all objects: those of the newest revision in tree order, then those stored since."""
        newest = self.revisions.newest(agreement)
        signed = self.revisions.objects_of(newest) if newest else []
        listed = {root for root, _ in signed}
        stored = self._index.all(
            "SELECT root, leaves FROM objects WHERE agreement = ? AND position IS NULL ORDER BY id", agreement
        )
        return signed + [row for row in stored if row[0] not in listed]

    def objects_at(
        self, agreement: AgreementId, sequence: int, root: bytes | None = None
    ) -> list[tuple[ShardRoot, int]]:
        """(root, leaves) under the revision of that number, in tree order; what a proof over it needs.

        root: the revision's root, to tell rivals apart while none is recorded. Raises RevisionConflict if not held.
        """
        for revision in reversed(self.revisions.numbered(agreement, sequence)):
            if root in (None, revision.root):
                return self.revisions.objects_of(revision)
        raise RevisionConflict(f"revision {sequence} is not held here")

    def mark_recorded(self, agreement: AgreementId, digest: bytes) -> None:
        """See RevisionBook.mark_recorded; what the revision removes does not count as stored any more."""
        removed = self.revisions.mark_recorded(agreement, digest)
        with self._lock:
            self._used[agreement] = self._used.get(agreement, 0) - removed

    def drop_removed(self, agreement: AgreementId, now: Epoch) -> int:
        """Delete the bytes of objects that a recorded revision removed REMOVED_KEPT_EPOCHS ago; returns how many.

        To be called once an epoch: an object's time begins with the first call that finds it removed.
        """
        gone = self._index.drop_removed(agreement, now, REMOVED_KEPT_EPOCHS)
        for root, _ in gone:
            self._files.remove(agreement, root)
        return len(gone)

    def drop_unrecorded(self, older_than_ns: int) -> list[tuple[AgreementId, ShardRoot]]:
        """Delete objects stored before that time (Unix, ns) that no revision, pending or recorded, lists."""
        with self._moving:
            with self._index.transaction() as db:
                listed = self.revisions.pending_roots(db)
                old = db.execute(
                    "SELECT agreement, root, size FROM objects WHERE position IS NULL AND stored_ns < ?",
                    (older_than_ns,),
                ).fetchall()
                dropped = [row for row in old if row[:2] not in listed]
                db.executemany("DELETE FROM objects WHERE agreement = ? AND root = ?", [row[:2] for row in dropped])
            for agreement, root, size in dropped:
                self._dropped(agreement, root, size)
        return [row[:2] for row in dropped]

    def drop_unlisted(self, owner: MemberId, agreement: AgreementId, root: ShardRoot) -> None:
        """Delete an object that no revision, pending or recorded, lists.

        Raises UnknownAgreement (not known, or not this owner's), UnknownObject, RevisionConflict if one lists it.
        """
        if self._index.one("SELECT 1 FROM agreements WHERE id = ? AND owner = ?", agreement, owner) is None:
            raise UnknownAgreement("no such agreement of yours here")
        with self._moving:
            with self._index.transaction() as db:
                row = db.execute(
                    "SELECT position, size FROM objects WHERE agreement = ? AND root = ?", (agreement, root)
                ).fetchone()
                if row is None:
                    raise UnknownObject(f"no object {root.hex()[:16]} under this agreement")
                if row[0] is not None or (agreement, root) in self.revisions.pending_roots(db):
                    raise RevisionConflict(f"object {root.hex()[:16]} is listed by a revision: remove it by one")
                db.execute("DELETE FROM objects WHERE agreement = ? AND root = ?", (agreement, root))
            self._dropped(agreement, root, row[1])

    def _dropped(self, agreement: AgreementId, root: ShardRoot, size: int) -> None:
        """Its row is gone. What is on its way in again under its name keeps the room that it had: it adds to the use
        now."""
        with self._lock:
            self._used[agreement] = self._used.get(agreement, 0) - size
            for upload in self._uploads:
                if (upload.agreement, upload.root) == (agreement, root):
                    upload.extra = upload.size
        self._files.remove(agreement, root)

    # Damage

    def object_after(self, number: int) -> tuple[int, AgreementId, ShardRoot, int] | None:
        """(number, agreement, root, bytes) of the next object whose bytes are kept; None after the last one."""
        row = self._index.one(
            "SELECT id, agreement, root, size FROM objects WHERE id > ? AND leaves > 0 ORDER BY id LIMIT 1", number
        )
        return (row[0], AgreementId(row[1]), ShardRoot(row[2]), row[3]) if row else None

    def is_sound(self, agreement: AgreementId, root: ShardRoot) -> bool:
        """Read an object whole and compare it with its root; a damaged one is marked. True for one that is gone."""
        hasher = TreeHasher()
        try:
            with self.open_in(agreement, root) as reader:
                for offset in range(0, reader.size, MIB):
                    hasher.update(reader.read(offset, min(MIB, reader.size - offset)))
        except UnknownObject:
            return True
        except IntegrityError:
            self.mark_damaged(agreement, root)
            return False
        if hasher.finish().root == root:
            return True
        self.mark_damaged(agreement, root)
        return False

    def mark_damaged(self, agreement: AgreementId, root: ShardRoot) -> None:
        """Its bytes did not match its root. A new copy (begin … commit) clears it."""
        self._index.set_health([(agreement, root, Health.CORRUPT)])

    def damaged(self) -> list[tuple[AgreementId, ShardRoot]]:
        """Objects that are listed but missing or corrupt."""
        return [(row.agreement, row.root) for row in self._index.rows(damaged=True)]
