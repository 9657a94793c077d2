"""One object on its way into the object store."""

from __future__ import annotations

import errno
import os
import time
from types import TracebackType
from typing import TYPE_CHECKING

from peerage.model import LEAF_SIZE, AgreementId, MemberId, ObjectKind, ShardRoot
from peerage.ports import Buffer
from peerage.seal.memory import zeroed
from peerage.source.direct import BLOCK, set_direct
from peerage.store.object_files import disk_error
from peerage.store.object_index import NewObject
from peerage.store.refusals import BadObject

if TYPE_CHECKING:
    from peerage.store.objects import ObjectStore

__all__ = ["Upload"]

BUFFER_SIZE = 1 << 20


class Upload:
    """An object on its way in, from ObjectStore.begin. Leaving the `with` block without commit() removes it.

    One thread at a time.
    """

    def __init__(
        self, store: ObjectStore, owner: MemberId, agreement: AgreementId, root: ShardRoot, size: int, extra: int
    ) -> None:
        """extra: bytes that it adds to the agreement's use (none if it is stored already)."""
        self.extra = extra
        self.owner = owner
        self.agreement = agreement
        self.root = root
        self.size = size
        self.written = 0
        self._store = store
        self.path, self._fd = store._files.create()
        # Nobody reads a shard again soon: it goes past the page cache where that can be.
        self._direct = size >= BUFFER_SIZE and set_direct(self._fd, True)
        self._buffer = zeroed(BUFFER_SIZE) if self._direct else memoryview(b"")
        self._filled = 0

    def write(self, piece: Buffer) -> None:
        """Append a piece. Raises BadObject past the announced size, DiskFull; either ends the upload."""
        self._check_open()
        if self.written + len(piece) > self.size:
            self.abort()
            raise BadObject(f"more bytes came than the announced {self.size}")
        view = memoryview(piece)
        try:
            while view and self._direct:
                count = min(len(view), BUFFER_SIZE - self._filled)
                self._buffer[self._filled : self._filled + count] = view[:count]
                self._filled += count
                self.written += count
                view = view[count:]
                if self._filled == BUFFER_SIZE:
                    self._flush(BUFFER_SIZE)
            self._write(view)
            self.written += len(view)
        except OSError as error:
            self.abort()
            raise disk_error(error) from error

    def _flush(self, blocks: int) -> None:
        """Write what is buffered: the first `blocks` bytes directly, if the file system lets us."""
        rest = self._buffer[: self._filled]
        self._filled = 0
        if blocks:
            try:
                rest = rest[self._store._write(self._fd, rest[:blocks]) :]
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
        if rest:
            set_direct(self._fd, False)
            self._direct = False
            self._write(rest)

    def _write(self, view: memoryview) -> None:
        while view:
            view = view[self._store._write(self._fd, view) :]

    def commit(
        self,
        root: ShardRoot,
        leaves: int,
        subroots: bytes,
        kind: ObjectKind = ObjectKind.SHARD,
        repository: int = 0,
        number: int = 0,
    ) -> None:
        """Make the object durable and count it; ends the upload. root, leaves, subroots: computed from the bytes.

        Committing what is stored already succeeds, and replaces a damaged copy. Raises BadObject if root or size is
        not the announced one, UnknownAgreement if it ended meanwhile, DiskFull; then nothing counts.
        """
        self._check_open()
        try:
            if root != self.root:
                raise BadObject("the bytes have another root than announced")
            if self.written != self.size or leaves * LEAF_SIZE != self.size:
                raise BadObject(f"{self.written} bytes in {leaves} leaves came, {self.size} bytes were announced")
            try:
                if self._direct:
                    self._flush(self._filled - self._filled % BLOCK)
                os.fdatasync(self._fd)
            except OSError as error:
                raise disk_error(error) from error
            row = NewObject(
                self.agreement, root, self.owner, kind, repository, number, self.size, leaves, subroots, time.time_ns()
            )
            self._store._commits.commit((self, row))
        finally:
            self.abort()

    def abort(self) -> None:
        """Forget the upload; harmless after commit() or abort()."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            self.path.unlink(missing_ok=True)  # not there any more once it is committed
            self._store._end(self)

    def _check_open(self) -> None:
        if self._fd < 0:
            raise BadObject("the upload has ended")

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.abort()
