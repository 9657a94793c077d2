"""1,000 hostile connections against a node in a process of its own, over mutual TLS, while it serves a restore.

Prints what became of them, how long the restore took with and without them, and the node's memory (RSS, MiB).
    python -m tests.faults.load [--requests 1000] [--slow 600] [--objects 48]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pickle
import resource
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes import DOMAIN, Network

from peerage.model import MIB, AgreementId, MemberId, ShardRoot
from peerage.net.client import PeerClient
from peerage.net.tls import TlsIdentity
from peerage.shard.tree import object_tree
from peerage_chain.types import MemberInfo

IDLE_S = 4.0
OBJECT_BYTES = 2 * MIB
HOSTILE_ADDRESS = "127.0.0.2"
GROWTH_MAX_MIB = 256


@dataclass(frozen=True)
class Scene:
    """What the node's process tells: who is who, and what it stores for the restoring member."""

    port: int
    provider: MemberId
    roster: tuple[MemberInfo, ...]
    now_s: int
    certificate: bytes
    owner: TlsIdentity
    hostile: TlsIdentity
    agreement: AgreementId
    stolen: ShardRoot
    roots: tuple[ShardRoot, ...]


@dataclass
class Outcome:
    quiet_s: float = 0.0
    restore_s: float = 0.0
    restored: int = 0
    rss_before_mib: float = 0.0
    rss_peak_mib: float = 0.0
    ends: dict[str, Counter[str]] = field(default_factory=dict)


async def node(directory: Path, objects: int) -> None:
    """The node's process: serves until its input ends."""
    network = Network(directory)
    provider, owner, hostile = await network.add(idle_s=IDLE_S), await network.add(listen=False), await network.add()
    agreement, other = network.agree(owner, provider), network.agree(hostile, provider)
    assert owner.client is not None
    assert hostile.client is not None
    roots = []
    for number in range(objects):
        data = number.to_bytes(4, "big") * (OBJECT_BYTES // 4)
        root = object_tree(data).root
        await owner.client.put_object(provider.member, agreement, root, data)
        roots.append(root)
    data = b"mine" * (8 * MIB // 4)
    stolen = object_tree(data).root
    await hostile.client.put_object(provider.member, other, stolen, data)
    scene = Scene(
        provider.port,
        provider.member,
        tuple(network.ledger.newest_roster()),
        network.ledger.now_s(),
        provider.identity.certificate,
        owner.identity,
        hostile.identity,
        other,
        stolen,
        tuple(roots),
    )
    (directory / "scene").write_bytes(pickle.dumps(scene))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await network.close()


class Attack:
    """Every method is one hostile connection and gives how it ended."""

    def __init__(self, scene: Scene, patience_s: float) -> None:
        self._scene = scene
        self._patience_s = patience_s
        self._context = scene.hostile.client_context(scene.certificate)

    async def run(self, once: Callable[[], Awaitable[str]]) -> str:
        try:
            async with asyncio.timeout(self._patience_s):
                return await once()
        except TimeoutError:
            return "still open"
        except (OSError, asyncio.IncompleteReadError):
            return "closed"

    async def request(self) -> str:
        reader, writer = await self._dial()
        try:
            writer.write(self._head("GET /v1/hello"))
            answer = await reader.readuntil(b"\r\n\r\n")
            status = answer.split(b" ", 2)[1].decode()
            return status if status == "200" or b"Retry-After" in answer else f"{status} without Retry-After"
        finally:
            writer.transport.abort()

    async def no_handshake(self) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._scene.port, local_addr=(HOSTILE_ADDRESS, 0))
        return await self._drip(reader, writer, b"\x16\x03\x01\x02\x00" + b"\x01" * 400)

    async def slow_head(self) -> str:
        reader, writer = await self._dial()
        return await self._drip(reader, writer, self._head("GET /v1/hello"))

    async def slow_second_head(self) -> str:
        reader, writer = await self._dial()
        writer.write(self._head("GET /v1/none"))
        await reader.readuntil(b"\r\n\r\n")
        return await self._drip(reader, writer, self._head("GET /v1/hello"))

    async def slow_body(self) -> str:
        reader, writer = await self._dial()
        path = f"/v1/agreements/{self._scene.agreement.hex()}/objects/{'ab' * 32}"
        writer.write(self._head(f"PUT {path}", "content-length: 65536\r\n"))
        return await self._drip(reader, writer, bytes(400))

    async def never_reads(self) -> str:
        reader, writer = await self._dial(receive_bytes=64 << 10)  # else the kernel may take all of it for us
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(self._head(f"GET /v1/objects/{self._scene.stolen.hex()}"))
        await asyncio.sleep(3 * IDLE_S)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        got = 0
        try:
            while piece := await reader.read(MIB):
                if not got and piece.startswith(b"HTTP/1.1 4"):
                    return piece.split(b" ", 2)[1].decode()
                got += len(piece)
        finally:
            writer.transport.abort()
        return "cut short" if got < 8 * MIB else "whole"

    async def _dial(self, receive_bytes: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection = socket.socket()
        try:
            if receive_bytes:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            connection.setblocking(False)
            connection.bind((HOSTILE_ADDRESS, 0))
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self._scene.port))
            return await asyncio.open_connection(sock=connection, ssl=self._context, server_hostname="")
        except BaseException:
            connection.close()
            raise

    @staticmethod
    def _head(line: str, more: str = "") -> bytes:
        return f"{line} HTTP/1.1\r\nhost: x\r\npeerage-protocol: 1\r\n{more}\r\n".encode()

    @staticmethod
    async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> str:
        """A byte every half second until the node has had enough: the status that it gave, or that it hung up."""

        async def drip() -> None:
            for at in range(len(data) - 1):
                writer.write(data[at : at + 1])
                await writer.drain()
                await asyncio.sleep(0.5)

        dripping = asyncio.create_task(drip())
        try:
            answer = await reader.read(4096)
            return answer.split(b" ", 2)[1].decode() if answer.startswith(b"HTTP") else "closed"
        finally:
            dripping.cancel()
            await asyncio.gather(dripping, return_exceptions=True)
            writer.transport.abort()


def rss_mib(pid: int, what: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


async def restore(scene: Scene) -> int:
    """All objects of the restoring member, each checked against its root; how many."""
    async with PeerClient(scene.owner, lambda: scene.roster, lambda: scene.now_s, DOMAIN, idle_s=30.0) as client:
        for root in scene.roots:
            assert object_tree(await client.get_object(scene.provider, root)).root == root
    return len(scene.roots)


async def siege(directory: Path, requests: int, slow: int, objects: int) -> Outcome:
    """Carry the attack out. slow: connections over all five kinds of slowness."""
    command = (sys.executable, "-m", "tests.faults.load", "--node", str(directory), "--objects", str(objects))
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert (await asyncio.wait_for(process.stdout.readline(), 60)).strip() == b"ready"
        scene: Scene = pickle.loads((directory / "scene").read_bytes())
        outcome = Outcome(rss_before_mib=rss_mib(process.pid, "VmRSS"))
        began = time.monotonic()
        await restore(scene)
        outcome.quiet_s = time.monotonic() - began
        attack = Attack(scene, patience_s=30.0)
        kinds = (attack.no_handshake, attack.slow_head, attack.slow_second_head, attack.slow_body, attack.never_reads)
        waves: list[tuple[str, asyncio.Task[str]]] = []
        for kind in (*(kinds[i % len(kinds)] for i in range(slow)), *[attack.request] * requests):
            waves.append((kind.__name__, asyncio.create_task(attack.run(kind))))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        outcome.restored = await restore(scene)
        outcome.restore_s = time.monotonic() - began
        await asyncio.gather(*(task for _, task in waves))
        for name, task in waves:
            outcome.ends.setdefault(name, Counter())[task.result()] += 1
        await restore(scene)  # and afterwards
        outcome.rss_peak_mib = rss_mib(process.pid, "VmHWM")
        return outcome
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 30)
        except TimeoutError:
            process.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--slow", type=int, default=600)
    parser.add_argument("--objects", type=int, default=48)
    parser.add_argument("--node", type=Path, help="serve from this directory (the process that is attacked)")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))
    if options.node is not None:
        asyncio.run(node(options.node, options.objects))
        return 0
    with tempfile.TemporaryDirectory() as directory:
        outcome = asyncio.run(siege(Path(directory), options.requests, options.slow, options.objects))
    for name, ends in outcome.ends.items():
        print(f"{name:18}", json.dumps(dict(ends.most_common())))
    print(f"restore of {outcome.restored * OBJECT_BYTES // MIB} MiB: {outcome.quiet_s:.1f} s alone,", end=" ")
    print(f"{outcome.restore_s:.1f} s under attack")
    growth = outcome.rss_peak_mib - outcome.rss_before_mib
    print(f"memory of the node: {outcome.rss_before_mib:.0f} MiB before, {outcome.rss_peak_mib:.0f} MiB at most")
    failures = broken(outcome) + ([f"memory grew by {growth:.0f} MiB"] if growth > GROWTH_MAX_MIB else [])
    print("failures:", "; ".join(failures) or 0)
    return 1 if failures else 0


def broken(outcome: Outcome) -> list[str]:
    """What must not happen to a hostile connection: to stay open, to be served whole, to be refused without a word."""
    good = {"closed", "cut short", "408", "429", "400"}
    return [
        f"{name}: {end} ({count})"
        for name, ends in outcome.ends.items()
        for end, count in ends.items()
        if end not in good and not (name == "request" and end == "200")
    ]


if __name__ == "__main__":
    from tests.faults.load import main  # so that what is pickled has a name that both processes know

    sys.exit(main())
