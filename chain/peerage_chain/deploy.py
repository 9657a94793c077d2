"""What a consortium's operator does: deploy, admit, issue credits, suspend. Everything may be run again: what is done
already is left as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peerage_chain.abi import artifact
from peerage_chain.contracts import Contracts, find_chain, find_contracts, read
from peerage_chain.council import Call, Council
from peerage_chain.directory import (
    CREATE2_PROXY,
    DIRECTORY_SALT,
    KINDS,
    create2_address,
    default_directory,
    kind_of,
)
from peerage_chain.errors import ContractsMissing, Reverted
from peerage_chain.rpc import Rpc, RpcError
from peerage_chain.sender import Sender
from peerage_chain.types import AgreementId, MemberId, Params

PROXY_SIGNER = "0x3fAB184622Dc19b6109349B94811493BF2a45362"
PROXY_COST_WEI = 10**16
PROXY_TRANSACTION = (
    "0xf8a58085174876e800830186a08080b853604580600e600039806000f350fe7fffffffffffffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf31ba0222222222222222222"
    "2222222222222222222222222222222222222222222222a02222222222222222222222222222222222222222222222222222222222222222"
)
"""The CREATE2 proxy's well-known deployment: signed for all chains at once by a key that nobody holds."""

ADMITTED_AT_ONCE = 50
"""Admissions in one proposal: some eight million gas."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Parameters of a network beyond `Params`; 0 stands for the contracts' default (node/spec/governance.md)."""

    commit_delay_epochs: int = 0
    rules_delay_epochs: int = 0
    grace_epochs: int = 0
    escrow_epochs: int = 0
    window_epochs: int = 0
    fail_at: int = 0
    stand_down_after_epochs: int = 0
    repair_epochs: int = 0
    min_capacity_mib: int = 0
    notice_epochs: int = 0
    appeal_epochs: int = 0
    decide_epochs: int = 0
    maintenance_epochs: int = 0
    demand_epochs: int = 0
    demand_cap_leaves: int = 0
    committee: int = 0
    demand_deposit: int = 0


@dataclass(frozen=True, slots=True)
class Application:
    """Who asks to be a member. legal_entity: 32 bytes that identify it; jurisdiction: ISO 3166 alpha-2."""

    account: str
    legal_entity: bytes
    jurisdiction: str
    name: str


class Operator:
    """The consortium's role: who deploys, and then a seat of the council. Make it with `connect`, end it with `close`.

    What other seats must approve is proposed, and AwaitsCouncil raised.
    """

    def __init__(self, rpc: Rpc, sender: Sender) -> None:
        self._rpc = rpc
        self._sender = sender
        self._contracts: Contracts | None = None
        self._council: Council | None = None

    @classmethod
    async def connect(
        cls, rpc_url: str, private_key: bytes, chain_id: int | None = None, genesis: bytes | None = None
    ) -> Operator:
        """Connect to a chain, with or without contracts. Raises ChainUnavailable, WrongChain."""
        rpc = Rpc(rpc_url)
        try:
            found, _ = await find_chain(rpc, chain_id, genesis)
            return cls(rpc, Sender(rpc, private_key, found))
        except BaseException:
            await rpc.close()
            raise

    @property
    def address(self) -> str:
        return self._sender.address

    async def close(self) -> None:
        await self._rpc.close()

    async def announce_rules(self, params: Params, tuning: Tuning, from_epoch: int) -> None:
        """Announce the rules of the market from an epoch on, rulesDelay epochs ahead at least. What never changes in
        `params` and `tuning` is passed over. Refused as RulesTooSoon, RulesPending, BadRule."""
        await self._act(
            [_call("Directory", default_directory(), "announceRules", _params_values(params, tuning), from_epoch)]
        )

    async def cancel_rules(self) -> None:
        """Take back announced rules that are not in force yet. Refused as NoRulesPending."""
        await self._act([_call("Directory", default_directory(), "cancelRules")])

    # --- deployment ---

    async def deploy(
        self, params: Params, tuning: Tuning | None = None, seats: Sequence[str] = (), threshold: int = 1
    ) -> Contracts:
        """Put every contract in its place, list it in the Directory, and hand all over to a council of these seats
        (this operator's key alone by default); leaves what is there already.

        params.genesis_time_s 0 means now; samples 0 the default. The parameters are set once: on a configured network
        they are not compared. Raises ContractsMissing if someone else owns this chain's Directory; AwaitsCouncil when
        the seats must approve what is left to do: to accept the Directory, or to list other contracts.
        """
        await self._ensure_proxy()
        directory = default_directory()
        await self._create(DIRECTORY_SALT, artifact("Directory").creation(), directory)
        owner = await read(self._rpc, "Directory", directory, "owner")
        governed = owner != self.address
        if governed and self.address not in await self._seats_of(owner):
            raise ContractsMissing(f"the directory at {directory} belongs to {owner}, not to this operator's key")
        try:
            await read(self._rpc, "Directory", directory, "params")
        except Reverted:
            await self._send("Directory", directory, "configure", _params_values(params, tuning or Tuning()))
        placed = await asyncio.gather(*(self._place(kind, directory) for kind in KINDS))
        listings = [call for call in placed if call is not None]
        if governed:
            if listings:
                await self._act(listings)
        else:
            await asyncio.gather(*(self._sender.send(*call) for call in listings))
            await self._hand_over(directory, seats or (self.address,), threshold)
        self._contracts = await find_contracts(self._rpc, directory)
        return self._contracts

    async def _place(self, kind: str, directory: str) -> Call | None:
        """Deploy a contract; the call that lists it, unless it is listed already."""
        creation = artifact(kind).creation(directory)
        salt = kind_of(f"peerage.{kind.lower()}.v1")
        address = create2_address(salt, creation)
        await self._create(salt, creation, address)
        if await read(self._rpc, "Directory", directory, "get", kind_of(kind)) == address:
            return None
        return _call("Directory", directory, "set", kind_of(kind), address)

    async def _hand_over(self, directory: str, seats: Sequence[str], threshold: int) -> None:
        """Make a council the Directory's owner, Members' operator and Credit's minter, in place of this key."""
        creation = artifact("Council").creation(directory, list(seats), threshold)
        salt = kind_of("peerage.council.v1")
        address = create2_address(salt, creation)
        await self._create(salt, creation, address)
        for kind, role in (("Members", "OPERATOR_ROLE"), ("Credit", "MINTER_ROLE")):
            at = await read(self._rpc, "Directory", directory, "get", kind_of(kind))
            roles = [await read(self._rpc, kind, at, name) for name in (role, "DEFAULT_ADMIN_ROLE")]
            if not await read(self._rpc, kind, at, "hasRole", roles[1], self.address):
                continue
            # To give first and the administration last, so that whatever interrupts this, it can be run again.
            for method, who in (("grantRole", address), ("renounceRole", self.address)):
                for granted in roles:
                    await self._send(kind, at, method, granted, who)
        await self._send("Directory", directory, "transferOwnership", address)
        acceptance = [_call("Directory", directory, "acceptOwnership")]
        if self.address in seats:
            await Council(self._rpc, address, self._sender).act(acceptance)

    async def _seats_of(self, owner: str) -> tuple[str, ...]:
        try:
            return await Council(self._rpc, owner).seats()
        except (Reverted, ContractsMissing):
            return ()

    async def _create(self, salt: bytes, creation: bytes, address: str) -> None:
        if await self._has_code(address):
            return
        await self._sender.send(CREATE2_PROXY, salt + creation)
        if not await self._has_code(address):
            raise ContractsMissing(f"the chain created no contract at {address}; is its block gas limit too low?")

    async def _ensure_proxy(self) -> None:
        if await self._has_code(CREATE2_PROXY):
            return
        balance = int(await self._rpc.call("eth_getBalance", PROXY_SIGNER, "latest"), 16)
        try:
            if balance < PROXY_COST_WEI:
                await self._sender.send(PROXY_SIGNER, b"", value=PROXY_COST_WEI - balance)
            await self._rpc.call("eth_sendRawTransaction", PROXY_TRANSACTION)
        except (RpcError, Reverted) as error:
            raise ContractsMissing(f"{_NO_PROXY} ({error})") from None
        for _ in range(300):
            if await self._has_code(CREATE2_PROXY):
                return
            await asyncio.sleep(0.1)
        raise ContractsMissing(_NO_PROXY)

    async def _has_code(self, address: str) -> bool:
        return await self._rpc.call("eth_getCode", address, "latest") not in ("0x", "", None)

    # --- members ---

    async def admit(self, account: str, legal_entity: bytes, jurisdiction: str, name: str) -> MemberId:
        """Admit one member and return its number; of an account that is a member already, just that."""
        return (await self.admit_many([Application(account, legal_entity, jurisdiction, name)]))[0]

    async def admit_many(self, applications: Sequence[Application]) -> list[MemberId]:
        """Admit members; new ones are numbered in the order given."""
        contracts = await self._deployed()
        known = await self._ids(contracts, applications)
        members = contracts.addresses["Members"]
        calls = [
            _call("Members", members, "admit", a.account, a.legal_entity, _jurisdiction(a.jurisdiction), a.name)
            for a, id in zip(applications, known, strict=True)
            if id == 0
        ]
        for first in range(0, len(calls), ADMITTED_AT_ONCE):
            await self._act(calls[first : first + ADMITTED_AT_ONCE])
        return [MemberId(id) for id in await self._ids(contracts, applications)]

    async def _ids(self, contracts: Contracts, applications: Sequence[Application]) -> list[int]:
        return await contracts.read_many([("Members", "memberOfAccount", (a.account,)) for a in applications])

    async def suspend(self, member: MemberId) -> None:
        """End a member's writes and new agreements. Refused as WrongStatus if it is suspended already."""
        contracts = await self._deployed()
        await self._act([_call("Members", contracts.addresses["Members"], "suspend", member)])

    async def reinstate(self, member: MemberId) -> None:
        """Take a suspension back. Refused as WrongStatus if there is none."""
        contracts = await self._deployed()
        await self._act([_call("Members", contracts.addresses["Members"], "reinstate", member)])

    # --- appeals ---

    async def decide(self, id: AgreementId, number: int, cancelled: bool) -> None:
        """Cancel an appealed penalty or let it stand, at once. Refused as DecisionTooLate, WrongDocketState."""
        contracts = await self._deployed()
        await self._act([_call("Clearing", contracts.addresses["Clearing"], "decide", id, number, cancelled)])

    # --- credits ---

    async def mint_and_deposit(self, member: MemberId, amount: int) -> None:
        """Issue micro-credits into a member's account. Each call adds: look at the balance before repeating one."""
        await self.fund({member: amount})

    async def fund(self, amounts: Mapping[MemberId, int]) -> None:
        """Issue micro-credits into several members' accounts."""
        contracts = await self._deployed()
        credit, clearing = contracts.addresses["Credit"], contracts.addresses["Clearing"]
        total = sum(amounts.values())
        await self._act([_call("Credit", credit, "mint", self.address, total)])
        await self._send("Credit", credit, "approve", clearing, total)
        await asyncio.gather(
            *(self._send("Clearing", clearing, "depositFor", member, amount) for member, amount in amounts.items())
        )

    # --- plumbing ---

    async def _deployed(self) -> Contracts:
        if self._contracts is None:
            self._contracts = await find_contracts(self._rpc)
        return self._contracts

    async def _act(self, calls: Sequence[Call]) -> None:
        """Let the council make these calls."""
        if self._council is None:
            self._council = await Council.find(self._rpc, self._sender)
        await self._council.act(calls)

    async def _send(self, contract: str, address: str, method: str, *arguments: Any) -> None:
        await self._sender.send(*_call(contract, address, method, *arguments))


_NO_PROXY = (
    f"the chain lacks the CREATE2 proxy {CREATE2_PROXY} and it could not be deployed: put it into the genesis file, "
    f"or fund {PROXY_SIGNER} with 0.01 of the chain's coin"
)


def _call(contract: str, address: str, method: str, *arguments: Any) -> Call:
    return address, artifact(contract).methods[method].encode(*arguments)


def _jurisdiction(code: str) -> bytes:
    if len(code) != 2 or not code.isascii() or not code.isalpha() or not code.isupper():
        raise ValueError("a jurisdiction is an ISO 3166 alpha-2 code such as FR")
    return code.encode()


def _params_values(params: Params, tuning: Tuning) -> tuple[int, ...]:
    """The Directory's Params in its order."""
    return (
        params.epoch_s,
        params.genesis_time_s,
        tuning.commit_delay_epochs,
        tuning.rules_delay_epochs,
        params.samples,
        tuning.grace_epochs,
        tuning.escrow_epochs,
        tuning.window_epochs,
        tuning.fail_at,
        tuning.stand_down_after_epochs,
        tuning.repair_epochs,
        tuning.min_capacity_mib,
        tuning.notice_epochs,
        tuning.appeal_epochs,
        tuning.decide_epochs,
        tuning.maintenance_epochs,
        tuning.demand_epochs,
        tuning.demand_cap_leaves,
        tuning.committee,
        tuning.demand_deposit,
    )
