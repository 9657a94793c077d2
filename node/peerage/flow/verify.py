"""Comparing a file on this machine with a snapshot's chunks, by their ids."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from peerage.flow.context import NodeContext
from peerage.flow.files import Layout
from peerage.model import MIB, BlobEntry
from peerage.seal.keys import RepositoryKey
from peerage.source.stream import read_all

Located = tuple[int, BlobEntry]
"""A pack's number, and a blob of it."""


class Verifier:
    """Thread-safe. Ids depend on the generation of the repository key, which a chunk's pack knows."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._keys: dict[int, RepositoryKey] = {}

    def difference(self, fd: int, size: int, layout: Layout, blobs: Sequence[Located], from_disk: bool) -> str:
        """How the open file differs from its chunks, in a few words; empty when it does not.

        from_disk: it was written out, and is read from there and not from memory. Raises OSError.
        """
        if os.fstat(fd).st_size != size:
            return f"differs from the snapshot: it is {os.fstat(fd).st_size} bytes long, not {size}"
        if from_disk:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        position = end = 0
        for no, blob in blobs:
            raw = bytearray()
            for offset, _, length in layout.spread(position, blob.raw_length):
                if not _is_hole(fd, end, offset):
                    return f"differs from the snapshot between bytes {end} and {offset}, where it should be a hole"
                raw += read_all(fd, length, offset)
                end = offset + length
            if self._key(no).chunk_id(raw) != blob.id:
                return f"differs from the snapshot in the {blob.raw_length} bytes before {end}"
            position += blob.raw_length
        if not _is_hole(fd, end, size):
            return f"differs from the snapshot after byte {end}, where it should be a hole"
        return ""

    def _key(self, no: int) -> RepositoryKey:
        key = self._keys.get(no)
        if key is None:
            key = self._keys[no] = self._context.ring.need(self._context.catalogue.pack(no).generation)
        return key


def _is_hole(fd: int, start: int, stop: int) -> bool:
    """Whether [start, stop) reads as zeros; what the file system knows to be a hole is not read."""
    while start < stop:
        try:
            start = os.lseek(fd, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return True
            raise
        length = min(MIB, stop - start)
        if length > 0 and any(read_all(fd, length, start)):
            return False
        start += MIB
    return True
