"""Peerage's contracts on one chain: found, checked, and called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peerage_chain.abi import artifact
from peerage_chain.directory import KINDS, default_directory, kind_of
from peerage_chain.errors import ContractsMissing, Reverted, WrongChain
from peerage_chain.rpc import Rpc, RpcError, refusal
from peerage_chain.typed import Domain, address_bytes
from peerage_chain.types import Params

ZERO_ADDRESS = "0x0000000000000000000000000000000000000000"


@dataclass(frozen=True)
class Contracts:
    """The addresses of one deployment and its parameters. Reads are plain eth_calls on the newest block."""

    rpc: Rpc
    domain: Domain
    genesis: bytes
    params: Params
    addresses: dict[str, str]

    async def read(self, contract: str, method: str, *arguments: Any) -> Any:
        """The result of a view, decoded by name. Raises Reverted, ChainUnavailable."""
        return await read(self.rpc, contract, self.addresses[contract], method, *arguments)

    async def read_many(self, calls: Sequence[tuple[str, str, tuple[Any, ...]]], block: int | None = None) -> list[Any]:
        """The results of several views in one request: (contract, method, arguments) each. Raises the first refusal.

        block: the state to read, the newest by default; engines keep about the last hundred.
        """
        at = "latest" if block is None else hex(block)
        methods = [artifact(contract).methods[method] for contract, method, _ in calls]
        answers = await self.rpc.batch(
            [
                ("eth_call", [_call(self.addresses[contract], method.encode(*arguments)), at])
                for (contract, _, arguments), method in zip(calls, methods, strict=True)
            ]
        )
        results = []
        for method, answer in zip(methods, answers, strict=True):
            if isinstance(answer, RpcError):
                raise refusal(answer)
            results.append(method.decode(bytes.fromhex(answer[2:])))
        return results


def _call(address: str, data: bytes) -> dict[str, str]:
    return {"to": address, "data": "0x" + data.hex()}


async def read(rpc: Rpc, contract: str, address: str, method: str, *arguments: Any) -> Any:
    """Call one view of one contract at an address. Raises Reverted, ContractsMissing, ChainUnavailable."""
    function = artifact(contract).methods[method]
    try:
        answer = await rpc.call("eth_call", _call(address, function.encode(*arguments)), "latest")
    except RpcError as error:
        raise refusal(error) from None
    return function.decode(bytes.fromhex(answer[2:]))


async def find_chain(rpc: Rpc, chain_id: int | None = None, genesis: bytes | None = None) -> tuple[int, bytes]:
    """(chain id, genesis hash) of what answers. Raises ChainUnavailable, or WrongChain if another was expected."""
    found = int(await rpc.call("eth_chainId"), 16)
    if chain_id is not None and found != chain_id:
        raise WrongChain(f"the chain at {rpc.shown_url} has id {found}, expected {chain_id}; use an endpoint of yours")
    block = await rpc.call("eth_getBlockByNumber", "0x0", False)
    if block is None:
        raise WrongChain(f"the chain at {rpc.shown_url} does not show its first block; use another endpoint")
    first = bytes.fromhex(block["hash"][2:])
    if genesis is not None and first != genesis:
        raise WrongChain(
            f"the chain at {rpc.shown_url} begins with 0x{first.hex()[:16]}…, expected 0x{genesis.hex()[:16]}…: "
            "it has the same id but is another chain"
        )
    return found, first


async def find_contracts(
    rpc: Rpc, directory: str | None = None, chain_id: int | None = None, genesis: bytes | None = None
) -> Contracts:
    """Find Peerage on the chain behind rpc and check that it is what this installation knows.

    directory: its address, the deterministic one by default. Raises ChainUnavailable, WrongChain, ContractsMissing.
    """
    found_id, found_genesis = await find_chain(rpc, chain_id, genesis)
    rpc.bind(found_id, found_genesis)
    address = default_directory() if directory is None else directory
    try:
        address_bytes(address)
    except ValueError as error:
        raise ContractsMissing(f"the directory's address is unusable: {error}") from None
    missing = f"no Peerage contracts at {address} on this chain (id {found_id}); name the right directory"
    if await rpc.call("eth_getCode", address, "latest") in ("0x", "", None):
        raise ContractsMissing(missing)
    domain = Domain(found_id, address)
    try:
        separator = await read(rpc, "Directory", address, "domainSeparator")
        raw = await read(rpc, "Directory", address, "params")
    except Reverted as error:
        if error.name == "NotConfigured":
            raise ContractsMissing(f"the directory at {address} is not configured yet; wait for the operator") from None
        raise ContractsMissing(missing) from None
    except (ContractsMissing, RpcError):
        raise ContractsMissing(missing) from None
    if separator != domain.separator:
        raise ContractsMissing(f"the directory at {address} signs for another chain or address than its own")
    partial = Contracts(rpc, domain, found_genesis, params_of(raw), {"Directory": address})
    found = await partial.read_many([("Directory", "get", (kind_of(kind),)) for kind in KINDS])
    absent = [kind for kind, at in zip(KINDS, found, strict=True) if at == ZERO_ADDRESS]
    if absent:
        raise ContractsMissing(
            f"the directory at {address} does not list {', '.join(absent)} yet; wait for the operator"
        )
    partial.addresses.update(zip(KINDS, found, strict=True))
    return partial


def params_of(raw: dict[str, Any]) -> Params:
    """The network's parameters from the Directory's struct."""
    return Params(epoch_s=raw["epochSeconds"], genesis_time_s=raw["genesisTime"], samples=raw["samples"])
