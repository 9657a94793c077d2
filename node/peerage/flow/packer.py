"""pack: blobs from many threads go into packs; a full pack goes on its way while the next one fills."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from peerage.errors import LocalFault
from peerage.model import BlobKind, ChunkId, PackKind
from peerage.pack.writer import PackWriter
from peerage.ports import Buffer
from peerage.seal.blob import compress
from peerage.seal.keys import RepositoryKey
from peerage.snapshot.tree import DIRECT_LIMIT, encode_content


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
        if self._claim(id):
            self._add(id, kind, len(raw), compress(raw))
        return id

    def store_content(self, ids: Sequence[ChunkId]) -> tuple[bytes, int]:
        """(content, depth) of a file's entry; the lists of a file of very many chunks are stored as blobs here."""
        if len(ids) <= DIRECT_LIMIT:
            return b"".join(ids), 0
        return b"".join(self.store(BlobKind.TREE, piece) for piece in encode_content(ids)), 1

    def store_payload(self, kind: BlobKind, id: ChunkId, raw_length: int, payload: Buffer | None) -> None:
        """Store what compress() made of a plaintext elsewhere, unless it is stored already; consumed on return.

        payload None: somebody believes that the chunk is stored. Raises LocalFault when it is not.
        """
        if payload is None:
            with self._lock:
                claimed = id in self._claimed
            # Asked in this order: a chunk leaves the claims only once the catalogue has it.
            if not claimed and not self._known(id):
                raise LocalFault("a chunk that was stored is gone from the catalogue: back up again")
        elif self._claim(id):
            self._add(id, kind, raw_length, payload)

    def _claim(self, id: ChunkId) -> bool:
        """Whether the chunk is the caller's to store."""
        with self._lock:
            if id in self._claimed:
                return False
        if self._known(id):
            return False
        with self._lock:
            if id in self._claimed:
                return False
            self._claimed.add(id)
        return True

    def _add(self, id: ChunkId, kind: BlobKind, raw_length: int, payload: Buffer) -> None:
        full: PackWriter | None = None
        with self._lock:
            if self._writer is None:
                self._writer = PackWriter(self._key, self._kind, self._entropy(32))
            self._writer.add(id, kind, raw_length, payload)
            if self._writer.full:
                full, self._writer = self._writer, None
        if full is not None:
            self._emit(full)

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
