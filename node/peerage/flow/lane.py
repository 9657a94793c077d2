"""A lane: the process that reads, cuts, hashes and compresses files for a backup. `python -m peerage.flow.lane`.

It gets open files over one socket (a message is a batch, with its descriptors) and answers over another, in order: for
each file its chunks, then one DONE or FAILED. It ends when its sockets close, so none outlives the daemon. Memory is
flat: a file of any size is answered chunk by chunk, and a full socket holds the lane back.

Invariant: a chunk is sent without its bytes only when this lane has sent these bytes before, or the catalogue, which
only grows while a backup runs, has it. The parent decides what is stored, and checks what it is told.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import struct
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from peerage.chunk.cut import MIN, Windows, cut
from peerage.model import ChunkId
from peerage.ports import Buffer
from peerage.seal.blob import compress
from peerage.seal.keys import keyed_id
from peerage.source import read as source
from peerage.source.stream import DataStream, cut_extents

MAX_BATCH = 64
SETUP = struct.Struct("<32sQ")
"""Chunk-id key, cut seed; the catalogue's path follows."""
FILE = struct.Struct("<Q?")
"""One for each descriptor: size, whether it may have holes."""
HEAD = struct.Struct("<BII32s")
"""Tag, length of the body behind it, then for CHUNK the plaintext's length and id, for FAILED the errno."""
CHUNK, KNOWN, DONE, FAILED = range(4)
FACTS = struct.Struct("<QQ?QqqQQ")
"""Body of DONE: when reading began (ns), bytes read, whether extents follow, source.facts() after reading."""
EXTENT = struct.Struct("<QQ")
MAX_MESSAGE = MAX_BATCH * FILE.size + SETUP.size + 4096 + 1

_NO_ID = bytes(32)
_THREADS = 2  # compressing one large file
_AHEAD = 3  # chunks of it being compressed
_GATHER = 256 * 1024  # small answers are sent together up to so many bytes
_SEEN = 200_000  # ids remembered; by then the catalogue knows most of them


class _Gone(Exception):
    """The parent does not listen any more."""


class _Worker:
    def __init__(self, setup: bytes, answers: socket.socket) -> None:
        self._key, self._seed = SETUP.unpack_from(setup)
        path = Path(os.fsdecode(setup[SETUP.size :]))
        self._answers = answers
        self._catalogue = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False, timeout=30)
        self._catalogue_lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_THREADS, "lane")
        self._windows = Windows()
        self._seen: set[ChunkId] = set()
        self._small = memoryview(bytearray(MIN))
        self._out: list[Buffer] = []
        self._out_size = 0

    def serve(self, requests: socket.socket) -> None:
        """Until the parent closes its end."""
        while True:
            message, fds, _, _ = socket.recv_fds(requests, MAX_MESSAGE, MAX_BATCH)
            if not message:
                return
            for fd, (size, sparse) in zip(fds, FILE.iter_unpack(message), strict=True):
                try:
                    self._file(fd, size, sparse)
                except OSError as error:
                    text = (error.strerror or str(error)).encode()
                    self._send(HEAD.pack(FAILED, len(text), error.errno or 0, _NO_ID), text)
                finally:
                    os.close(fd)
            self._flush()

    def _file(self, fd: int, size: int, sparse: bool) -> None:
        started_ns = time.time_ns()
        whole = [(0, size)]
        extents = source.data_extents(fd, size) if sparse else whole
        if extents == whole and size <= MIN:
            read = DataStream(fd, whole).readinto(self._small[:size])
            if read:
                self._chunk(*self._prepare(self._small[:read]))
        else:
            read = self._large(DataStream(fd, extents))
        after = source.facts(os.fstat(fd))
        kept = [] if extents == whole else cut_extents(extents, read)
        body = FACTS.pack(started_ns, read, extents != whole, *after) + b"".join(EXTENT.pack(*e) for e in kept)
        self._send(HEAD.pack(DONE, len(body), 0, _NO_ID), body)

    def _large(self, stream: DataStream) -> int:
        pending: list[Future[tuple[ChunkId, int, Buffer | None]]] = []
        read = 0
        for chunk in cut(stream, self._seed, self._windows):
            read += len(chunk)
            pending.append(self._pool.submit(self._prepare, chunk))
            if len(pending) > _AHEAD:
                self._chunk(*pending.pop(0).result())
        for future in pending:
            self._chunk(*future.result())
        return read

    def _prepare(self, raw: Buffer) -> tuple[ChunkId, int, Buffer | None]:
        """Id, length, and the payload unless the chunk is known."""
        id = keyed_id(raw, self._key)
        known = id in self._seen or self._in_catalogue(id)
        return id, len(raw), None if known else compress(raw)

    def _in_catalogue(self, id: ChunkId) -> bool:
        with self._catalogue_lock:
            return self._catalogue.execute("SELECT 1 FROM chunks WHERE id=?", (id,)).fetchone() is not None

    def _chunk(self, id: ChunkId, raw_length: int, payload: Buffer | None) -> None:
        if payload is None:
            self._send(HEAD.pack(KNOWN, 0, raw_length, id))
            return
        self._send(HEAD.pack(CHUNK, len(payload), raw_length, id), payload)
        if len(self._seen) >= _SEEN:
            self._seen.clear()
        self._seen.add(id)

    def _send(self, head: bytes, body: Buffer = b"") -> None:
        """Large bodies go at once and uncopied; the rest is gathered. `body` may be reused afterwards."""
        if len(body) >= _GATHER:
            self._out.append(head)
            self._flush()
            self._write(body)
            return
        self._out += (head, body if isinstance(body, bytes) else bytes(body))
        self._out_size += len(head) + len(body)
        if self._out_size >= _GATHER:
            self._flush()

    def _flush(self) -> None:
        gathered, self._out, self._out_size = b"".join(self._out), [], 0
        self._write(gathered)

    def _write(self, data: Buffer) -> None:
        try:
            self._answers.sendall(data)
        except OSError:
            raise _Gone from None


def main() -> None:
    """argv: the descriptors of the two sockets. The first message is SETUP: secrets come in neither argv nor env."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the daemon's to handle
    requests, answers = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    setup = requests.recv(MAX_MESSAGE)
    if setup:
        try:
            _Worker(setup, answers).serve(requests)
        except (_Gone, ConnectionError):
            return


if __name__ == "__main__":
    main()
