"""The data verbs of the owner's interface, over its real socket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.flow.network import network

from peerage.daemon.owner import DataVerb, OwnerServer, Write
from peerage.daemon.reading import ReadingVerbs
from peerage.errors import PeerageError, TooFewShards, UserError
from peerage.flow import fetch
from peerage.flow.backup import backup
from peerage.flow.context import silent
from peerage.net.owner_client import RemoteError, call, call_data

MIB = 1 << 20
Ask = Callable[..., Awaitable[dict[str, Any]]]


@asynccontextmanager
async def serving(home: Path, **verbs: DataVerb) -> AsyncIterator[tuple[OwnerServer, bytearray, Ask]]:
    """A server, what a caller got, and a way to call."""
    server = OwnerServer(home, {}, verbs)
    await server.start()
    got = bytearray()

    async def ask(verb: str, **params: Any) -> dict[str, Any]:
        return await asyncio.to_thread(call_data, home, verb, params, got.extend)

    try:
        yield server, got, ask
    finally:
        await server.stop()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


async def test_data_arrives_whole_and_the_writer_waits_for_its_reader(home: Path) -> None:
    payload = os.urandom(3 * MIB + 17)

    async def give(params: dict[str, Any], write: Write) -> dict[str, Any]:
        for _ in range(params["times"]):
            await write(payload)
        return {"times": params["times"]}

    async with serving(home, give=give) as (_, got, ask):
        assert await ask("give", times=5) == {"times": 5}
        assert got == payload * 5
        assert await ask("give", times=0) == {"times": 0}


async def test_a_stream_that_fails_or_is_cut_never_looks_whole(home: Path) -> None:
    running = asyncio.Event()

    async def fail(_params: dict[str, Any], write: Write) -> dict[str, Any]:
        await write(b"the first half")
        raise TooFewShards("a pack is lost")

    async def crash(_params: dict[str, Any], _write: Write) -> dict[str, Any]:
        raise ZeroDivisionError

    async def hang(_params: dict[str, Any], write: Write) -> dict[str, Any]:
        await write(b"x")
        running.set()
        await asyncio.sleep(3600)
        return {}

    async with serving(home, fail=fail, crash=crash, hang=hang) as (server, got, ask):
        with pytest.raises(RemoteError, match="a pack is lost") as caught:
            await ask("fail")
        assert (caught.value.exit_code, caught.value.kind, got) == (8, "TooFewShards", b"the first half")
        with pytest.raises(RemoteError, match="see its log") as caught:
            await ask("crash")
        assert caught.value.exit_code == 1
        with pytest.raises(RemoteError, match="differ in version"):
            await ask("nothing")
        cut = asyncio.create_task(ask("hang"))
        await running.wait()
        await server.stop()
        with pytest.raises(PeerageError, match=r"went away|closed the connection"):
            await cut
    with pytest.raises(UserError, match="no daemon runs"):
        await asyncio.to_thread(call_data, home, "fail", {}, got.extend)
    with pytest.raises(UserError, match="no daemon runs"):
        await asyncio.to_thread(call, home, "ping", {})


async def test_work_ends_when_the_caller_leaves(home: Path) -> None:
    ended = asyncio.Event()

    async def endless(_params: dict[str, Any], write: Write) -> dict[str, Any]:
        try:
            while True:
                await write(bytes(MIB))
        finally:
            ended.set()

    async with serving(home, endless=endless):
        left = 5

        def enough(_data: bytes) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise BrokenPipeError

        with pytest.raises(BrokenPipeError):
            await asyncio.to_thread(call_data, home, "endless", {}, enough)
        await asyncio.wait_for(ended.wait(), 5)


async def test_cat_gives_files_and_nothing_else(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_PAUSE_S", 0.01)
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True)
    (source / "file").write_bytes(os.urandom(12 * MIB))
    (source / "link").symlink_to("file")
    odd = source / os.fsdecode(b"\xff")
    odd.write_bytes(b"odd")
    with network(tmp_path) as (context, _, peers):
        await backup(context, [os.fsencode(source)], silent)
        async with serving(home, cat=ReadingVerbs(lambda: context).cat) as (_, got, ask):
            path = str(source / "file")
            assert (await ask("cat", snapshot="latest", path=path))["bytes"] == 12 * MIB
            assert got == (source / "file").read_bytes()
            got.clear()
            await ask("cat", snapshot="latest", path=path, offset=MIB, length=10)
            await ask("cat", snapshot="latest", path=str(odd))
            assert got == (source / "file").read_bytes()[MIB : MIB + 10] + b"odd"
            for name, said in (("folder", "is a directory"), ("link", "is a symlink"), ("none", "not in the snapshot")):
                with pytest.raises(RemoteError, match=said) as caught:
                    await ask("cat", snapshot="latest", path=str(source / name))
                assert caught.value.exit_code == 5
            with pytest.raises(RemoteError, match="offset"):
                await ask("cat", snapshot="latest", path=path, offset=-1)
        async with serving(home, cat=ReadingVerbs(lambda: context).cat) as (_, got, ask):
            await ask("cat", snapshot="latest", path=str(odd))
            for shelf in peers.shelves.values():
                shelf.down = True
            with pytest.raises(RemoteError) as caught:
                await ask("cat", snapshot="latest", path=path)
            assert caught.value.exit_code == 8
