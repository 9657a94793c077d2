"""FastCDC over a file, in windows: the chunks are those of the whole file, and no chunk is copied.

The gear table is seeded from the repository key, so that chunk lengths do not reveal known files to who knows only the
public table. Normative: node/spec/chunking.md.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Literal, Protocol

from pyfastcdc import FastCDC

from peerage.model import KIB, MIB
from peerage.seal.memory import zeroed

MIN = 256 * KIB
"""No chunk but a file's last is smaller; a file smaller than this is one chunk."""
AVG = 1 * MIB
MAX = 4 * MIB
NORMALIZATION: Literal[2] = 2
"""FastCDC's normalized chunking level."""
WINDOW = 2 * MAX
"""Bytes read at a time; a chunk keeps its window alive, so memory is bounded by the windows in use."""

_SEED_MASK = 2**63 - 1
"""pyfastcdc shifts the seed left by one and takes no larger one."""

_local = threading.local()


class Windows:
    """Windows that one reader uses in turn: fresh pages cost more than reading into them does.

    A chunk cut with these is valid until COUNT - 1 more windows were read; all but a file's last give two or more.
    """

    COUNT = 4

    def __init__(self) -> None:
        self._windows: list[memoryview] = []
        self._next = 0

    def take(self) -> memoryview:
        if len(self._windows) < self.COUNT:
            self._windows.append(zeroed(MAX + WINDOW))
            return self._windows[-1]
        self._next = (self._next + 1) % self.COUNT
        return self._windows[self._next - 1]


class Readable(Protocol):
    """What is cut if it is not a file descriptor: readinto() as of a raw or buffered binary file."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


def cut(source: int | Readable, seed: int, windows: Windows | None = None) -> Iterator[bytes | memoryview]:
    """The chunks of a file, from where it is positioned to its end, lazily and in order; none for an empty file.

    source: a descriptor open for reading, or an object with readinto(), which gets memory that begins at a page. seed:
    RepositoryKey.cut_seed. Chunks stay valid for as long as they are held, unless `windows` are given. OSError from
    reading passes through.
    """
    first = bytearray(MIN)
    filled = _fill(source, memoryview(first))
    if filled < MIN:
        if filled:
            yield memoryview(first)[:filled]
        return
    cutter = _cutter(seed)
    carry = memoryview(first)
    while True:
        memory = zeroed(MAX + WINDOW) if windows is None else windows.take()
        view = memory[MAX - len(carry) :]  # what is read begins at a page
        view[: len(carry)] = carry
        count = _fill(source, memory[MAX:])
        filled = len(carry) + count
        ended = count < WINDOW
        start = 0
        # A window is cut in one go: the cutter is the thread's, and another file may be cut between two chunks.
        for length in [chunk.length for chunk in cutter.cut_buf(view[:filled])]:
            # Only the end of the file ends a chunk early: what the end of a window cut off is cut again with the next.
            if start + length == filled and not ended:
                break
            yield view[start : start + length]
            start += length
        if ended:
            return
        carry = view[start:filled]


def _fill(source: int | Readable, view: memoryview) -> int:
    """Bytes read into view: all of it, or fewer at the end of the file."""
    filled = 0
    while filled < len(view):
        rest = view[filled:]
        count = os.readv(source, [rest]) if isinstance(source, int) else source.readinto(rest)
        if not count:
            break
        filled += count
    return filled


def _cutter(seed: int) -> FastCDC:
    """This thread's cutter for a seed; making one costs more than cutting a small file."""
    cutters: dict[int, FastCDC] | None = getattr(_local, "cutters", None)
    if cutters is None:
        cutters = _local.cutters = {}
    cutter = cutters.get(seed)
    if cutter is None:
        cutter = FastCDC(AVG, min_size=MIN, max_size=MAX, normalized_chunking=NORMALIZATION, seed=seed & _SEED_MASK)
        cutters.clear()
        cutters[seed] = cutter
    return cutter
