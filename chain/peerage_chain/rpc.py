"""JSON-RPC with a time-out on every call and bounded retries: one place where the network's faults become ours.

Requests go through web3's AsyncHTTPProvider but not through its method layer, which costs three milliseconds a call
where this costs less than one; nine nodes that poll on two cores notice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from web3 import AsyncHTTPProvider
from web3.types import RPCEndpoint

from peerage_chain.abi import decode_revert
from peerage_chain.errors import ChainFault, ChainRefused, ChainUnavailable, WrongChain

TIMEOUT_S = 10.0
ATTEMPTS = 3
BACKOFF_S = 0.2  # doubles with each attempt
MAX_BATCH = 100
REVERTED = 3  # the error code that engines give to a revert

RETRIED = (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError, OSError)


class RpcError(ChainRefused):
    """The endpoint answered with an error. code and message are its own; data is revert data, empty when none."""

    def __init__(self, method: str, code: int, message: str, data: bytes = b"") -> None:
        shown = "".join(c if c.isprintable() else " " for c in message[:300])
        super().__init__(f"the chain's endpoint refused {method}: {shown}")
        self.code = code
        self.message = message
        self.data = data


class Rpc:
    """One HTTP endpoint. Close it with close(); it belongs to the event loop that first used it."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S, attempts: int = ATTEMPTS) -> None:
        self.url = url
        self.shown_url = show_url(url)
        self._attempts = attempts
        self._provider = AsyncHTTPProvider(
            url,
            request_kwargs={"timeout": aiohttp.ClientTimeout(total=timeout_s)},
            exception_retry_configuration=None,
        )

    async def close(self) -> None:
        """Close the connections. Closing twice is harmless."""
        await self._provider.disconnect()

    async def call(self, method: str, *params: Any) -> Any:
        """The result of one call. Raises ChainUnavailable after the last attempt, RpcError when it is refused."""
        answer = await self._attempt(lambda: self._provider.make_request(RPCEndpoint(method), list(params)))
        return _result(method, answer)

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of many calls, MAX_BATCH to a request; an RpcError stands in the place of a refused one."""
        results: list[Any] = []
        for start in range(0, len(calls), MAX_BATCH):
            part = [(RPCEndpoint(method), list(params)) for method, params in calls[start : start + MAX_BATCH]]
            answers = await self._attempt(lambda part=part: self._provider.make_batch_request(part))
            if not isinstance(answers, list) or len(answers) != len(part):
                raise WrongChain(f"{self.shown_url} does not answer batches as JSON-RPC asks; use another endpoint")
            for (method, _), answer in zip(part, sorted(answers, key=lambda a: int(a["id"])), strict=True):
                try:
                    results.append(_result(method, answer))
                except RpcError as error:
                    results.append(error)
        return results

    async def _attempt(self, request: Any) -> Any:
        for attempt in range(self._attempts):
            if attempt:
                await asyncio.sleep(BACKOFF_S * 2 ** (attempt - 1))
            try:
                return await request()
            except json.JSONDecodeError as error:
                raise WrongChain(f"{self.shown_url} does not speak JSON-RPC; check the chain's URL") from error
            except RETRIED as error:
                cause: Exception = error
        reason = "no answer in time" if isinstance(cause, asyncio.TimeoutError) else type(cause).__name__
        raise ChainUnavailable(f"no chain answers at {self.shown_url} ({reason}); check the URL and that it runs")


def refusal(error: RpcError) -> ChainFault:
    """What an endpoint's error means to a caller: a contract's refusal as Reverted, anything else as it is."""
    if error.data or error.code == REVERTED or "revert" in error.message.lower():
        return decode_revert(error.data, error.message)
    return error


def show_url(url: str) -> str:
    """A URL fit to be shown: without user, password, path and query, where access keys are kept."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return f"{parts.scheme}://{host or '?'}{port}"


def _result(method: str, answer: Any) -> Any:
    if not isinstance(answer, dict):
        raise RpcError(method, 0, "an answer that is not JSON-RPC")
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    if not isinstance(error, dict):
        raise RpcError(method, 0, str(error))
    data = error.get("data")
    if isinstance(data, dict):  # some engines wrap it
        data = data.get("data")
    raw = b""
    if isinstance(data, str) and data.startswith("0x"):
        try:
            raw = bytes.fromhex(data[2:])
        except ValueError:
            raw = b""
    return_code = error.get("code", 0)
    raise RpcError(method, return_code if isinstance(return_code, int) else 0, str(error.get("message", "")), raw)
