"""A file's data as a stream, holes left out. Never more than the file held when it was looked at: one that grows while
it is read would otherwise have no end."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence

from peerage.source.direct import BLOCK, LEAST, set_direct

__all__ = ["DataStream", "cut_extents", "is_sparse", "read_all"]


_NOWAIT = getattr(os, "RWF_NOWAIT", 0)


class DataStream:
    """The data extents of an open file, one after the other; readinto as io.RawIOBase has it.

    Large pieces that are not in the page cache do not go through it, if the buffer is aligned to a page. The descriptor
    is the stream's alone while it reads.
    """

    def __init__(self, fd: int, extents: Sequence[tuple[int, int]]) -> None:
        """extents: (offset, length) in bytes, in order."""
        self._fd = fd
        self._direct = True
        self._extents = list(extents)[::-1]
        self._offset, self._left = self._extents.pop() if self._extents else (0, 0)
        if self._left > LEAST and hasattr(os, "posix_fadvise"):  # a small file is one read
            with contextlib.suppress(OSError):  # a file system that does not care
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)

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
            got = self._read(view[done : done + self._left])
            if got == 0:
                self._extents, self._left = [], 0  # what is gone cannot be put at its offset any more
                break
            done += got
            self._offset += got
            self._left -= got
        return done

    def _read(self, view: memoryview) -> int:
        """Whole blocks of a large piece past the cache, unless they are in it; memory that is not aligned ends that."""
        blocks = len(view) - len(view) % BLOCK
        if self._direct and blocks >= LEAST and self._offset % BLOCK == 0 and not self._cached(view[:BLOCK]):
            if set_direct(self._fd, True):
                try:
                    return os.preadv(self._fd, [view[:blocks]], self._offset)
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise
                finally:
                    set_direct(self._fd, False)
            self._direct = False
        return os.preadv(self._fd, [view], self._offset)

    def _cached(self, block: memoryview) -> bool:
        try:
            return os.preadv(self._fd, [block], self._offset, _NOWAIT) > 0
        except OSError:  # it would have to wait, or the system cannot tell
            return False

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


def read_all(fd: int, size: int, offset: int = 0) -> bytes:
    """`size` bytes of a file from `offset` on; fewer if it ends before. Raises OSError."""
    data = os.pread(fd, size, offset)
    while len(data) < size:
        piece = os.pread(fd, size - len(data), offset + len(data))
        if not piece:
            break
        data += piece
    return data


def is_sparse(st: os.stat_result) -> bool:
    """Whether a file may have holes: it takes less room than its size says."""
    return st.st_blocks * 512 < st.st_size
