"""One anvil as a child process: a real EVM chain for a devnet, whose state survives a crash.

State is dumped through RPC to a temporary file that then replaces the old one: anvil's own --state is truncated by a
kill during its dump. The dump holds all blocks and logs, so it grows by about 1.5 kB a block. After a reload the first
block takes the wall clock's time again; no block before it says what time it is now.

Every anvil process makes a first block of its own and dumps it along with the loaded one; which of the two the next
process takes for the chain's is up to the order of a hash table. So strangers are taken out of a dump before it is
loaded: else the genesis hash, by which recovery sheets know the chain, would change at the second restart.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import zlib
from contextlib import suppress
from pathlib import Path

from peerage_chain.errors import AnvilMissing, ChainUnavailable
from peerage_chain.rpc import Rpc

CHAIN_ID = 31337
GAS_LIMIT = 1_000_000_000
START_S = 20.0
HALT_POLLS, HALT_POLL_S = 3, 0.1
"""Looks without a new block, and the time between them, until a chain that mines no more counts as still."""
STOP_S = 5.0
MAX_DUMP_BYTES = 2 << 30

HOW_TO_GET_IT = "anvil was not found: run `npm ci` in contracts/, or put anvil on PATH, or name it in PEERAGE_ANVIL"


def find_anvil() -> Path:
    """The anvil program: PEERAGE_ANVIL, then PATH, then the repository's node modules. Raises AnvilMissing."""
    named = os.environ.get("PEERAGE_ANVIL")
    if named:
        if os.access(named, os.X_OK):
            return Path(named)
        raise AnvilMissing(f"PEERAGE_ANVIL names {named}, which is not a program")
    on_path = shutil.which("anvil")
    if on_path:
        return Path(on_path)
    for base in (Path(__file__).resolve().parents[2], Path.cwd()):
        for modules in sorted((base / "contracts" / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil")):
            if os.access(modules, os.X_OK):
                return modules
    raise AnvilMissing(HOW_TO_GET_IT)


class AnvilProcess:
    """anvil on 127.0.0.1:port with its state in home_dir/state.json and its output in home_dir/anvil.log."""

    def __init__(self, home_dir: Path, port: int, chain_id: int = CHAIN_ID, block_s: float = 1.0) -> None:
        self.home_dir = home_dir
        self.port = port
        self.chain_id = chain_id
        self.url = f"http://127.0.0.1:{port}"
        self.state = home_dir / "state.json"
        self._block_s = block_s
        self._process: asyncio.subprocess.Process | None = None
        self._dumping = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def command(self) -> list[str]:
        """The command line. Interval mining only: automine livelocks under concurrent senders."""
        command = [
            str(find_anvil()),
            *("-q", "--host", "127.0.0.1", "--port", str(self.port), "--chain-id", str(self.chain_id)),
            *("--block-time", f"{self._block_s:g}", "--hardfork", "cancun", "--gas-limit", str(GAS_LIMIT)),
            *("--gas-price", "0", "--block-base-fee-per-gas", "0", "--disable-min-priority-fee"),
            *("--prune-history", "100", "--slots-in-an-epoch", "1", "--accounts", "1"),
        ]
        if self.state.exists():
            command += ["--load-state", str(self.state)]
        return command

    async def start(self) -> None:
        """Start it, with the last dump if there is one; returns once it has mined a block with today's time.

        Raises AnvilMissing if it cannot be run, ends at once, or does not answer within START_S.
        """
        if self.running:
            return
        self.home_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.state.exists():
            await asyncio.to_thread(_keep_one_genesis, self.state)
        command = self.command()
        with (self.home_dir / "anvil.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            await asyncio.wait_for(self._ready(self._process), START_S)
        except TimeoutError:
            await self._end()
            raise AnvilMissing(f"anvil did not answer on port {self.port} in time; see {log.name}") from None
        except BaseException:
            await self._end()
            raise

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        rpc = Rpc(self.url, timeout_s=2.0, attempts=1)
        try:
            first: int | None = None
            while True:
                if process.returncode is not None:
                    raise AnvilMissing(
                        f"anvil ended at once; is port {self.port} taken? See {self.home_dir / 'anvil.log'}"
                    )
                with suppress(ChainUnavailable):
                    number = int(await rpc.call("eth_blockNumber"), 16)
                    first = number if first is None else first
                    if number > first:
                        break
                await asyncio.sleep(0.05)
            found = int(await rpc.call("eth_chainId"), 16)
            if found != self.chain_id:
                raise AnvilMissing(f"another chain ({found}) answers on port {self.port}: choose another port")
        finally:
            await rpc.close()

    async def dump(self) -> None:
        """Write the chain's state so that a crash at any point leaves either the old or the new one whole."""
        async with self._dumping:
            rpc = Rpc(self.url, timeout_s=60.0, attempts=1)
            try:
                answer: str = await rpc.call("anvil_dumpState")
            finally:
                await rpc.close()
            await asyncio.to_thread(_replace, self.state, answer)

    async def keep_dumping(self, every_s: float) -> None:
        """Dump for ever, a pause of every_s or twenty times the dump's own duration between, whichever is longer."""
        clock = asyncio.get_running_loop().time
        pause = every_s
        while True:
            await asyncio.sleep(pause)
            started = clock()
            # The chain may be stopping or overloaded: the next turn tries again, and stop() dumps last.
            with suppress(ChainUnavailable):
                await self.dump()
            pause = max(every_s, 20 * (clock() - started))

    async def stop(self, dump: bool = True) -> None:
        """Dump (unless told not to, or it no longer answers), then end the process and wait for it.

        Nothing is mined during this dump: anvil collects blocks and state one after the other, so a block between the
        two would be in the state and not among the blocks, and the chain that begins with it would have done what no
        event tells of.
        """
        if not self.running:
            return
        if dump:
            with suppress(ChainUnavailable, TimeoutError):
                await self._halt()
            with suppress(ChainUnavailable):
                await self.dump()
        await self._end()

    async def _halt(self) -> None:
        """Mine no more, and wait for the block that may be under way."""
        rpc = Rpc(self.url, timeout_s=10.0, attempts=1)
        try:
            await rpc.call("evm_setIntervalMining", 0)
            before, quiet = -1, 0
            async with asyncio.timeout(STOP_S):
                while quiet < HALT_POLLS:
                    now = int(await rpc.call("eth_blockNumber"), 16)
                    before, quiet = now, quiet + 1 if now == before else 0
                    await asyncio.sleep(HALT_POLL_S)
        finally:
            await rpc.close()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _keep_one_genesis(state: Path) -> None:
    """Leave only the oldest of the first blocks in a dump: later ones are of processes that loaded an earlier dump."""
    try:
        dump = json.loads(state.read_bytes())
        genesis = [block for block in dump["blocks"] if int(block["header"]["number"], 16) == 0]
        if len(genesis) < 2:
            return
        genesis.sort(key=lambda block: int(block["header"]["timestamp"], 16))
        strangers = genesis[1:]
        dump["blocks"] = [block for block in dump["blocks"] if not any(block is other for other in strangers)]
    except (ValueError, KeyError, TypeError) as error:
        raise AnvilMissing(f"{state} is not a state that anvil wrote; move it away to begin a new chain") from error
    _write_durably(state, json.dumps(dump, separators=(",", ":")).encode())


def _replace(target: Path, answer: str) -> None:
    inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    data = inflate.decompress(bytes.fromhex(answer.removeprefix("0x")), MAX_DUMP_BYTES)
    if inflate.unconsumed_tail or not inflate.eof:
        raise ChainUnavailable("anvil's state does not unpack whole; the last good dump stays")
    _write_durably(target, data)


def _write_durably(target: Path, data: bytes) -> None:
    temporary = target.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    # fsync the parent too: a rename alone may vanish at power loss
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
