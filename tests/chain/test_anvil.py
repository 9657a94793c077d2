"""The devnet's chain: its state outlives any end, and its clock is the wall's again afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest
from tests.chain.network import free_port

from peerage_chain import anvil as module
from peerage_chain import sender as sender_module
from peerage_chain.anvil import AnvilProcess, find_anvil
from peerage_chain.errors import AnvilMissing
from peerage_chain.rpc import Rpc
from peerage_chain.sender import Sender

KEY = bytes(31) + b"\x01"
SINK = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


async def facts(rpc: Rpc) -> tuple[str, int]:
    """(genesis hash, blocks' transactions of our key)."""
    genesis = (await rpc.call("eth_getBlockByNumber", "0x0", False))["hash"]
    sender = Sender(rpc, KEY, module.CHAIN_ID)
    return genesis, int(await rpc.call("eth_getTransactionCount", sender.address, "latest"), 16)


async def test_state_genesis_and_clock_survive_a_kill(tmp_path: Path) -> None:
    port = free_port()
    anvil = AnvilProcess(tmp_path / "chain", port, block_s=0.1)
    await anvil.start()
    rpc = Rpc(anvil.url)
    try:
        await Sender(rpc, KEY, anvil.chain_id).send(SINK, b"")
        before = await facts(rpc)
        await anvil.dump()
        assert anvil.pid is not None
        os.kill(anvil.pid, signal.SIGKILL)
        (anvil.state.with_suffix(".tmp")).write_bytes(b"half a dump")

        again = AnvilProcess(tmp_path / "chain", port, block_s=0.1)
        await again.start()
        try:
            assert await facts(rpc) == before
            block = await rpc.call("eth_getBlockByNumber", "latest", False)
            assert abs(int(block["timestamp"], 16) - time.time()) < 3
            await Sender(rpc, KEY, anvil.chain_id).send(SINK, b"")
        finally:
            await again.stop()
        assert again.pid is None

        last = AnvilProcess(tmp_path / "chain", port, block_s=0.1)
        await last.start()
        try:
            assert await facts(rpc) == (before[0], before[1] + 1), "stop dumps first"
            loaded = json.loads(last.state.read_bytes())["blocks"]
            assert sum(block["header"]["number"] == "0x0" for block in loaded) == 1, "the others are strangers"
        finally:
            await last.stop(dump=False)
    finally:
        await rpc.close()
        await anvil.stop(dump=False)


async def test_a_sender_outlives_a_chain_that_lost_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "RESEND_S", 0.3)
    anvil = AnvilProcess(tmp_path / "chain", free_port(), block_s=0.1)
    await anvil.start()
    rpc = Rpc(anvil.url)
    sender = Sender(rpc, KEY, anvil.chain_id)
    try:
        await sender.send(SINK, b"")
        await anvil.dump()
        await asyncio.gather(*(sender.send(SINK, b"") for _ in range(3)))
        await anvil.stop(dump=False)
        await anvil.start()
        assert (await facts(rpc))[1] == 1, "three sends were lost"
        await asyncio.gather(*(sender.send(SINK, b"") for _ in range(5)))
        assert (await facts(rpc))[1] >= 6
    finally:
        await rpc.close()
        await anvil.stop(dump=False)


async def test_a_taken_port_is_said(tmp_path: Path) -> None:
    port = free_port()
    first = AnvilProcess(tmp_path / "a", port, block_s=0.1)
    await first.start()
    try:
        second = AnvilProcess(tmp_path / "b", port, chain_id=4711, block_s=0.1)
        with pytest.raises(AnvilMissing, match=f"port {port}"):
            await second.start()
        assert not second.running
    finally:
        await first.stop(dump=False)


def test_where_anvil_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "anvil"
    program.write_text("#!/bin/sh\n")
    monkeypatch.setenv("PEERAGE_ANVIL", str(program))
    with pytest.raises(AnvilMissing, match="not a program"):
        find_anvil()
    program.chmod(0o700)
    assert find_anvil() == program
    monkeypatch.delenv("PEERAGE_ANVIL")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_anvil() == program
    program.unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    with pytest.raises(AnvilMissing, match="npm ci"):
        find_anvil()


async def test_nothing_is_mined_while_the_last_state_is_dumped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anvil = AnvilProcess(tmp_path / "chain", free_port(), block_s=0.1)
    await anvil.start()
    rpc, seen, dump = Rpc(anvil.url), list[int](), anvil.dump

    async def slow_dump() -> None:
        for _ in range(2):
            seen.append(int(await rpc.call("eth_blockNumber"), 16))
            await asyncio.sleep(0.5)
        await dump()

    monkeypatch.setattr(anvil, "dump", slow_dump)
    await anvil.stop()
    await rpc.close()
    assert seen[0] == seen[1] > 0
    again = AnvilProcess(tmp_path / "chain", free_port(), block_s=0.1)
    await again.start()
    rpc = Rpc(again.url)
    try:
        assert int(await rpc.call("eth_blockNumber"), 16) > seen[1], "it goes on mining then"
    finally:
        await rpc.close()
        await again.stop()
