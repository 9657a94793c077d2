"""The chain as a node, a client tool or an auditor sees it: `Chain`, which implements peerage's `Ledger`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from peerage_chain.abi import artifact
from peerage_chain.codec import figures_values, offer_values, proof_of
from peerage_chain.contracts import Contracts, find_contracts
from peerage_chain.errors import NotAMember, Reverted
from peerage_chain.quality import Figures
from peerage_chain.reads import ChainReads
from peerage_chain.remembered import Remembered
from peerage_chain.rpc import Rpc
from peerage_chain.sender import Mined, Sender
from peerage_chain.typed import (
    Domain,
    agreement_id,
    amendment_values,
    enrolment_values,
    revision_values,
    terms_values,
)
from peerage_chain.types import (
    TYPES_VERSION,
    ZERO32,
    AgreementId,
    Amendment,
    Enrolment,
    Epoch,
    MemberId,
    Offer,
    Revision,
    Sample,
    Terms,
)

MAX_CALLDATA_BYTES = 96 * 1024  # engines take no transaction over 128 KiB
MAX_REPORTED = 32  # probe reports in one transaction
MAX_SETTLED = 32  # agreements in one settlement

T = TypeVar("T")


class Chain(ChainReads):
    """One chain, one deployment, and at most one key to write with. Make it with `connect`, end it with `close`.

    Reads raise ChainUnavailable or Reverted; writes return once mined, and raise Reverted(name, arguments) when a
    contract refuses, which includes what is recorded already (node/spec/chain.md lists those names).
    """

    _sender: Sender | None = None

    @classmethod
    async def connect(
        cls,
        rpc_url: str | Sequence[str],
        directory: str | None = None,
        chain_id: int | None = None,
        genesis: bytes | None = None,
        node_key: bytes | None = None,
    ) -> Chain:
        """Connect and check chain id, genesis hash and contracts as far as they are given.

        rpc_url: one endpoint, or several in the order of their trying. node_key: the 32-byte key that sends; without it
        everything that writes raises NotAMember. Raises ChainUnavailable, WrongChain, ContractsMissing.
        """
        rpc = Rpc(rpc_url)
        if chain_id is not None and genesis is not None:
            rpc.bind(chain_id, genesis)
        try:
            contracts = await find_contracts(rpc, directory, chain_id, genesis)
            chain = cls(contracts)
            if node_key is not None:
                chain._sender = Sender(rpc, node_key, chain.chain_id)
        except BaseException:
            await rpc.close()
            raise
        return chain

    @classmethod
    def from_memory(cls, rpc_url: str | Sequence[str], remembered: Remembered, node_key: bytes) -> Chain:
        """What was seen last, to work with while the chain is away; asks nothing. Call `confirm` until it returns.

        Until then whoever answers is asked for the chain id and the first block before anything else.
        """
        rpc = Rpc(rpc_url)
        rpc.bind(remembered.chain_id, remembered.genesis, check_alone=True)
        domain = Domain(remembered.chain_id, remembered.directory)
        chain = cls(Contracts(rpc, domain, remembered.genesis, remembered.params, dict(remembered.addresses)))
        chain._roster = remembered.roster
        chain._sender = Sender(rpc, node_key, chain.chain_id)
        return chain

    async def confirm(self) -> None:
        """Find the contracts again, as `connect` does: they may have changed since. Raises as `connect` does."""
        old = self.contracts
        self.contracts = await find_contracts(old.rpc, old.domain.directory, self.chain_id, old.genesis)

    @property
    def sender_address(self) -> str | None:
        """The address of the key that writes, if there is one."""
        return self._sender.address if self._sender else None

    # --- identity ---

    async def enrol(self, enrolment: Enrolment, certificate: bytes, endpoint: str, site: str, signature: bytes) -> None:
        """Relay an account's delegation to a node key. Refused as AddressTaken once that key was enrolled."""
        await self._write("Members", "enrol", enrolment_values(enrolment), certificate, endpoint, site, signature)

    async def revoke(self, node: str, signature: bytes) -> None:
        """Relay an account's signed revocation of a node key. Refused as AlreadyRevoked the second time."""
        await self._write("Members", "revokeBySig", (TYPES_VERSION, node, ZERO32), signature)

    async def announce(self, endpoint: str, site: str) -> None:
        """Say where the sending node is reached."""
        await self._write("Members", "announce", endpoint, site)

    async def publish_offer(self, offer: Offer) -> None:
        """Publish the member's standing offer."""
        await self._write("Members", "publishOffer", offer_values(offer))

    async def declare_maintenance(self, first: Epoch, end: Epoch) -> None:
        """Declare maintenance in [first, end), two epochs ahead at least. Refused as BadWindow, OverBudget."""
        await self._write("Members", "declareMaintenance", first, end)

    async def cancel_maintenance(self, first: Epoch, end: Epoch) -> None:
        """Take declared maintenance back in [first, end), two epochs ahead at least. Refused as BadWindow."""
        await self._write("Members", "cancelMaintenance", first, end)

    async def leave(self) -> None:
        """Announce that the sending account's member leaves the network; for good. Refused as StillBound twice."""
        await self._write("Members", "leave")

    async def depart(self, member: MemberId) -> None:
        """Complete the leaving of a member that no agreement binds any more. Refused as WrongStatus the second time."""
        await self._write("Members", "depart", member)

    # --- the beacon ---

    async def commit_tip(self, tip: bytes) -> None:
        """Commit to a new hash onion; beats with it count two epochs later."""
        await self._write("Beacon", "commit", tip)

    async def beat(self, member: MemberId, link: bytes) -> None:
        """Reveal a member's next link. Refused as AlreadyBeat in the same epoch, BeatsClosed in its second half."""
        await self._write("Beacon", "beat", member, link)

    async def stand_down(self, member: int) -> None:
        """Take a member that has been silent for long out of the quorum."""
        await self._write("Beacon", "standDown", member)

    # --- agreements ---

    async def open_agreement(self, terms: Terms, client_signature: bytes, provider_signature: bytes) -> AgreementId:
        """Record an agreement that both signed. Refused as AlreadyOpened the second time."""
        await self._write("Agreements", "open", terms_values(terms), client_signature, provider_signature)
        return agreement_id(terms, self.domain)

    async def revise(self, revision: Revision, client_signature: bytes, provider_signature: bytes) -> None:
        """Record a co-signed revision. Refused as WrongSequence when its number is taken already."""
        await self._write("Agreements", "revise", revision_values(revision), client_signature, provider_signature)

    async def amend(self, amendment: Amendment, client_signature: bytes, provider_signature: bytes) -> None:
        """Record co-signed new terms; settles first. Refused as WrongNumber when its number is taken already."""
        await self._write("Amendments", "amend", amendment_values(amendment), client_signature, provider_signature)

    async def exit(self, id: AgreementId) -> None:
        """End an agreement early, against its cost. Only the account of either side may."""
        await self._write("Amendments", "exit", id)

    async def announce_removal(self, id: AgreementId, objects: bytes, leaves: int) -> None:
        """Announce that the client will remove these leaves once the minimum retention has passed.

        objects: SHA-256 of the objects' 32-byte roots, sorted and concatenated. Refused as RemovalPending while one is.
        """
        await self._write("Agreements", "announceRemoval", id, objects, leaves)

    async def cancel_removal(self, id: AgreementId) -> None:
        """Withdraw the announced removal. Refused as NoRemoval when none is pending."""
        await self._write("Agreements", "cancelRemoval", id)

    # --- proofs and money ---

    async def prove(self, proofs: Sequence[tuple[AgreementId, Sequence[Sample]]]) -> None:
        """Answer challenges of the current epoch, in as many transactions as their size needs, side by side.

        Each by one sample for each index of the challenge. What is proven already is passed over by the contract. A
        proof that is refused does not hold up the others: each is then sent alone, the first refusal raised at the end.
        """
        method = artifact("Proofs").methods["prove"]
        values = [(id, proof_of(samples)) for id, samples in proofs]
        groups: list[list[Any]] = []
        room = 0
        for value in values:
            size = len(method.encode([value]))
            if not groups or size > room:
                groups.append([])
                room = MAX_CALLDATA_BYTES
            groups[-1].append(value)
            room -= size
        await _side_by_side(groups, lambda group: self._write("Proofs", "prove", group))

    async def report_loss(self, id: AgreementId, start: int, leaves: int) -> None:
        """As provider, report leaves of the newest revision lost: not asked for from two epochs later on, unpaid.

        Refused as LossStands while another one is not made up for.
        """
        await self._write("Proofs", "reportLoss", id, start, leaves)

    async def report_restored(self, id: AgreementId) -> None:
        """As provider, say that the reported leaves are there again. Refused as NoLoss when there is nothing to end."""
        await self._write("Proofs", "reportRestored", id)

    async def make_demand(self, id: AgreementId, indices: Sequence[int]) -> None:
        """As client, demand that leaves be published. indices: ascending, as many as the rules allow in an epoch."""
        await self._write("Demands", "demand", id, list(indices))

    async def answer_demand(self, number: int, samples: Sequence[Sample]) -> None:
        """As provider, publish what is demanded. Refused as NotOpen once it is answered or closed."""
        await self._write("Demands", "answer", number, proof_of(samples))

    async def close_demand(self, number: int) -> None:
        """End a demand that was not answered in time; anyone may."""
        await self._write("Demands", "close", number)

    async def settle(self, ids: Sequence[AgreementId]) -> None:
        """Settle the closed epochs of these agreements; nothing happens for those with nothing to do."""
        groups = [list(ids[i : i + MAX_SETTLED]) for i in range(0, len(ids), MAX_SETTLED)]
        await _side_by_side(groups, lambda group: self._write("Clearing", "settleMany", group))

    async def appeal(self, id: AgreementId, number: int, reason: str) -> None:
        """Ask the consortium to cancel a heavy penalty. Refused as AppealTooLate, WrongDocketState the second time.

        reason: 256 bytes of UTF-8 at most; everyone can read it.
        """
        await self._write("Clearing", "appeal", id, number, reason)

    async def conclude(self, id: AgreementId, number: int) -> None:
        """Let a penalty stand that nobody appealed against, or decided on in time. Refused as StillContested before."""
        await self._write("Clearing", "conclude", id, number)

    async def report_probes(self, epoch: Epoch, probes: Sequence[tuple[MemberId, Figures]]) -> None:
        """Report what was measured of providers in the epoch before the current one, after this epoch's beat.

        Refused as ReportsClosed, NotDrawn, EntityReported and the like (node/spec/quality.md). A report that is refused
        does not hold up the others: each is then sent alone, and the first refusal raised at the end.
        """
        values = [(provider, figures_values(figures)) for provider, figures in probes]
        groups = [values[i : i + MAX_REPORTED] for i in range(0, len(values), MAX_REPORTED)]
        await _side_by_side(groups, lambda group: self._write("Quality", "report", epoch, group))

    async def withdraw(self, amount: int, to: str) -> None:
        """Send micro-credits out of the member's account; the sending key must be the account's own."""
        await self._write("Clearing", "withdraw", amount, to)

    async def anchor(self, repository: int, number: int, head: bytes) -> None:
        """Anchor a head's hash. Refused as NumberNotGrowing once this or a later number is anchored."""
        await self._write("Anchors", "anchor", repository, number, head)

    async def _write(self, contract: str, method: str, *arguments: Any) -> Mined:
        if self._sender is None:
            raise NotAMember("this needs a node key: open the keystore of a member's home first")
        data = artifact(contract).methods[method].encode(*arguments)
        return await self._sender.send(self.contracts.addresses[contract], data)


async def _side_by_side(groups: Sequence[list[T]], send: Callable[[list[T]], Awaitable[object]]) -> None:
    """Send all groups at once; a refused group's items again one by one. Raises the first refusal of a single item."""
    refused: list[Reverted] = []

    async def one(group: list[T]) -> None:
        try:
            await send(group)
        except Reverted as error:
            if len(group) == 1:
                refused.append(error)
                return
            for item in group:
                await one([item])

    outcomes = await asyncio.gather(*(one(group) for group in groups), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    if refused:
        raise refused[0]
