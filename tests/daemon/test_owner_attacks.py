"""Web pages and other users reach for the owner's interface."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from peerage.daemon.owner import OwnerServer
from peerage.flow.context import Report
from peerage.net.owner_client import SOCKET, acall


class Owner:
    """An interface whose only verb counts how often it was run."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ran = 0
        self.server = OwnerServer(home, {"prune": self.prune}, {})

    async def prune(self, _params: dict[str, Any], _report: Report) -> dict[str, Any]:
        self.ran += 1
        return {}


@asynccontextmanager
async def serving(home: Path) -> AsyncIterator[Owner]:
    owner = Owner(home)
    await owner.server.start()
    try:
        yield owner
    finally:
        await owner.server.stop()


def listening() -> set[str]:
    """Inodes of this process's TCP sockets that listen."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found.add(fields[9])
    own = set()
    for fd in Path("/proc/self/fd").iterdir():
        try:
            own.add(os.readlink(fd).removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue
    return found & own


async def test_attack_another_user_or_a_web_page_guesses_at_the_owners_interface(tmp_path: Path) -> None:
    before = listening()
    async with serving(tmp_path):
        assert listening() == before, "no port is there to be guessed at"
        assert stat.S_IMODE((tmp_path / SOCKET).stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / SOCKET).parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Origin": "https://evil.example", "Content-Type": "text/plain"}, "a form or fetch of another site"),
        ({"origin": "null"}, "a sandboxed frame"),
        ({"Origin": "http://127.0.0.1:8080"}, "a page of another program on this machine"),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, "an image or a script tag"),
        ({"Referer": "https://evil.example/"}, "a browser that sends no Origin"),
        ({"Host": "evil.example"}, "a name that was bound to this machine's address"),
        ({"Host": "evil.example:8080"}, "with a port"),
        ({"Host": "127.0.0.1.evil.example"}, "a name that looks like an address"),
        ({"Host": "owner.evil.example"}, "a name that looks like ours"),
    ],
)
async def test_attack_a_web_page_reaches_a_forwarded_owners_interface(
    tmp_path: Path, headers: dict[str, str], why: str
) -> None:
    """The owner forwarded the socket to a port; a page in the owner's browser sends requests there."""
    async with serving(tmp_path) as owner:

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            up_reader, up_writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET))
            up_writer.write(await reader.readuntil(b"\r\n\r\n"))
            while piece := await up_reader.read(65536):
                writer.write(piece)
                await writer.drain()
            writer.close()
            up_writer.close()

        async with await asyncio.start_server(forward, "127.0.0.1", 0) as port:
            url = f"http://127.0.0.1:{port.sockets[0].getsockname()[1]}"
            async with aiohttp.ClientSession(headers={"Connection": "close"}) as page:
                for send in (
                    page.post(f"{url}/v1/prune", headers=headers),
                    page.get(f"{url}/openapi.json", headers=headers),
                ):
                    async with send as answer:
                        assert answer.status == 403, why
                        assert "Access-Control-Allow-Origin" not in answer.headers
                async with page.post(f"{url}/v1/prune") as answer:
                    assert json.loads(await answer.read())["event"] == "result", "the owner's own commands are answered"
        assert owner.ran == 1
        await acall(tmp_path, "prune", {})
        assert owner.ran == 2
