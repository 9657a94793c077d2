"""JSON-RPC with a time-out on every call and bounded retries: one place where the network's faults become ours.

Requests go through web3's AsyncHTTPProvider but not through its method layer, which costs three milliseconds a call
where this costs less than one; nine nodes that poll on two cores notice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
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
    """One chain behind one or more HTTP endpoints: the one that answered last is asked first, the others stand by.

    With several, each is asked for the chain id and first block that `bind` was given before anything else, again
    whenever it failed in between, and passed over if it shows others. Close it with close(); it belongs to the event
    loop that first used it.
    """

    def __init__(self, urls: str | Sequence[str], timeout_s: float = TIMEOUT_S, attempts: int = ATTEMPTS) -> None:
        self.urls = (urls,) if isinstance(urls, str) else tuple(urls)
        if not self.urls:
            raise WrongChain("no endpoint of the chain is configured: name one at least")
        self._attempts = attempts
        self._current = 0
        self._bound: tuple[int, str] | None = None
        self._check_alone = False
        self._checked: set[int] = set()
        self._providers = [
            AsyncHTTPProvider(
                url,
                request_kwargs={"timeout": aiohttp.ClientTimeout(total=timeout_s)},
                exception_retry_configuration=None,
            )
            for url in self.urls
        ]

    @property
    def url(self) -> str:
        """The endpoint that is asked first now."""
        return self.urls[self._current]

    @property
    def shown_url(self) -> str:
        """The same, fit to be shown."""
        return show_url(self.url)

    def bind(self, chain_id: int, genesis: bytes, check_alone: bool = False) -> None:
        """Say which chain it is: id, and the first block's 32-byte hash. Other endpoints have to show the same.

        check_alone: the only endpoint has to, too: nobody has looked at it yet.
        """
        self._bound = (chain_id, "0x" + genesis.hex())
        self._check_alone = check_alone

    async def close(self) -> None:
        """Close the connections. Closing twice is harmless."""
        for provider in self._providers:
            await provider.disconnect()

    async def call(self, method: str, *params: Any) -> Any:
        """The result of one call. Raises ChainUnavailable after the last attempt, RpcError when it is refused."""
        answer = await self._attempt(lambda provider: provider.make_request(RPCEndpoint(method), list(params)))
        return _result(method, answer)

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of many calls, MAX_BATCH to a request; an RpcError stands in the place of a refused one."""
        results: list[Any] = []
        for start in range(0, len(calls), MAX_BATCH):
            part = [(RPCEndpoint(method), list(params)) for method, params in calls[start : start + MAX_BATCH]]

            async def ask(provider: AsyncHTTPProvider, part: Any = part) -> Any:
                return await provider.make_batch_request(part)

            answers = await self._attempt(ask)
            if not isinstance(answers, list) or len(answers) != len(part):
                raise WrongChain(f"{self.shown_url} does not answer batches as JSON-RPC asks; use another endpoint")
            for (method, _), answer in zip(part, sorted(answers, key=lambda a: int(a["id"])), strict=True):
                try:
                    results.append(_result(method, answer))
                except RpcError as error:
                    results.append(error)
        return results

    async def ask_all(self, method: str, *params: Any) -> dict[str, Any]:
        """What each endpoint answers, by its shown URL; those that do not answer or refuse are left out.

        One try each: for comparing endpoints, which may lie, not for reading.
        """

        async def one(no: int) -> Any:
            return _result(method, await self._providers[no].make_request(RPCEndpoint(method), list(params)))

        answers = await asyncio.gather(*(one(no) for no in range(len(self.urls))), return_exceptions=True)
        found: dict[str, Any] = {}
        for url, answer in zip(self.urls, answers, strict=True):
            if isinstance(answer, BaseException):
                if not isinstance(answer, (*RETRIED, ChainFault, ValueError)):
                    raise answer
                continue
            found[show_url(url)] = answer
        return found

    async def _attempt(self, request: Callable[[AsyncHTTPProvider], Awaitable[Any]]) -> Any:
        cause: Exception = ConnectionError()
        foreign: list[str] = []
        for attempt in range(self._attempts):
            if attempt:
                await asyncio.sleep(BACKOFF_S * 2 ** (attempt - 1))
            foreign = []
            first = self._current
            for step in range(len(self.urls)):
                no = (first + step) % len(self.urls)
                try:
                    if not await self._is_ours(no):
                        foreign.append(show_url(self.urls[no]))
                        continue
                    answer = await request(self._providers[no])
                except json.JSONDecodeError as error:
                    if len(self.urls) == 1:
                        raise WrongChain(f"{show_url(self.url)} does not speak JSON-RPC; check the URL") from error
                    cause = error
                    self._checked.discard(no)
                except RETRIED as error:
                    cause = error
                    self._checked.discard(no)
                else:
                    self._current = no
                    return answer
        if len(foreign) == len(self.urls):
            raise WrongChain(f"another chain answers at {' and '.join(foreign)}; use endpoints of yours")
        reason = "no answer in time" if isinstance(cause, asyncio.TimeoutError) else type(cause).__name__
        shown = " or ".join(show_url(url) for url in self.urls)
        raise ChainUnavailable(f"no chain answers at {shown} ({reason}); check the URL and that it runs")

    async def _is_ours(self, no: int) -> bool:
        """Whether an endpoint shows the chain that we are bound to. One alone is for its user to judge (find_chain)."""
        unasked = len(self.urls) == 1 and not self._check_alone
        if self._bound is None or unasked or no in self._checked:
            return True
        provider = self._providers[no]
        try:
            id = _result("eth_chainId", await provider.make_request(RPCEndpoint("eth_chainId"), []))
            params = ["0x0", False]
            block = _result("block 0", await provider.make_request(RPCEndpoint("eth_getBlockByNumber"), params))
            if (int(id, 16), block["hash"].lower()) != self._bound:
                return False
        except (RpcError, TypeError, ValueError, KeyError, AttributeError):
            return False
        self._checked.add(no)
        return True


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
