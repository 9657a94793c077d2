"""Several endpoints of one chain: the next one takes over, a stranger never does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from tests.chain.network import free_port, start
from tests.relays import pass_on

from peerage_chain.anvil import CHAIN_ID, AnvilProcess
from peerage_chain.client import Chain
from peerage_chain.errors import ChainUnavailable, WrongChain
from peerage_chain.rpc import Rpc
from peerage_chain.sender import Sender


@asynccontextmanager
async def chain(home: Path, chain_id: int = CHAIN_ID) -> AsyncIterator[AnvilProcess]:
    anvil = AnvilProcess(home, free_port(), chain_id, block_s=0.1)
    await anvil.start()
    try:
        yield anvil
    finally:
        await anvil.stop(dump=False)


@asynccontextmanager
async def relay(port: int) -> AsyncIterator[str]:
    """Another endpoint of the chain at `port`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await pass_on(reader, writer, lambda: asyncio.open_connection("127.0.0.1", port))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def genesis_of(url: str) -> bytes:
    rpc = Rpc(url)
    try:
        return bytes.fromhex((await rpc.call("eth_getBlockByNumber", "0x0", False))["hash"][2:])
    finally:
        await rpc.close()


async def test_the_next_endpoint_takes_over_and_the_first_comes_back(tmp_path: Path) -> None:
    async with chain(tmp_path / "a") as ours, relay(ours.port) as other:
        dead = f"http://127.0.0.1:{free_port()}"
        rpc = Rpc([dead, ours.url, other], timeout_s=2, attempts=2)
        rpc.bind(CHAIN_ID, await genesis_of(ours.url))
        try:
            assert int(await rpc.call("eth_chainId"), 16) == CHAIN_ID
            assert rpc.url == ours.url, "what answered is asked first from now on"
            answers = await rpc.batch([("eth_chainId", ()), ("eth_blockNumber", ())])
            assert int(answers[0], 16) == CHAIN_ID
            assert set(await rpc.ask_all("eth_chainId")) == {ours.url, other}, "the dead one is left out"
        finally:
            await rpc.close()


async def test_all_endpoints_dead_is_said_with_their_names(tmp_path: Path) -> None:
    urls = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    rpc = Rpc(urls, timeout_s=1, attempts=1)
    try:
        with pytest.raises(ChainUnavailable) as caught:
            await rpc.call("eth_chainId")
        assert all(url in str(caught.value) for url in urls)
    finally:
        await rpc.close()


async def test_attack_an_endpoint_of_another_chain_is_passed_over(tmp_path: Path) -> None:
    async with chain(tmp_path / "a") as ours, chain(tmp_path / "b", CHAIN_ID + 1) as stranger:
        genesis = await genesis_of(ours.url)
        rpc = Rpc([stranger.url, ours.url], attempts=1)
        rpc.bind(CHAIN_ID, genesis)
        try:
            await rpc.call("eth_blockNumber")
            assert rpc.url == ours.url
            await ours.stop(dump=False)
            with pytest.raises(ChainUnavailable):
                await rpc.call("eth_blockNumber")
        finally:
            await rpc.close()
        strangers = Rpc([stranger.url, stranger.url], attempts=1)
        strangers.bind(CHAIN_ID, genesis)
        try:
            with pytest.raises(WrongChain, match="another chain"):
                await strangers.call("eth_blockNumber")
        finally:
            await strangers.close()


async def test_what_is_sent_survives_a_change_of_endpoint(tmp_path: Path) -> None:
    async with chain(tmp_path / "a") as ours:
        genesis = await genesis_of(ours.url)
        async with relay(ours.port) as first:
            rpc = Rpc([first, ours.url], timeout_s=2, attempts=2)
            rpc.bind(CHAIN_ID, genesis)
            sender = Sender(rpc, bytes(31) + b"\x01", CHAIN_ID)
            await sender.send("0x5FbDB2315678afecb367f032d93F642f64180aa3", b"")
            assert rpc.url == first
            sending = asyncio.gather(
                *(sender.send("0x5FbDB2315678afecb367f032d93F642f64180aa3", b"") for _ in range(3))
            )
        await rpc.close()  # the connections that the relay had open
        try:
            await sending
            assert rpc.url == ours.url
            count = await rpc.call("eth_getTransactionCount", sender.address, "latest")
            assert int(count, 16) == 4, "each once"
        finally:
            await rpc.close()


async def test_attack_an_endpoint_that_lies_about_a_block_is_seen(tmp_path: Path) -> None:
    network = await start(tmp_path / "chain")
    try:
        async with relay(network.anvil.port) as honest, liar(network.anvil.port) as lying:
            urls = [network.url, honest, lying]
            async with await Chain.connect(urls, chain_id=CHAIN_ID, genesis=network.observer.genesis) as chain_:
                hashes = await chain_.compare_endpoints(2)
        assert hashes[network.url] == hashes[honest] != hashes[lying]
    finally:
        await network.close()


@asynccontextmanager
async def liar(port: int) -> AsyncIterator[str]:
    """An endpoint that shows every block but the first with another hash."""

    async def answer(request: web.Request) -> web.Response:
        asked = await request.json()
        async with ClientSession() as session, session.post(f"http://127.0.0.1:{port}", json=asked) as response:
            answer = await response.json()
        if not isinstance(asked, list) and asked["method"] == "eth_getBlockByNumber" and asked["params"][0] != "0x0":
            answer["result"]["hash"] = "0x" + "66" * 32
        return web.json_response(answer)

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
