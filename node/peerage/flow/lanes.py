"""The daemon's side of its lanes: worker processes that take a backup's file work out of this interpreter.

Processes, and not forks: the daemon has threads. Their memory is bounded by flow/lane.py, ours by one buffer for each.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from socket import SocketIO

from peerage.chunk.cut import MAX
from peerage.errors import LocalFault
from peerage.flow.lane import CHUNK, DONE, EXTENT, FACTS, FAILED, FILE, HEAD, KNOWN, SETUP
from peerage.model import ChunkId
from peerage.seal.keys import RepositoryKey
from peerage.seal.memory import zeroed
from peerage.snapshot.tree import MAX_EXTENTS
from peerage.source.stream import is_sparse

_READ_AHEAD = 256 * 1024
_ENDING_S = 5.0
_BODY = max(MAX, FACTS.size + MAX_EXTENTS * EXTENT.size)  # memory is taken only where it is written

Keep = Callable[[ChunkId, int, memoryview | None], None]
"""Stores a chunk: id, length, payload; None for one that the lane believes known. The payload is reused afterwards."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a lane read of a file. extents: None for a file without holes; after: source.facts() when it was read."""

    ids: list[ChunkId]
    read: int
    extents: list[tuple[int, int]] | None
    started_ns: int
    after: tuple[int, int, int, int, int]


class Lane:
    """One worker process. For one thread at a time, but for stop()."""

    def __init__(self, key: RepositoryKey, catalogue: Path) -> None:
        self._requests, requests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._answers, answers = socket.socketpair()
        numbers = (requests.fileno(), answers.fileno())
        with requests, answers:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
                    [sys.executable, "-m", "peerage.flow.lane", *map(str, numbers)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=numbers,
                )
            except OSError as error:
                self._requests.close()
                self._answers.close()
                raise LocalFault(
                    f"a backup worker cannot be started ({error.strerror}): free memory and retry"
                ) from None
        self._reader = BufferedReader(SocketIO(self._answers, "r"), _READ_AHEAD)
        self._body = zeroed(_BODY)
        with contextlib.suppress(OSError):  # one that has ended already is noticed when it is first asked
            self._requests.send(SETUP.pack(key.chunk_id_key, key.cut_seed) + os.fsencode(catalogue.absolute()))

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, files: Sequence[tuple[int, os.stat_result]]) -> None:
        """Give it open files, MAX_BATCH at most, with what they were before; the descriptors stay the caller's.

        Raises LocalFault when the worker is gone, like receive().
        """
        message = b"".join(FILE.pack(before.st_size, is_sparse(before)) for _, before in files)
        try:
            socket.send_fds(self._requests, [message], [fd for fd, _ in files])
        except OSError:
            raise self._lost() from None

    def receive(self, keep: Keep) -> Stored:
        """The next file that was sent. Raises OSError when that file could not be read."""
        ids: list[ChunkId] = []
        while True:
            tag, length, number, id = HEAD.unpack(self._take(HEAD.size))
            body = self._take(length)
            if tag in (CHUNK, KNOWN):
                ids.append(ChunkId(id))
                keep(ids[-1], number, body if tag == CHUNK else None)
            elif tag == DONE:
                started_ns, read, sparse, *after = FACTS.unpack_from(body)
                extents = [(at, size) for at, size in EXTENT.iter_unpack(body[FACTS.size :])] if sparse else None
                return Stored(ids, read, extents, started_ns, (after[0], after[1], after[2], after[3], after[4]))
            elif tag == FAILED:
                raise OSError(number, bytes(body).decode(errors="replace"))
            else:
                raise LocalFault("a backup worker answers what this release does not know: restart the daemon")

    def stop(self) -> None:
        """End it soon, from any thread; who waits for it gets LocalFault."""
        for one in (self._requests, self._answers):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it and wait until it has ended."""
        self.stop()
        self._reader.close()
        self._answers.close()
        self._requests.close()
        try:
            self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in a read that nothing interrupts
                self._process.wait(_ENDING_S)

    def _take(self, length: int) -> memoryview:
        if length > len(self._body):
            raise LocalFault(f"a backup worker (process {self.pid}) answers too much: restart the daemon")
        view = self._body[:length]
        try:
            complete = self._reader.readinto(view) == length
        except OSError:
            complete = False
        if not complete:
            raise self._lost()
        return view

    def _lost(self) -> LocalFault:
        return LocalFault(f"a backup worker (process {self.pid}) ended early: back up again, see the node's log")


class Lanes:
    """The lanes of one backup, started when first needed. Thread-safe; no more than there are borrowers at once."""

    def __init__(self, key: RepositoryKey, catalogue: Path) -> None:
        self._key = key
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._all: list[Lane] = []
        self._idle: list[Lane] = []
        self._stopped = False

    @contextmanager
    def borrow(self) -> Iterator[Lane]:
        """A lane for this thread alone. After an exception inside the block it is not lent again."""
        with self._lock:
            if self._stopped:
                raise LocalFault("the backup was stopped")
            if not self._idle:
                self._all.append(Lane(self._key, self._catalogue))
                self._idle.append(self._all[-1])
            lane = self._idle.pop()
        yield lane
        with self._lock:
            self._idle.append(lane)

    def stop(self) -> None:
        """Whoever uses a lane gets LocalFault soon."""
        with self._lock:
            self._stopped = True
            lanes = list(self._all)
        for lane in lanes:
            lane.stop()

    def close(self) -> None:
        """End all lanes; nobody uses one any more."""
        self.stop()
        for lane in self._all:
            lane.stop()
        for lane in self._all:
            lane.close()
