"""One provider alone is cut off from the chain while it serves on: it is penalised, and appeals by itself."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.devnet.conftest import Devnet
from tests.relays import pass_on

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(400)]

EPOCH_S = 5
LOST_EPOCHS = 5
"""The first of them is proven by then; the fourth miss is appealable, the sixth ends the agreement."""


class Line:
    """A way to the chain that can be cut and mended."""

    def __init__(self, rpc: str) -> None:
        self._to = urlsplit(rpc)
        self._whole = threading.Event()
        self._whole.set()
        self._ended = threading.Event()
        self._open: set[asyncio.StreamWriter] = set()
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(listener)))
        self._thread.start()

    async def _run(self, listener: socket.socket) -> None:
        async with await asyncio.start_server(self._serve, sock=listener):
            while not self._ended.is_set():
                await asyncio.sleep(0.1)
                if not self._whole.is_set():
                    self._abort()
            self._abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole.is_set():
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            with contextlib.suppress(OSError):
                await pass_on(reader, writer, lambda: asyncio.open_connection(self._to.hostname, self._to.port))
        finally:
            self._open.discard(writer)

    def _abort(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    def end(self) -> None:
        self._ended.set()
        self._thread.join(10)


def test_who_was_cut_off_alone_appeals_by_itself(make_devnet: Callable[..., Devnet], tmp_path: Path) -> None:
    devnet = make_devnet(6, EPOCH_S)
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(random.Random(1).randbytes(2_000_000))
    devnet.node(1, "backup", source)
    line = Line(devnet.rpc)
    try:
        config = devnet.directory / "node2" / "config.toml"
        text, changed = re.subn(r"(?m)^rpc = .*$", f'rpc = ["{line.url}"]', config.read_text())
        assert changed == 1
        config.write_text(text)
        for act in ("kill", "start"):
            devnet.ok("devnet", act, "node2", "--home", devnet.directory)
        member = next(n["member"] for n in devnet.started["nodes"] if n["name"] == "node2")

        def row() -> dict[str, Any]:
            """What the chain says of the one's conduct."""
            return next(r for r in devnet.audit("qos")["members"] if r["member"] == member)

        def epoch() -> int:
            return int(devnet.node(1, "status")["epoch"])

        before = row()["proofs_made"]
        devnet.until(lambda: row()["proofs_made"] <= before and "nothing is proven", 10)
        begun = epoch()
        devnet.until(lambda: epoch() == begun and "an epoch begins", 2)
        begun = epoch()
        time.sleep(EPOCH_S / 2)  # so that this one is still proven
        line.cut()
        devnet.until(lambda: epoch() < begun + LOST_EPOCHS and "it is cut off", LOST_EPOCHS + 2)
        line.mend()
        devnet.until(lambda: not devnet.node(2, "status")["appeals"] and "no appeal", 15)
        assert row()["proofs_missed"] >= 4
        assert all(r["verified"] for r in devnet.audit("qos")["members"])
    finally:
        line.end()
