"""Input and output past the page cache, for data that nobody reads again soon: shards, and large files on their way.

Filling the cache with them can cost more than the disk does (node/spec/decisions/direct.md), and drives out what the
machine's owner works with. Where a file system or a system knows nothing of it, the cache is used.
"""

from __future__ import annotations

import fcntl
import os
from threading import local

from peerage.ports import Buffer
from peerage.seal.memory import zeroed

__all__ = ["BLOCK", "LEAST", "pwrite", "set_direct"]

BLOCK = 4096
"""Offsets, lengths and addresses are multiples of this; no file system in use asks for more."""
LEAST = 256 * 1024
"""Bytes from which it pays."""
_O_DIRECT = getattr(os, "O_DIRECT", 0)
_BOUNCE = 1 << 20
_local = local()


def set_direct(fd: int, on: bool) -> bool:
    """Turn direct access of an open file on or off; False where it cannot be had. The flag is the open file's, so
    nobody else may be using the descriptor."""
    if not _O_DIRECT:
        return False
    try:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | _O_DIRECT if on else flags & ~_O_DIRECT)
    except OSError:
        return False
    return True


def pwrite(fd: int, data: Buffer, offset: int) -> None:
    """Write all of `data` at `offset`; what of it fills whole blocks goes past the cache if it is large. Any thread.

    Raises OSError.
    """
    view = memoryview(data)
    start = -offset % BLOCK
    end = len(view) - (offset + len(view)) % BLOCK
    if end - start >= LEAST and _write_blocks(fd, view[start:end], offset + start):
        _write_cached(fd, view[:start], offset)
        _write_cached(fd, view[end:], offset + end)
    else:
        _write_cached(fd, view, offset)


def _write_cached(fd: int, view: memoryview, offset: int) -> None:
    while view:
        count = os.pwrite(fd, view, offset)
        view, offset = view[count:], offset + count


def _write_blocks(fd: int, view: memoryview, offset: int) -> bool:
    """Whether all was written directly; what was not is to be written again."""
    if not _O_DIRECT:
        return False
    try:  # another open file, whose flags are nobody else's
        direct = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_CLOEXEC | _O_DIRECT)
    except OSError:
        return False
    bounce: memoryview | None = getattr(_local, "bounce", None)
    if bounce is None:
        bounce = _local.bounce = zeroed(_BOUNCE)
    try:
        for at in range(0, len(view), _BOUNCE):
            piece = bounce[: min(_BOUNCE, len(view) - at)]
            piece[:] = view[at : at + len(piece)]
            if os.pwrite(direct, piece, offset + at) != len(piece):
                return False
    except OSError:
        return False  # the cached write tells what is wrong, if it is not just this
    finally:
        os.close(direct)
    return True
