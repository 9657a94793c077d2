"""Sending, against a chain that loses, forgets, refuses and lags on cue."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak

from peerage_chain import sender as module
from peerage_chain.abi import artifact
from peerage_chain.errors import ChainRefused, ChainUnavailable, Reverted
from peerage_chain.rpc import Rpc, RpcError
from peerage_chain.sender import Sender

KEY = bytes(31) + b"\x01"
TO = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
CHAIN_ID = 31337


class FakeChain:
    """One account's transactions. `mine` takes what is next in the pool; the knobs below are the faults."""

    shown_url = "http://fake"

    def __init__(self) -> None:
        self.pool: dict[int, str] = {}
        self.mined: list[str] = []
        self.mining = True
        self.swallow = 0
        """Hand-overs that are accepted and forgotten."""
        self.hide_receipts = 0
        self.fail_next = False
        self.min_gas_price = 0
        self.estimate_error: RpcError | None = None
        self.call_error: RpcError | None = None
        self.calls: list[str] = []
        self.unreachable_on: str | None = None

    def mine(self) -> None:
        while len(self.mined) in self.pool:
            self.mined.append(self.pool.pop(len(self.mined)))

    async def holds(self, number: int) -> None:
        """Wait until so many transactions are in the pool."""
        for _ in range(1000):
            if len(self.pool) >= number:
                return
            await asyncio.sleep(0.001)
        raise AssertionError(f"{len(self.pool)} transactions arrived, not {number}")

    async def call(self, method: str, *params: Any) -> Any:
        self.calls.append(method)
        if method == self.unreachable_on:
            self.unreachable_on = None
            raise ChainUnavailable("no chain answers at http://fake")
        await asyncio.sleep(0)
        return getattr(self, method)(*params)

    def eth_estimateGas(self, call: dict[str, str]) -> str:
        if self.estimate_error:
            raise self.estimate_error
        return hex(50_000)

    def eth_getTransactionCount(self, address: str, tag: str) -> str:
        count = len(self.mined)
        while tag == "pending" and count in self.pool:
            count += 1
        return hex(count)

    def eth_gasPrice(self) -> str:
        return hex(self.min_gas_price)

    def eth_sendRawTransaction(self, raw: str) -> str:
        data = bytes.fromhex(raw[2:])
        nonce, price = (int.from_bytes(field, "big") for field in rlp.decode(data)[:2])
        if price < self.min_gas_price:
            raise RpcError("eth_sendRawTransaction", -32000, "transaction underpriced: gas price below the minimum")
        if nonce < len(self.mined):
            raise RpcError("eth_sendRawTransaction", -32003, "nonce too low")
        if self.pool.get(nonce, raw) != raw:
            raise RpcError("eth_sendRawTransaction", -32003, "replacement transaction underpriced")
        if self.pool.get(nonce) == raw:
            raise RpcError("eth_sendRawTransaction", -32003, "transaction already imported")
        if self.swallow:
            self.swallow -= 1
        else:
            self.pool[nonce] = raw
        if self.mining:
            self.mine()
        return "0x" + keccak(data).hex()

    def eth_getTransactionReceipt(self, hash: str) -> dict[str, Any] | None:
        if self.hide_receipts:
            self.hide_receipts -= 1
            return None
        for number, raw in enumerate(self.mined):
            if "0x" + keccak(bytes.fromhex(raw[2:])).hex() == hash:
                status, self.fail_next = ("0x0" if self.fail_next else "0x1"), False
                return {"status": status, "blockNumber": hex(number), "gasUsed": hex(21000), "logs": []}
        return None

    def eth_call(self, call: dict[str, str], block: str) -> str:
        if self.call_error:
            raise self.call_error
        return "0x"


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> FakeChain:
    for name, value in {"POLL_S": 0.002, "RESEND_S": 0.02, "RECEIPT_GRACE_S": 0.02}.items():
        monkeypatch.setattr(module, name, value)
    return FakeChain()


def sender_on(chain: FakeChain, deadline_s: float = 2.0) -> Sender:
    return Sender(cast(Rpc, chain), KEY, CHAIN_ID, deadline_s)


def refusal(name: str, contract: str, *arguments: Any) -> RpcError:
    error = next(e for e in artifact(contract).errors.values() if e.name == name)
    return RpcError("eth_estimateGas", 3, "execution reverted", error.encode(*arguments))


async def test_many_waiting_sends_are_one_pipeline(chain: FakeChain) -> None:
    sender = sender_on(chain)
    chain.mining = False
    sends = [asyncio.create_task(sender.send(TO, bytes([i]))) for i in range(50)]
    await chain.holds(50)
    chain.mine()
    blocks = {mined.block for mined in await asyncio.gather(*sends)}
    assert blocks == set(range(50))
    assert chain.calls.count("eth_getTransactionReceipt") == 50, "receipts are asked for once mined, not polled"


async def test_sends_with_a_gas_limit_keep_their_order(chain: FakeChain) -> None:
    sender = sender_on(chain)
    mined = await asyncio.gather(*(sender.send(TO, bytes([i]), gas=100_000) for i in range(10)))
    assert [m.block for m in mined] == list(range(10))


async def test_a_refusal_is_named_before_anything_is_sent(chain: FakeChain) -> None:
    chain.estimate_error = refusal("AlreadyBeat", "Beacon", 7, 3)
    with pytest.raises(Reverted) as caught:
        await sender_on(chain).send(TO, b"")
    assert (caught.value.name, caught.value.arguments) == ("AlreadyBeat", {"epoch": 7, "member": 3})
    assert str(caught.value) == "the contracts refused: AlreadyBeat (epoch 7, member 3)"
    assert "eth_sendRawTransaction" not in chain.calls


async def test_a_failure_in_the_block_is_named_too(chain: FakeChain) -> None:
    chain.fail_next = True
    chain.call_error = refusal("BeatsClosed", "Beacon", 7, 100, 101)
    with pytest.raises(Reverted) as caught:
        await sender_on(chain).send(TO, b"")
    assert caught.value.name == "BeatsClosed"


async def test_another_sender_with_the_same_key(chain: FakeChain) -> None:
    first, second = sender_on(chain), sender_on(chain)
    await first.send(TO, b"a")
    await second.send(TO, b"b")
    assert (await first.send(TO, b"c")).block == 2, "nonce too low: read again, sent again"


async def test_a_nonce_taken_by_another_in_the_pool(chain: FakeChain) -> None:
    first, second = sender_on(chain), sender_on(chain)
    await first.send(TO, b"a")
    chain.mining = False
    waiting = asyncio.create_task(second.send(TO, b"b"))
    await chain.holds(1)
    also = asyncio.create_task(first.send(TO, b"c"))
    await chain.holds(2)
    chain.mine()
    assert {(await waiting).block, (await also).block} == {1, 2}


async def test_a_chain_that_forgot_is_told_again(chain: FakeChain) -> None:
    chain.swallow = 1
    await sender_on(chain).send(TO, b"a")
    assert len(chain.mined) == 1


async def test_a_chain_restored_from_an_older_state(chain: FakeChain) -> None:
    sender = sender_on(chain)
    for _ in range(3):
        await sender.send(TO, b"a")
    del chain.mined[1:]
    assert (await sender.send(TO, b"b")).block == 1, "nonces follow the chain back"


async def test_a_receipt_that_comes_late(chain: FakeChain) -> None:
    chain.hide_receipts = 3
    assert (await sender_on(chain).send(TO, b"a")).block == 0
    assert len(chain.mined) == 1


async def test_a_nonce_that_another_transaction_took(chain: FakeChain) -> None:
    chain.mining = False
    sender = sender_on(chain)
    sending = asyncio.create_task(sender.send(TO, b"a"))
    await chain.holds(1)
    chain.pool.clear()
    chain.mined.append("0x00")
    chain.mining = True
    assert (await sending).block == 1


async def test_no_receipt_in_time(chain: FakeChain) -> None:
    chain.mining = False
    sender = sender_on(chain, deadline_s=0.05)
    with pytest.raises(ChainUnavailable, match="may still be mined"):
        await sender.send(TO, b"a")
    chain.mining = True
    chain.mine()
    assert (await sender.send(TO, b"b")).block == 1


async def test_losing_the_line_while_handing_over(chain: FakeChain) -> None:
    sender = sender_on(chain)
    chain.unreachable_on = "eth_sendRawTransaction"
    with pytest.raises(ChainUnavailable):
        await sender.send(TO, b"a")
    assert (await sender.send(TO, b"a")).block == 0


async def test_a_network_that_wants_a_price(chain: FakeChain) -> None:
    chain.min_gas_price = 7
    sender = sender_on(chain)
    await sender.send(TO, b"a")
    await sender.send(TO, b"b")
    assert chain.calls.count("eth_gasPrice") == 1


async def test_an_endpoint_s_own_refusal_is_passed_on(chain: FakeChain) -> None:
    chain.estimate_error = RpcError("eth_estimateGas", -32005, "rate limit exceeded")
    with pytest.raises(ChainRefused, match="rate limit"):
        await sender_on(chain).send(TO, b"a")
