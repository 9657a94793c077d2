"""The client against providers that hang, lie about lengths, or talk nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from tests.fakes import Network, Peer

from peerage.errors import PeerFault, PeerRefused, PeerUnavailable
from peerage.model import AgreementId, ShardRoot
from peerage.net.tls import trust

ROOT = ShardRoot(b"r" * 32)
AGREEMENT = AgreementId(b"a" * 32)
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def playing(network: Network, behave: Behaviour, idle_s: float = 0.5) -> AsyncIterator[tuple[Peer, Peer]]:
    """(client, provider): the provider's TLS is right, and what it says is up to the test."""
    provider = await network.add(listen=False)
    client = await network.add(listen=False, idle_s=idle_s)
    context = provider.identity.server_context()
    trust(context, [client.identity.certificate])
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await behave(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    provider.port = server.sockets[0].getsockname()[1]
    network.enlist(provider)
    try:
        yield client, provider
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def saying(answer: bytes) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await asyncio.sleep(0.05)

    return behave


def http(status: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def test_a_provider_that_never_answers_is_given_up(network: Network) -> None:
    async with playing(network, hang) as (client, provider):
        with pytest.raises(PeerUnavailable, match="in time"):
            await client.client.hello(provider.member)


async def test_a_provider_that_never_reads_is_given_up(network: Network) -> None:
    async def invite_and_hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.transport.pause_reading()
        await asyncio.sleep(60)

    async with playing(network, invite_and_hang) as (client, provider):
        with pytest.raises(PeerUnavailable):
            await client.client.put_object(provider.member, AGREEMENT, ROOT, bytes(32 << 20))


async def test_a_provider_that_drips_its_answer_is_given_up(network: Network) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http("200 OK", b"", length=1000))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(1)

    async with playing(network, drip) as (client, provider):
        with pytest.raises(PeerUnavailable):
            await client.client.get_object(provider.member, ROOT, 0, 1000)


@pytest.mark.parametrize(
    "answer",
    [
        http("200 OK", b"not json"),
        http("200 OK", b"{}"),
        http("200 OK", b'{"member":99,"protocols":[1],"release":"","free_bytes":0}'),
        http("200 OK", b"", length=1 << 40),
        http("500 Broken", b"<html>"),
        http("302 Found", b"", "location: https://127.0.0.1:1/"),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
async def test_nonsense_is_the_peers_fault(network: Network, answer: bytes) -> None:
    async with playing(network, saying(answer)) as (client, provider):
        with pytest.raises(PeerFault) as fault:
            await client.client.hello(provider.member)
        assert fault.value.member == provider.member


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0\r\n", http("200 OK", b"{", length=50)])
async def test_what_breaks_off_is_unavailable(network: Network, answer: bytes) -> None:
    async with playing(network, saying(answer)) as (client, provider):
        with pytest.raises(PeerUnavailable):
            await client.client.hello(provider.member)


@pytest.mark.parametrize("length", [5, 15])
async def test_another_length_than_asked_for_is_the_peers_fault(network: Network, length: int) -> None:
    async with playing(network, saying(http("206 Partial Content", bytes(length)))) as (client, provider):
        with pytest.raises(PeerFault):
            await client.client.get_object(provider.member, ROOT, 0, 10)


async def test_a_refusals_text_cannot_reach_the_terminal(network: Network) -> None:
    body = b'{"code":"policy_refused","message":"no\\u001b[2J\\nreally"}'
    async with playing(network, saying(http("409 Conflict", body))) as (client, provider):
        with pytest.raises(PeerRefused) as refused:
            await client.client.hello(provider.member)
    assert str(refused.value).isprintable()
    assert refused.value.code == "policy_refused"


async def test_a_listing_without_end_is_not_followed(network: Network) -> None:
    page = b'{"start":0,"total":1000000,"objects":[["%s",1]]}' % (b"ab" * 32)

    async def lists(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(http("200 OK", page))

    async with playing(network, lists) as (client, provider):
        with pytest.raises(PeerFault, match="follow"):
            await client.client.list_objects(provider.member, AGREEMENT)
