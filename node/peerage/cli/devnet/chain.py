"""The devnet's chain: one anvil whose state survives a crash, and what the supervisor asks of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from peerage.cli.devnet.state import DevnetState
from peerage.errors import LocalFault
from peerage_chain.anvil import AnvilProcess
from peerage_chain.client import Chain
from peerage_chain.types import MemberId

DUMP_EVERY_S = 5.0
BLOCK_S = 0.5
WATCH_EVERY_S = 1.0
READY_POLL_S = 0.5


class DevnetChain:
    """Starts and keeps anvil; `readiness` watches the members become useful."""

    def __init__(self, directory: Path, devnet: DevnetState) -> None:
        self._devnet = devnet
        self._anvil = AnvilProcess(directory / "chain", devnet.rpc_port, block_s=BLOCK_S)
        self._client: Chain | None = None
        self.killed = False

    @property
    def pid(self) -> int:
        return self._anvil.pid or 0

    @property
    def url(self) -> str:
        return self._devnet.rpc

    async def start(self) -> None:
        """Start it, or start it again after `kill`."""
        await self._anvil.start()
        self.killed = False

    async def kill(self) -> None:
        """Stop it with its state, as if every validator were away; it stays so until `start`."""
        self.killed = True
        await self._anvil.stop()

    async def dump(self) -> None:
        await self._anvil.dump()

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.close()
        await self._anvil.stop()

    async def keep_until(self, stop: asyncio.Event) -> None:
        """Dump the state every few seconds until stopped. Raises LocalFault if the chain ends by itself."""
        dumping = asyncio.create_task(self._anvil.keep_dumping(DUMP_EVERY_S))
        try:
            while not stop.is_set():
                if not self._anvil.running and not self.killed:
                    raise LocalFault("the chain ended by itself: see chain/anvil.log, and 'peerage devnet up' again")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(WATCH_EVERY_S):
                        await stop.wait()
        finally:
            dumping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await dumping

    async def readiness(self, members: Sequence[int]) -> AsyncIterator[str]:
        """Yield lines of progress until every one of these members is enrolled, offering, and has beaten since now."""
        if self._client is None:
            self._client = await Chain.connect(self.url, directory=self._devnet.directory)
        wanted = {MemberId(member) for member in members}
        since = (await self._client.now()).epoch
        beating: set[MemberId] = set()
        while True:
            now = await self._client.now()
            useful = {
                member.id
                for member in await self._client.roster()
                if member.status.promises and member.live_nodes(now.timestamp_s) and member.offer.capacity > 0
            }
            for member in wanted - beating:
                if await self._client.last_beat(member) >= max(since, 1):
                    beating.add(member)
            yield f"of {len(wanted)} members, {len(wanted & useful)} offer storage and {len(beating)} beat"
            if wanted <= useful and wanted <= beating:
                return
            await asyncio.sleep(READY_POLL_S)
