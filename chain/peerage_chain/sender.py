"""Sending transactions from one key: nonces, gas, receipts, and what to do when any of them is lost.

Concurrent senders form a pipeline: a nonce is taken and the transaction handed over under a lock, the receipt is
awaited outside it, so many waiting sends share a block. Every send is tried first with eth_estimateGas, so a refusal by
the contracts is reported before anything is sent and costs no nonce. One process sends with one key; should another do
so as well, nonces are read again and the send repeated.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_hash.auto import keccak

from peerage_chain.errors import ChainFault, ChainUnavailable, Reverted
from peerage_chain.rpc import Rpc, RpcError, refusal
from peerage_chain.typed import address_of

DEADLINE_S = 60.0  # from hand-over to receipt; a devnet's block takes 1 s, a consortium's a few
POLL_S = 0.1
RESEND_S = 5.0  # a chain that restarted has forgotten what was pending
RECEIPT_GRACE_S = 5.0  # a receipt may trail its block
ATTEMPTS = 4
GAS_MARGIN = 100_000

_STALE_NONCE = (
    "nonce too low",
    "nonce is too low",
    "nonce too high",
    "replacement transaction underpriced",
    "oldnonce",
)
_KNOWN = ("already known", "already imported", "known transaction", "alreadyknown")
_PRICE = ("gas price", "underpriced", "base fee", "max fee", "fee cap", "feecap")


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction that a block holds. logs: as JSON-RPC gives them."""

    hash: str
    block: int
    gas_used: int
    logs: tuple[dict[str, Any], ...]


class _Lost(Exception):
    """The transaction will not be mined as it stands: another took its nonce, or the chain forgot its forerunners."""


@dataclass(slots=True)
class _Flight:
    nonce: int
    raw: str
    hash: str


class Sender:
    """Sends with one key over one endpoint. Safe for concurrent use within one event loop."""

    def __init__(self, rpc: Rpc, private_key: bytes, chain_id: int, deadline_s: float = DEADLINE_S) -> None:
        self.address = address_of(private_key)
        self._key = private_key
        self._rpc = rpc
        self._chain_id = chain_id
        self._deadline_s = deadline_s
        self._gas_price = 0
        self._next: int | None = None
        self._flying: set[int] = set()
        self._hand_over = asyncio.Lock()
        self._counting = asyncio.Lock()
        self._count = 0
        self._counted_at = float("-inf")

    async def send(self, to: str, data: bytes, value: int = 0, gas: int | None = None) -> Mined:
        """Send one call and return once it is mined.

        gas: a limit that stands in for the estimate. Sends so started are mined in the order of their starting.

        Raises Reverted if the contracts refuse (before or after sending); ChainUnavailable if the chain does not answer
        or no receipt came in time, when the call may or may not take effect later: read the state before repeating.
        """
        for _ in range(ATTEMPTS):
            limit = gas if gas is not None else await self._estimate(to, data, value)
            try:
                flight = await self._launch(to, data, value, limit)
                try:
                    receipt = await self._await_receipt(flight)
                finally:
                    self._flying.discard(flight.nonce)
            except _Lost:
                self._next = None
                continue
            if int(receipt["status"], 16) != 1:
                raise await self._reason(to, data, value, receipt)
            return Mined(
                flight.hash, int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16), tuple(receipt["logs"])
            )
        raise ChainUnavailable(f"{self._rpc.shown_url} kept losing transactions of {self.address}; try again later")

    # --- steps ---

    def _call(self, to: str, data: bytes, value: int) -> dict[str, str]:
        return {"from": self.address, "to": to, "data": "0x" + data.hex(), "value": hex(value)}

    async def _estimate(self, to: str, data: bytes, value: int) -> int:
        try:
            needed = int(await self._rpc.call("eth_estimateGas", self._call(to, data, value)), 16)
        except RpcError as error:
            raise refusal(error) from None
        # State may move between the estimate and the block; unused gas costs nothing at price zero.
        return needed + needed // 2 + GAS_MARGIN

    async def _launch(self, to: str, data: bytes, value: int, gas: int) -> _Flight:
        async with self._hand_over:
            if self._next is None:
                pending = int(await self._rpc.call("eth_getTransactionCount", self.address, "pending"), 16)
                # What flies may have been forgotten by the chain; its nonces are ours until its own wait gives them up.
                while pending in self._flying:
                    pending += 1
                self._next = pending
            for _ in range(2):
                flight = self._sign(self._next, to, data, value, gas)
                try:
                    await self._rpc.call("eth_sendRawTransaction", flight.raw)
                except RpcError as error:
                    words = error.message.lower()
                    if any(known in words for known in _KNOWN):
                        pass
                    elif any(stale in words for stale in _STALE_NONCE):
                        raise _Lost from None
                    elif self._gas_price == 0 and any(price in words for price in _PRICE):
                        self._gas_price = int(await self._rpc.call("eth_gasPrice"), 16)
                        continue
                    else:
                        raise refusal(error) from None
                except ChainUnavailable:
                    self._next = None
                    raise
                self._next = flight.nonce + 1
                self._flying.add(flight.nonce)
                return flight
            raise ChainUnavailable(f"{self._rpc.shown_url} refuses its own gas price; it is no zero-fee network")

    def _sign(self, nonce: int, to: str, data: bytes, value: int, gas: int) -> _Flight:
        signed = Account.sign_transaction(
            {
                "nonce": nonce,
                "gasPrice": self._gas_price,
                "gas": gas,
                "to": to,
                "value": value,
                "data": data,
                "chainId": self._chain_id,
            },
            self._key,
        )
        raw = bytes(signed.raw_transaction)
        return _Flight(nonce, "0x" + raw.hex(), "0x" + keccak(raw).hex())

    async def _await_receipt(self, flight: _Flight) -> dict[str, Any]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._deadline_s
        resend = clock() + RESEND_S
        passed_at: float | None = None
        while clock() < deadline:
            await asyncio.sleep(POLL_S)
            if await self._mined_count() > flight.nonce:
                receipt = await self._rpc.call("eth_getTransactionReceipt", flight.hash)
                if receipt is not None:
                    return dict(receipt)
                # The nonce is spent, the receipt not there: late at first, then surely another transaction's.
                passed_at = passed_at if passed_at is not None else clock()
                if clock() > passed_at + RECEIPT_GRACE_S:
                    raise _Lost
            elif clock() > resend:
                resend = clock() + RESEND_S
                await self._resend(flight)
        self._next = None
        raise ChainUnavailable(
            f"no receipt from {self._rpc.shown_url} within {self._deadline_s:.0f} s; the transaction may still be mined"
        )

    async def _resend(self, flight: _Flight) -> None:
        with suppress(RpcError):  # known, or mined meanwhile
            await self._rpc.call("eth_sendRawTransaction", flight.raw)
        mined = await self._mined_count()
        if all(nonce in self._flying for nonce in range(mined, flight.nonce)):
            return
        # A gap below us that nobody fills: the chain lost blocks (it was restored from an older state).
        raise _Lost

    async def _mined_count(self) -> int:
        """Transactions of ours in blocks; asked once per POLL_S for all that wait."""
        async with self._counting:
            clock = asyncio.get_running_loop().time
            if clock() - self._counted_at >= POLL_S:
                self._count = int(await self._rpc.call("eth_getTransactionCount", self.address, "latest"), 16)
                self._counted_at = clock()
            return self._count

    async def _reason(self, to: str, data: bytes, value: int, receipt: dict[str, Any]) -> ChainFault:
        """Why a mined transaction failed, though its estimate may have passed: run it again on that block's state."""
        try:
            await self._rpc.call("eth_call", self._call(to, data, value), receipt["blockNumber"])
        except RpcError as error:
            return refusal(error)
        return Reverted("", {"reason": "failed when mined, though it passes now; try again"})
