"""Bytes of files in blocks: a bounded cache for all of them, which reads ahead of who reads on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import RLock
from typing import Any, Protocol

from peerage.errors import PeerageError

File = tuple[bytes, bytes]
BLOCK = 1 << 20
KEPT = 64
"""Blocks in memory at most, but for those that are being waited for."""
AHEAD = 8
"""Blocks that are asked for before they are wanted, once a file is read in order."""
RUN = 4
"""Blocks of one request at most."""
WAIT_S = 150.0


class Source(Protocol):
    def read(
        self, file: File, offset: int, length: int, on_data: Callable[[bytes], object]
    ) -> Future[dict[str, Any]]: ...


class Handle:
    """One opening of a file. size: bytes."""

    __slots__ = ("file", "highest", "size", "streak")

    def __init__(self, file: File, size: int) -> None:
        self.file = file
        self.size = size
        self.highest = -1
        self.streak = 0


class Blocks:
    """Thread-safe."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._blocks: OrderedDict[tuple[File, int], Future[bytes]] = OrderedDict()
        self._lock = RLock()

    def read(self, handle: Handle, offset: int, length: int) -> bytes:
        """Bytes [offset, offset+length) as far as the file goes. Raises PeerageError."""
        end = min(offset + length, handle.size)
        if offset >= end:
            return b""
        first, last = offset // BLOCK, (end - 1) // BLOCK
        with self._lock:
            wanted = self._need(handle, range(first, last + 1))
            if self._reads_on(handle, first, last):
                self._need(handle, range(last + 1, min(last + 1 + AHEAD, -(-handle.size // BLOCK))))
        out = bytearray()
        for number, future in wanted:
            try:
                block = future.result(WAIT_S)
            except TimeoutError:
                raise PeerageError("the daemon does not answer: see its log") from None
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
        for key in [k for k, f in self._blocks.items() if f.done()][: max(len(self._blocks) - KEPT, 0)]:
            del self._blocks[key]
        return found

    def _ask(self, handle: Handle, first: int, futures: list[Future[bytes]]) -> None:
        start = first * BLOCK
        length = min(len(futures) * BLOCK, handle.size - start)
        data = bytearray()
        given = 0

        def take(piece: bytes) -> None:
            nonlocal given
            data.extend(piece)
            while given < len(futures) and (len(data) >= BLOCK or given * BLOCK + len(data) >= length):
                futures[given].set_result(bytes(data[:BLOCK]))
                del data[:BLOCK]
                given += 1

        def end(answer: Future[dict[str, Any]]) -> None:
            error = answer.exception() if not answer.cancelled() else PeerageError("the mount is ending")
            if error is None and given == len(futures):
                return
            with self._lock:  # the next reader asks again
                for number in range(first + given, first + len(futures)):
                    self._blocks.pop((handle.file, number), None)
            for future in futures[given:]:
                future.set_exception(error or PeerageError("the daemon sent less of a file than there is"))

        self._source.read(handle.file, start, length, take).add_done_callback(end)
