"""A file's data as a stream, holes left out. Never more than the file held when it was looked at: one that grows while
it is read would otherwise have no end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

__all__ = ["DataStream", "cut_extents", "is_sparse", "read_all"]


class DataStream:
    """The data extents of an open file, one after the other; readinto as io.RawIOBase has it."""

    def __init__(self, fd: int, extents: Sequence[tuple[int, int]]) -> None:
        """extents: (offset, length) in bytes, in order."""
        self._fd = fd
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):  # a file system that does not care
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        self._extents = list(extents)[::-1]
        self._offset, self._left = self._extents.pop() if self._extents else (0, 0)

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer`; fewer bytes only at the end of the data, or of a file that has shrunk. Raises OSError."""
        view = memoryview(buffer)
        done = 0
        while done < len(view):
            if self._left == 0:
                if not self._extents:
                    break
                self._offset, self._left = self._extents.pop()
                continue
            got = os.preadv(self._fd, [view[done : done + self._left]], self._offset)
            if got == 0:
                self._extents, self._left = [], 0  # what is gone cannot be put at its offset any more
                break
            done += got
            self._offset += got
            self._left -= got
        return done

    def read(self, size: int) -> bytes:
        buffer = bytearray(size)
        return bytes(memoryview(buffer)[: self.readinto(memoryview(buffer))])


def cut_extents(extents: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """The extents that the first `length` bytes of the data fill: all of them, unless the file has shrunk."""
    kept: list[tuple[int, int]] = []
    for offset, size in extents:
        if length <= 0:
            break
        kept.append((offset, min(size, length)))
        length -= size
    return kept


def read_all(fd: int, size: int) -> bytes:
    """The first `size` bytes of a small file; fewer if it has shrunk. Raises OSError."""
    data = os.read(fd, size)
    while len(data) < size:
        piece = os.read(fd, size - len(data))
        if not piece:
            break
        data += piece
    return data


def is_sparse(st: os.stat_result) -> bool:
    """Whether a file may have holes: it takes less room than its size says."""
    return st.st_blocks * 512 < st.st_size
