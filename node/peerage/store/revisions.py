"""The signed revisions that a provider holds, and the order of objects that each of them stands for.

A revision that both sides signed is pending until the chain has recorded it. Until then another one with the same
number may be signed too, and either side may record either: so every pending revision keeps its own list of appended
and removed objects, and only recording one settles positions and drops its rivals. A removed object keeps its place,
as a dead one of no leaves, so that nothing behind it moves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from peerage.model import AgreementId, Epoch, ShardRoot
from peerage.store.object_index import ObjectIndex
from peerage.store.refusals import RevisionConflict, UnknownAgreement, UnknownObject

__all__ = ["RevisionBook", "SignedRevision"]

_ROOT = 32
DEAD = (ShardRoot(bytes(_ROOT)), 0)
"""What stands in the tree where an object was removed."""


@dataclass(frozen=True, slots=True)
class SignedRevision:
    """A revision with both signatures.

    digest: its EIP-712 digest; previous: that of the revision before, zero for the first. expires: last epoch in which
    it may be recorded. revision: its bytes as the caller encodes them. object_count and recorded are the store's.
    """

    agreement: AgreementId
    sequence: int
    digest: bytes
    previous: bytes
    root: bytes
    leaves: int
    expires: Epoch
    revision: bytes
    client_signature: bytes
    provider_signature: bytes
    object_count: int = 0
    recorded: bool = False


class RevisionBook:
    def __init__(self, index: ObjectIndex) -> None:
        self._index = index

    def keep(
        self, revision: SignedRevision, appended: Sequence[ShardRoot], removed: Sequence[ShardRoot] = ()
    ) -> SignedRevision:
        """Durably keep a pending revision that appends these stored objects, in this order, and removes those.

        To be called before the provider's signature leaves the machine. Keeping the same revision again changes
        nothing. Raises UnknownAgreement, UnknownObject, RevisionConflict.
        """
        with self._index.transaction() as db:
            if not db.execute("SELECT 1 FROM agreements WHERE id = ?", (revision.agreement,)).fetchone():
                raise UnknownAgreement("no such agreement here")
            same = self._by_digest(db, revision.agreement, revision.digest)
            if same is not None:
                if not same.recorded and self._changes(db, same) != (list(appended), list(removed)):
                    raise RevisionConflict(f"revision {revision.sequence} was kept with other objects")
                return same
            before = self._before(db, revision)
            self._check_appended(db, revision, before, appended)
            self._check_removed(db, revision, before, removed)
            object_count = (before.object_count if before else 0) + len(appended)
            db.execute(
                "INSERT INTO revisions (agreement, sequence, digest, previous, root, leaves, expires, revision,"
                " client_signature, provider_signature, object_count, appended, removed)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    revision.agreement, revision.sequence, revision.digest, revision.previous, revision.root,
                    revision.leaves, revision.expires, revision.revision, revision.client_signature,
                    revision.provider_signature, object_count, b"".join(appended),
                    b"".join(removed),
                ),
            )  # fmt: skip
            kept = self._by_digest(db, revision.agreement, revision.digest)
        assert kept is not None
        return kept

    def _before(self, db: sqlite3.Connection, revision: SignedRevision) -> SignedRevision | None:
        if revision.sequence == 1 and not any(revision.previous):
            before = None
        else:
            before = self._by_digest(db, revision.agreement, revision.previous)
            if before is None or before.sequence != revision.sequence - 1:
                raise RevisionConflict(f"revision {revision.sequence} does not follow any revision held here")
        (last,) = db.execute(
            "SELECT coalesce(max(sequence), 0) FROM revisions WHERE agreement = ? AND recorded", (revision.agreement,)
        ).fetchone()
        if revision.sequence <= last:
            raise RevisionConflict(f"revision {revision.sequence} is too old: {last} is recorded on chain")
        return before

    def _check_appended(
        self,
        db: sqlite3.Connection,
        revision: SignedRevision,
        before: SignedRevision | None,
        appended: Sequence[ShardRoot],
    ) -> None:
        listed = set(self._pending_roots(db, before)) if before else set()
        for root in appended:
            row = db.execute(
                "SELECT position FROM objects WHERE agreement = ? AND root = ?", (revision.agreement, root)
            ).fetchone()
            if row is None:
                raise UnknownObject(f"object {root.hex()[:16]} is not stored here: put it again")
            if row[0] is not None or root in listed:
                raise RevisionConflict(f"object {root.hex()[:16]} is listed already")
            listed.add(root)

    def _check_removed(
        self,
        db: sqlite3.Connection,
        revision: SignedRevision,
        before: SignedRevision | None,
        removed: Sequence[ShardRoot],
    ) -> None:
        if not removed:
            return
        listed = {root for root, leaves in self._listed(db, before) if leaves} if before else set()
        for root in removed:
            if root not in listed:
                raise RevisionConflict(f"object {root.hex()[:16]} is not in revision {revision.sequence - 1}")
            listed.discard(root)

    def mark_recorded(self, agreement: AgreementId, digest: bytes) -> int:
        """The chain recorded this revision (and so those before it): fix its objects' positions, drop its rivals.

        Returns the bytes of the objects that it removes. Doing so again changes nothing, and returns 0. Raises
        RevisionConflict if it is not held here.
        """
        with self._index.transaction() as db:
            revision = self._by_digest(db, agreement, digest)
            if revision is None:
                raise RevisionConflict("the chain recorded a revision that is not held here")
            chain = [revision]
            while not chain[-1].recorded and chain[-1].sequence > 1:
                before = self._by_digest(db, agreement, chain[-1].previous)
                if before is None:
                    raise RevisionConflict(f"revision {chain[-1].sequence - 1} is not held here")
                chain.append(before)
            return sum(self._record(db, step) for step in reversed(chain) if not step.recorded)

    def _record(self, db: sqlite3.Connection, revision: SignedRevision) -> int:
        roots, removed = self._changes(db, revision)
        first = revision.object_count - len(roots)
        db.executemany(
            "UPDATE objects SET position = ? WHERE agreement = ? AND root = ?",
            [(first + i, revision.agreement, root) for i, root in enumerate(roots)],
        )
        db.executemany(
            "UPDATE objects SET removed = ? WHERE agreement = ? AND root = ?",
            [(revision.sequence, revision.agreement, root) for root in removed],
        )
        (removed_bytes,) = db.execute(
            "SELECT coalesce(sum(size), 0) FROM objects WHERE agreement = ? AND removed = ?",
            (revision.agreement, revision.sequence),
        ).fetchone()
        db.execute(
            "UPDATE revisions SET recorded = 1, appended = x'', removed = x'' WHERE agreement = ? AND digest = ?",
            (revision.agreement, revision.digest),
        )
        db.execute(
            "DELETE FROM revisions WHERE agreement = ? AND sequence = ? AND NOT recorded",
            (revision.agreement, revision.sequence),
        )
        self._drop_orphans(db, revision.agreement)
        return int(removed_bytes)

    def drop_expired(self, agreement: AgreementId, now: Epoch) -> int:
        """Drop pending revisions that can no longer be recorded, and those built on them. Returns how many."""
        with self._index.transaction() as db:
            dropped = db.execute(
                "DELETE FROM revisions WHERE agreement = ? AND NOT recorded AND expires < ?", (agreement, now)
            ).rowcount
            return int(dropped) + self._drop_orphans(db, agreement)

    @staticmethod
    def _drop_orphans(db: sqlite3.Connection, agreement: AgreementId) -> int:
        dropped = 0
        while gone := db.execute(
            "DELETE FROM revisions WHERE agreement = ?1 AND NOT recorded AND sequence > 1 AND NOT EXISTS"
            " (SELECT 1 FROM revisions AS p WHERE p.agreement = ?1 AND p.digest = revisions.previous)",
            (agreement,),
        ).rowcount:
            dropped += int(gone)
        return dropped

    def all_of(self, agreement: AgreementId) -> list[SignedRevision]:
        """Every revision held, by sequence; rivals in the order of their signing."""
        rows = self._index.all("SELECT * FROM signed_revisions WHERE agreement = ? ORDER BY sequence, id", agreement)
        return [_revision(row) for row in rows]

    def unrecorded_of(self, agreement: AgreementId) -> list[SignedRevision]:
        """Those of them that the chain has not recorded, as far as is known here."""
        rows = self._index.all(
            "SELECT * FROM signed_revisions WHERE agreement = ? AND NOT recorded ORDER BY sequence, id", agreement
        )
        return [_revision(row) for row in rows]

    def numbered(self, agreement: AgreementId, sequence: int) -> list[SignedRevision]:
        """Those with this number, in the order of their signing."""
        rows = self._index.all(
            "SELECT * FROM signed_revisions WHERE agreement = ? AND sequence = ? ORDER BY id", agreement, sequence
        )
        return [_revision(row) for row in rows]

    def newest(self, agreement: AgreementId) -> SignedRevision | None:
        """The newest revision held, pending or recorded; None before the first."""
        row = self._index.one(
            "SELECT * FROM signed_revisions WHERE agreement = ? ORDER BY sequence DESC, id DESC LIMIT 1", agreement
        )
        return _revision(row) if row else None

    def get(self, agreement: AgreementId, digest: bytes) -> SignedRevision | None:
        row = self._index.one("SELECT * FROM signed_revisions WHERE agreement = ? AND digest = ?", agreement, digest)
        return _revision(row) if row else None

    def objects_of(self, revision: SignedRevision) -> list[tuple[ShardRoot, int]]:
        """(root, leaves) of every object under this revision, in the order of the agreement's tree.

        DEAD stands for removed ones. A revision before the removal shows them until their bytes are dropped.
        """
        with self._index.view() as db:  # another thread may be recording it just now
            kept = self._by_digest(db, revision.agreement, revision.digest)
            if kept is None:
                raise RevisionConflict(f"revision {revision.sequence} is not held here")
            return self._listed(db, kept)

    def appended_since(self, agreement: AgreementId, known: int, sequence: int) -> list[tuple[ShardRoot, int]] | None:
        """(root, leaves) of what the revisions after number `known` append, up to `sequence`.

        None unless all of them are recorded and each of them appends: those that append nothing may remove.
        """
        with self._index.view() as db:
            counts = [
                count
                for (count,) in db.execute(
                    "SELECT object_count FROM revisions WHERE agreement = ? AND recorded AND sequence BETWEEN ? AND ?"
                    " ORDER BY sequence",
                    (agreement, known, sequence),
                )
            ]
            whole = known < sequence and len(counts) == sequence - known + 1
            if not whole or any(a >= b for a, b in pairwise(counts)):
                return None
            return db.execute(
                "SELECT root, leaves FROM objects WHERE agreement = ? AND position >= ? AND position < ?"
                " ORDER BY position",
                (agreement, counts[0], counts[-1]),
            ).fetchall()

    def _listed(self, db: sqlite3.Connection, revision: SignedRevision) -> list[tuple[ShardRoot, int]]:
        pending = self._pending_roots(db, revision)
        rows = db.execute(
            "SELECT root, leaves, removed FROM objects WHERE agreement = ? AND position < ? ORDER BY position",
            (revision.agreement, revision.object_count - len(pending)),
        )
        objects = [
            DEAD if removed is not None and removed <= revision.sequence else (ShardRoot(root), leaves)
            for root, leaves, removed in rows
        ]
        for root in pending:
            objects += db.execute(
                "SELECT root, leaves FROM objects WHERE agreement = ? AND root = ?", (revision.agreement, root)
            ).fetchall()
        gone = self._pending_removed(db, revision)
        return [DEAD if root in gone else (root, leaves) for root, leaves in objects] if gone else objects

    def pending_roots(self, db: sqlite3.Connection) -> set[tuple[AgreementId, ShardRoot]]:
        """Objects that some pending revision lists: not to be dropped."""
        rows = db.execute("SELECT agreement, appended FROM revisions WHERE NOT recorded")
        return {(agreement, root) for agreement, appended in rows for root in _split(appended)}

    def _pending_roots(self, db: sqlite3.Connection, revision: SignedRevision) -> list[ShardRoot]:
        """Objects that this revision and its unrecorded predecessors append, in order."""
        steps = list(self._unrecorded(db, revision))
        return [root for step in reversed(steps) for root in self._changes(db, step)[0]]

    def _pending_removed(self, db: sqlite3.Connection, revision: SignedRevision) -> set[ShardRoot]:
        """Objects that this revision and its unrecorded predecessors remove."""
        return {root for step in self._unrecorded(db, revision) for root in self._changes(db, step)[1]}

    def _unrecorded(self, db: sqlite3.Connection, revision: SignedRevision) -> Iterator[SignedRevision]:
        """This revision and those before it, newest first, down to what is recorded."""
        at: SignedRevision | None = revision
        while at is not None and not at.recorded:
            yield at
            at = self._by_digest(db, at.agreement, at.previous) if at.sequence > 1 else None

    @staticmethod
    def _changes(db: sqlite3.Connection, revision: SignedRevision) -> tuple[list[ShardRoot], list[ShardRoot]]:
        """What a pending revision appends, and what it removes."""
        appended, removed = db.execute(
            "SELECT appended, removed FROM revisions WHERE agreement = ? AND digest = ?",
            (revision.agreement, revision.digest),
        ).fetchone()
        return _split(appended), _split(removed)

    @staticmethod
    def _by_digest(db: sqlite3.Connection, agreement: AgreementId, digest: bytes) -> SignedRevision | None:
        row = db.execute(
            "SELECT * FROM signed_revisions WHERE agreement = ? AND digest = ?", (agreement, digest)
        ).fetchone()
        return _revision(row) if row else None


def _split(appended: bytes) -> list[ShardRoot]:
    return [ShardRoot(appended[i : i + _ROOT]) for i in range(0, len(appended), _ROOT)]


def _revision(row: tuple[Any, ...]) -> SignedRevision:
    """row: of the view signed_revisions, whose columns are the fields of SignedRevision."""
    return SignedRevision(*(*row[:11], bool(row[11])))
