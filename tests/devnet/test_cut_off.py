"""One provider alone is cut off from the chain while it serves on: it is penalised, and appeals by itself."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.devnet.conftest import Devnet
from tests.relays import Streams, relay

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(400)]

EPOCH_S = 5
LOST_EPOCHS = 5
"""The first of them is proven by then; the fourth miss is appealable, the sixth ends the agreement."""


class Line:
    """A way to the chain that can be cut and mended."""

    def __init__(self, rpc: str) -> None:
        self._to = urlsplit(rpc)
        self._whole = True
        self._open: list[asyncio.StreamWriter] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def connect(self) -> Streams:
        self._loop = asyncio.get_running_loop()
        if not self._whole:
            raise ConnectionRefusedError
        reader, writer = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._open.append(writer)
        return reader, writer

    def cut(self) -> None:
        assert self._loop is not None, "nobody has called yet"
        self._whole = False
        self._loop.call_soon_threadsafe(lambda: [writer.transport.abort() for writer in self._open])

    def mend(self) -> None:
        self._whole = True


def test_who_was_cut_off_alone_appeals_by_itself(make_devnet: Callable[..., Devnet], tmp_path: Path) -> None:
    devnet = make_devnet(6, EPOCH_S)
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(random.Random(1).randbytes(2_000_000))
    devnet.node(1, "backup", source)
    line = Line(devnet.rpc)
    with relay(line.connect) as url:
        config = devnet.directory / "node2" / "config.toml"
        text, changed = re.subn(r"(?m)^rpc = .*$", f'rpc = ["{url}"]', config.read_text())
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
