"""A stream becomes a snapshot of one file: a database's dump that is piped in, never on this disk."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass

from peerage.chunk.cut import cut
from peerage.errors import PeerageError, UserError
from peerage.flow.packer import Packer
from peerage.flow.progress import Progress
from peerage.model import BlobKind, ChunkId
from peerage.snapshot.tree import Entry, EntryType, encode_tree
from peerage.source.owners import group_name, user_name

SEALERS = 3
_AHEAD = 2 * SEALERS
"""Chunks cut and not yet stored; each keeps a window of 8 MiB alive."""


@dataclass(frozen=True, slots=True)
class Stream:
    """name: the file's, in the snapshot. read: the next bytes, none at the true end; raises when the stream broke."""

    name: bytes
    read: Callable[[], Awaitable[bytes]]

    def __post_init__(self) -> None:
        """Raises UserError for a name that no file can have."""
        name = self.name
        if not 0 < len(name) <= 255 or name in (b".", b"..") or b"/" in name or b"\x00" in name:
            raise UserError(f"{os.fsdecode(name)!r} is no file name: give one of 1 to 255 bytes without a slash")


class StreamArchiver:
    """Archives one stream into the packers, as Archiver does trees. `run` blocks; make it on the loop, call it in a
    thread. Memory is flat but for 32 bytes a chunk."""

    def __init__(
        self,
        stream: Stream,
        data: Packer,
        meta: Packer,
        cut_seed: int,
        progress: Progress,
        expect: Callable[[int], None],
    ) -> None:
        """expect: is told on the loop how many bytes may still come: as many as have come."""
        self._stream = stream
        self._data = data
        self._meta = meta
        self._cut_seed = cut_seed
        self._progress = progress
        self._source = _LoopSource(stream.read, progress, expect)

    def stop(self) -> None:
        self._source.stop()

    def run(self, _paths: Sequence[bytes]) -> tuple[bytes, bytes]:
        """Returns (ids of the root tree's blobs, the prefix of its path). Raises what reading raises."""
        self._progress.current = self._stream.name
        ids: list[ChunkId] = []
        storing: deque[Future[ChunkId]] = deque()
        with ThreadPoolExecutor(SEALERS, "stream") as pool:
            for chunk in cut(self._source, self._cut_seed):
                storing.append(pool.submit(self._data.store, BlobKind.DATA, chunk))
                if len(storing) >= _AHEAD:
                    ids.append(storing.popleft().result())
            ids.extend(future.result() for future in storing)
        content, depth = self._meta.store_content(ids)
        entry = Entry(
            name=self._stream.name,
            type=EntryType.FILE,
            mode=0o600,
            uid=os.getuid(),
            gid=os.getgid(),
            user=user_name(os.getuid()),
            group=group_name(os.getgid()),
            mtime_ns=time.time_ns(),
            size=self._source.taken,
            content=content,
            depth=depth,
        )
        self._progress.files = 1
        return b"".join(self._meta.store(BlobKind.TREE, blob) for blob in encode_tree([entry])), b"/"


class _LoopSource:
    """What a coroutine function gives, for a thread that reads: readinto as a raw binary file has it."""

    def __init__(self, read: Callable[[], Awaitable[bytes]], progress: Progress, expect: Callable[[int], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._read = read
        self._progress = progress
        self._expect = expect
        self._asked: Future[bytes] | None = None
        self._rest = memoryview(b"")
        self._stopped = False
        self.taken = 0

    def stop(self) -> None:
        self._stopped = True
        if self._asked is not None:
            self._asked.cancel()

    def readinto(self, buffer: memoryview) -> int:
        if not self._rest:
            self._asked = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
            if self._stopped:
                self._asked.cancel()
            try:
                self._rest = memoryview(self._asked.result())
            except CancelledError:
                raise PeerageError("the backup was stopped") from None
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self.taken += count
        self._progress.size = self._progress.size_read = self.taken
        return count

    async def _next(self) -> bytes:
        self._expect(self.taken)
        return await self._read()
