"""Bytes of files in blocks: a bounded cache for all of them, which reads ahead of who reads on.

In a large file that is the blocks behind; of small files, those behind it in its directory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import RLock
from typing import Any, Protocol

from peerage.errors import PeerageError

File = tuple[bytes, bytes]
Asked = list[tuple[tuple[File, int], Future[bytes]]]
BLOCK = 1 << 20
KEPT_BYTES = 64 * BLOCK
KEPT = 4096
"""Bytes and blocks in memory at most, but for those that are being waited for."""
SMALL = 128 << 10
"""A file of at most so many bytes is read whole, and others of its directory with it."""
TOGETHER = 128
"""Files of one request at most; the first of a directory is asked for alone, then four times as many each time."""
_DIRECTORIES = 16
_HEAD_START = 2
AHEAD = 8
"""Blocks that are asked for before they are wanted, once a file is read in order."""
RUN = 4
"""Blocks of one request at most."""
WAIT_S = 150.0


class Source(Protocol):
    def read(
        self, file: File, offset: int, length: int, on_data: Callable[[bytes], object]
    ) -> Future[dict[str, Any]]: ...
    def files(self, ids: bytes, names: list[bytes], on_data: Callable[[bytes], object]) -> Future[dict[str, Any]]: ...


class Handle:
    """One opening of a file. size: bytes. following(n): the names of n small files behind it in its directory."""

    __slots__ = ("file", "following", "highest", "size", "streak")

    def __init__(self, file: File, size: int, following: Callable[[int], list[bytes]]) -> None:
        self.file = file
        self.size = size
        self.following = following
        self.highest = -1
        self.streak = 0


class Blocks:
    """Thread-safe."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._blocks: OrderedDict[tuple[File, int], Future[bytes]] = OrderedDict()
        self._bytes = 0
        self._asked: OrderedDict[bytes, int] = OrderedDict()
        """How often small files of a directory were asked for lately."""
        self._pace = 0
        self._lock = RLock()

    def read(self, handle: Handle, offset: int, length: int) -> bytes:
        """Bytes [offset, offset+length) as far as the file goes. Raises PeerageError."""
        end = min(offset + length, handle.size)
        if offset >= end:
            return b""
        first, last = offset // BLOCK, (end - 1) // BLOCK
        if handle.size <= SMALL:
            try:
                whole = _result(self._small(handle))
            except PeerageError:  # what it was asked for together with may be what cannot be had
                whole = _result(self._small(handle, alone=True))
            return whole[offset:end]
        with self._lock:
            wanted = self._need(handle, range(first, last + 1))
            if self._reads_on(handle, first, last):
                self._need(handle, range(last + 1, min(last + 1 + AHEAD, -(-handle.size // BLOCK))))
        out = bytearray()
        for number, future in wanted:
            block = _result(future)
            low, high = max(offset - number * BLOCK, 0), min(end - number * BLOCK, BLOCK)
            out += memoryview(block)[low:high]
        return bytes(out)

    @staticmethod
    def _reads_on(handle: Handle, first: int, last: int) -> bool:
        """Whether this file is being read in order, by now for two blocks. The kernel's own reads ahead may overtake
        each other a little."""
        if handle.highest - 2 <= first <= handle.highest + 1:
            handle.streak += last > handle.highest
            handle.highest = max(handle.highest, last)
        else:
            handle.streak, handle.highest = 0, last
        return handle.streak >= 2

    def _need(self, handle: Handle, numbers: range) -> list[tuple[int, Future[bytes]]]:
        """The blocks' futures; those that nobody has asked for yet are asked for, several in one request."""
        found: list[tuple[int, Future[bytes]]] = []
        missing: list[int] = []
        for number in numbers:
            key = handle.file, number
            future = self._blocks.get(key)
            if future is None:
                future = self._blocks[key] = Future()
                missing.append(number)
            self._blocks.move_to_end(key)
            found.append((number, future))
        while missing:
            run = 1
            while run < min(RUN, len(missing)) and missing[run] == missing[run - 1] + 1:
                run += 1
            self._ask(handle, missing[0], [self._blocks[handle.file, number] for number in missing[:run]])
            missing = missing[run:]
        self._let_go()
        return found

    def _let_go(self) -> None:
        """Drop what was used longest ago. Under the lock."""
        if self._bytes <= KEPT_BYTES and len(self._blocks) <= KEPT:
            return
        for key, future in list(self._blocks.items()):
            if self._bytes <= KEPT_BYTES and len(self._blocks) <= KEPT:
                return
            if future.done():
                del self._blocks[key]
                self._bytes -= len(future.result())

    def _give(self, future: Future[bytes], block: bytes) -> None:
        with self._lock:
            self._bytes += len(block)
            future.set_result(block)

    def _fail(self, futures: Asked, answer: Future[dict[str, Any]]) -> None:
        """What was not answered is forgotten, so that the next reader asks again."""
        error = PeerageError("the mount is ending") if answer.cancelled() else answer.exception()
        with self._lock:
            for key, _ in futures:
                self._blocks.pop(key, None)
        for _, future in futures:
            future.set_exception(error or PeerageError("the daemon sent less of a file than there is"))

    def _small(self, handle: Handle, alone: bool = False) -> Future[bytes]:
        """A small file whole. If it must be asked for, so are some of those behind it, more each time."""
        ids, name = handle.file
        with self._lock:
            known = self._blocks.get((handle.file, 0))
            if known is not None:
                self._blocks.move_to_end((handle.file, 0))
                return known
            # A directory begins where the one before got to, as when a whole tree is read.
            times = 0 if alone else self._asked.pop(ids, min(self._pace, _HEAD_START))
            self._pace = times
            self._asked[ids] = times + 1
            if len(self._asked) > _DIRECTORIES:
                self._asked.popitem(last=False)
        names = [name, *handle.following(min(4 ** min(times, 8), TOGETHER) - 1)]
        with self._lock:
            wanted = [n for n in names if ((ids, n), 0) not in self._blocks]
            futures: Asked = [(((ids, n), 0), Future()) for n in wanted]
            self._blocks.update(futures)
            found = self._blocks[handle.file, 0]
            self._let_go()
        if futures:
            self._ask_small(ids, wanted, futures)
        return found

    def _ask_small(self, ids: bytes, names: list[bytes], futures: Asked) -> None:
        data = bytearray()
        given = 0

        def take(piece: bytes) -> None:
            nonlocal given
            data.extend(piece)
            while len(data) >= 4 and len(data) >= 4 + (length := int.from_bytes(data[:4], "big")):
                self._give(futures[given][1], bytes(data[4 : 4 + length]))
                del data[: 4 + length]
                given += 1

        def end(answer: Future[dict[str, Any]]) -> None:
            if given < len(futures):
                self._fail(futures[given:], answer)

        self._source.files(ids, names, take).add_done_callback(end)

    def _ask(self, handle: Handle, first: int, futures: list[Future[bytes]]) -> None:
        start = first * BLOCK
        length = min(len(futures) * BLOCK, handle.size - start)
        data = bytearray()
        given = 0

        def take(piece: bytes) -> None:
            nonlocal given
            data.extend(piece)
            while given < len(futures) and (len(data) >= BLOCK or given * BLOCK + len(data) >= length):
                self._give(futures[given], bytes(data[:BLOCK]))
                del data[:BLOCK]
                given += 1

        def end(answer: Future[dict[str, Any]]) -> None:
            if given < len(futures):
                keys = [(handle.file, number) for number in range(first + given, first + len(futures))]
                self._fail(list(zip(keys, futures[given:], strict=True)), answer)

        self._source.read(handle.file, start, length, take).add_done_callback(end)


def _result(future: Future[bytes]) -> bytes:
    try:
        return future.result(WAIT_S)
    except TimeoutError:
        raise PeerageError("the daemon does not answer: see its log") from None
