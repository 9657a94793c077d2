"""pack: blobs from many threads go into packs; a full pack goes on its way while the next one fills."""

from __future__ import annotations

import threading
from collections.abc import Callable

from peerage.model import BlobKind, ChunkId, PackKind
from peerage.pack.writer import PackWriter
from peerage.ports import Buffer
from peerage.seal.blob import compress
from peerage.seal.keys import RepositoryKey


class Packer:
    """Fills packs of one kind. Thread-safe.

    known(id): whether a chunk is stored already. emit(writer): takes a full pack away; it may block, which is the
    back-pressure of the whole pipeline. A chunk is claimed by the first thread that brings it, so no chunk is stored
    twice by one run.
    """

    def __init__(
        self,
        key: RepositoryKey,
        kind: PackKind,
        known: Callable[[ChunkId], bool],
        emit: Callable[[PackWriter], None],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._key = key
        self._kind = kind
        self._known = known
        self._emit = emit
        self._entropy = entropy
        self._lock = threading.Lock()
        self._writer: PackWriter | None = None
        self._claimed: set[ChunkId] = set()

    def store(self, kind: BlobKind, raw: Buffer) -> ChunkId:
        """Store one plaintext unless it is stored already; returns its id."""
        id = self._key.chunk_id(raw)
        with self._lock:
            if id in self._claimed:
                return id
        if self._known(id):
            return id
        with self._lock:
            if id in self._claimed:
                return id
            self._claimed.add(id)
        payload = compress(raw)
        full: PackWriter | None = None
        with self._lock:
            if self._writer is None:
                self._writer = PackWriter(self._key, self._kind, self._entropy(32))
            self._writer.add(id, kind, len(raw), payload)
            if self._writer.full:
                full, self._writer = self._writer, None
        if full is not None:
            self._emit(full)
        return id

    def flush(self) -> None:
        """Send the last pack on its way, however small."""
        with self._lock:
            last, self._writer = self._writer, None
        if last is not None and last.entries:
            self._emit(last)

    def committed(self, ids: list[ChunkId]) -> None:
        """These chunks are in the catalogue now, which answers for them from here on."""
        with self._lock:
            self._claimed.difference_update(ids)
