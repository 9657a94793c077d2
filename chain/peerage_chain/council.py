"""The consortium's council: seats that propose, approve and execute calls (node/spec/governance.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NewType

from peerage_chain.abi import artifact
from peerage_chain.contracts import Contracts, read
from peerage_chain.directory import default_directory
from peerage_chain.errors import AwaitsCouncil, ContractsMissing, Reverted
from peerage_chain.events import read_at
from peerage_chain.rpc import Rpc
from peerage_chain.sender import Mined, Sender
from peerage_chain.types import Epoch

ProposalId = NewType("ProposalId", bytes)
"""32 bytes: digest of the council's address, the proposal's number and its calls."""

Call = tuple[str, bytes]
"""(address of a contract, encoded call)."""

NEVER = 2**32 - 1


class ProposalState(IntEnum):
    NONE = 0
    OPEN = 1
    """Approvals are missing."""
    WAITING = 2
    """Passed; its delay runs."""
    READY = 3
    EXECUTED = 4
    CANCELLED = 5
    EXPIRED = 6


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal as it stands. ready: the first epoch in which it may be executed, None while approvals are missing."""

    id: ProposalId
    number: int
    proposer: str
    calls: tuple[Call, ...]
    state: ProposalState
    approvals: int
    ready: Epoch | None
    expires: Epoch


class Council:
    """The council as it is seen, or, with a seat's sender, as that seat acts in it."""

    def __init__(self, rpc: Rpc, address: str, sender: Sender | None = None) -> None:
        self.address = address
        self._rpc = rpc
        self._sender = sender

    @classmethod
    async def find(cls, rpc: Rpc, sender: Sender | None = None, directory: str | None = None) -> Council:
        """The council that owns the Directory. Raises ContractsMissing if none does."""
        at = directory or default_directory()
        owner: str = await read(rpc, "Directory", at, "owner")
        council = cls(rpc, owner, sender)
        try:
            await council.seats()
        except (ContractsMissing, Reverted):
            raise ContractsMissing(f"the directory at {at} belongs to {owner}, which is no council") from None
        return council

    async def seats(self) -> tuple[str, ...]:
        """Who holds a seat."""
        return tuple(await read(self._rpc, "Council", self.address, "seats"))

    async def threshold(self) -> int:
        """How many seats act together."""
        return int(await read(self._rpc, "Council", self.address, "threshold"))

    async def state_of(self, id: ProposalId) -> ProposalState:
        shown = await read(self._rpc, "Council", self.address, "get", id)
        return ProposalState(shown["state"])

    async def proposals(self, contracts: Contracts, last_block: int) -> tuple[Proposal, ...]:
        """All that were ever proposed, oldest first, with their calls as the events tell them."""
        records = read_at(contracts, {self.address: "Council"}, {"Council": ("Proposed",)}, 0, last_block)
        found = []
        async for record in records:
            fields = record.fields
            shown = await read(self._rpc, "Council", self.address, "get", fields["id"])
            found.append(
                Proposal(
                    ProposalId(fields["id"]),
                    fields["number"],
                    fields["proposer"],
                    tuple((call["target"], call["data"]) for call in fields["calls"]),
                    ProposalState(shown["state"]),
                    shown["approvals"],
                    None if shown["ready"] == NEVER else Epoch(shown["ready"]),
                    Epoch(shown["expires"]),
                )
            )
        return tuple(found)

    # --- a seat's acts; refused as NotASeat to others ---

    async def propose(self, calls: Sequence[Call]) -> ProposalId:
        """Propose calls and approve them."""
        mined = await self._write("propose", list(calls))
        topic = "0x" + artifact("Council").events["Proposed"].topic.hex()
        (log,) = [log for log in mined.logs if log["topics"][0] == topic]
        return ProposalId(bytes.fromhex(log["topics"][1][2:]))

    async def approve(self, id: ProposalId) -> None:
        """Approve a proposal. Refused as ApprovedAlready the second time, WrongState when it is over."""
        await self._write("approve", id)

    async def withdraw(self, id: ProposalId) -> None:
        """Take one's approval back. Refused as NotApproved when there is none."""
        await self._write("withdraw", id)

    async def cancel(self, id: ProposalId) -> None:
        """End a proposal of one's own."""
        await self._write("cancel", id)

    async def execute(self, id: ProposalId, calls: Sequence[Call]) -> None:
        """Make a proposal's calls; anyone may. Refused as WrongState before it is ready, or after it was executed."""
        await self._write("execute", id, list(calls))

    async def act(self, calls: Sequence[Call]) -> None:
        """Propose calls and execute them at once. Raises AwaitsCouncil if others must approve, or a delay runs."""
        id = await self.propose(calls)
        state = await self.state_of(id)
        if state is not ProposalState.READY:
            raise AwaitsCouncil(id, waiting=state is ProposalState.WAITING)
        await self.execute(id, calls)

    async def _write(self, method: str, *arguments: Any) -> Mined:
        if self._sender is None:
            raise ValueError("this council was opened for reading only")
        return await self._sender.send(self.address, artifact("Council").methods[method].encode(*arguments))
