"""Requests to the daemon from many threads at once; each has a connection of its own, so a daemon may come and go."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from peerage.errors import PeerageError
from peerage.net import owner_client
from peerage.snapshot.tree import Entry, decode_tree

T = TypeVar("T")
TIMEOUT_S = 120.0
File = tuple[bytes, bytes]
"""The ids of the directory's tree blobs, and the name in it."""


class Daemon:
    """Use as a context manager. Every request ends within TIMEOUT_S, and raises PeerageError."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._loop = asyncio.new_event_loop()
        self._connections = owner_client.Connections(home)
        self._thread = threading.Thread(target=self._loop.run_forever, name="owner's socket", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._begin(self._connections.__aenter__()).result()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(TIMEOUT_S)
        self._begin(self._connections.__aexit__(None, None, None)).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def snapshots(self) -> list[dict[str, Any]]:
        """As `peerage snapshots --json` lists them."""
        listed: list[dict[str, Any]] = self._begin(owner_client.acall(self._home, "snapshots", {})).result()[
            "snapshots"
        ]
        return listed

    def root(self, snapshot: str) -> bytes:
        """The ids of a snapshot's root tree."""
        return bytes.fromhex(self._data("tree", {"snapshot": snapshot}, lambda _: None).result()["ids"])

    def directory(self, ids: bytes) -> list[Entry]:
        """The entries of a directory, by the ids of its tree blobs."""
        if not ids:
            return []
        data = bytearray()
        self._data("tree", {"ids": ids.hex()}, data.extend).result()
        return decode_tree(_split(data))

    def links(self, snapshot: str) -> dict[int, int]:
        """How many names each group of hard links has."""
        data = bytearray()
        self._data("links", {"snapshot": snapshot}, data.extend).result()
        return {int(group): count for group, count in json.loads(data).items()}

    def read(self, file: File, offset: int, length: int, on_data: Callable[[bytes], object]) -> Future[dict[str, Any]]:
        """Ask for bytes of a file, which come in order to `on_data` in another thread."""
        ids, name = file
        params = {"ids": ids.hex(), "name": os.fsdecode(name), "offset": offset, "length": length}
        return self._data("read", params, on_data)

    def files(self, ids: bytes, names: list[bytes], on_data: Callable[[bytes], object]) -> Future[dict[str, Any]]:
        """Ask for several small files of a directory: each comes behind its length (u32be)."""
        return self._data("files", {"ids": ids.hex(), "names": [os.fsdecode(name) for name in names]}, on_data)

    def _data(self, verb: str, params: dict[str, Any], on_data: Callable[[bytes], object]) -> Future[dict[str, Any]]:
        return self._begin(self._connections.data(verb, params, on_data))

    def _begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        async def bounded() -> T:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    return await work
            except TimeoutError:
                raise PeerageError(f"the daemon did not answer within {TIMEOUT_S:.0f} s: see its log") from None

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop)


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _split(data: bytearray) -> list[bytes]:
    """Blobs, each behind its length (u32be)."""
    blobs, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        blobs.append(bytes(data[at + 4 : at + 4 + length]))
        at += 4 + length
    return blobs
