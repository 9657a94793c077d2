"""What the flows need from the outside, as protocols. Adapters live in store/, net/ and peerage_chain; the composition
(daemon/, cli/) chooses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from peerage.model import AgreementId, MemberId, ObjectKind, Receipt, ShardRoot
from peerage_chain.quality import Drawing, Figures, QualityRecord
from peerage_chain.types import (
    AgreementInfo,
    Amendment,
    Anchor,
    ChainTime,
    Challenge,
    Demand,
    Docket,
    Enrolment,
    Epoch,
    Loss,
    MemberInfo,
    Offer,
    Removal,
    Revision,
    Sample,
    Terms,
)

Buffer = bytes | bytearray | memoryview


class Ledger(Protocol):
    """The chain as a node sees it. Every method raises ChainUnavailable when it cannot be reached (nothing was sent, or
    it is not known), and Reverted(name, args) when a contract refuses. Writes return once mined."""

    chain_id: int

    async def now(self) -> ChainTime: ...
    async def roster(self) -> Sequence[MemberInfo]: ...
    def known_roster(self) -> Sequence[MemberInfo]:
        """All members as they were read last; none before the first reading."""
        ...

    async def roster_generation(self) -> int: ...
    async def agreement(self, id: AgreementId) -> AgreementInfo: ...
    async def agreements_of(self, member: MemberId) -> Sequence[AgreementInfo]: ...
    async def promised(self, provider: MemberId) -> int:
        """Bytes that a provider has promised in agreements in force."""
        ...

    async def challenge(self, id: AgreementId, epoch: Epoch) -> Challenge: ...
    async def open_challenges(self, ids: Sequence[AgreementId], epoch: Epoch) -> Sequence[Challenge]:
        """The challenges of an epoch that are due and not proven yet."""
        ...

    async def removal_of(self, id: AgreementId) -> Removal | None:
        """The removal of data that is announced and still pending, or None."""
        ...

    async def loss_of(self, id: AgreementId) -> Loss | None:
        """The loss that the provider reported last, over or not; or None."""
        ...

    async def last_beat(self, member: MemberId) -> Epoch: ...
    async def proven(self, id: AgreementId, epoch: Epoch) -> bool: ...
    async def epoch_valid(self, epoch: Epoch) -> bool: ...
    async def balance(self, member: MemberId) -> int: ...
    async def anchor_of(self, member: MemberId, repository: int) -> Anchor: ...
    async def beacon_tip(self, member: MemberId) -> tuple[bytes, Epoch]: ...

    async def enrol(
        self, enrolment: Enrolment, certificate: bytes, endpoint: str, site: str, signature: bytes
    ) -> None: ...
    async def announce(self, endpoint: str, site: str) -> None: ...
    async def publish_offer(self, offer: Offer) -> None: ...
    async def commit_tip(self, tip: bytes) -> None: ...
    async def beat(self, member: MemberId, link: bytes) -> None: ...
    async def open_agreement(self, terms: Terms, client_signature: bytes, provider_signature: bytes) -> AgreementId: ...
    async def amend(self, amendment: Amendment, client_signature: bytes, provider_signature: bytes) -> None: ...
    async def revise(self, revision: Revision, client_signature: bytes, provider_signature: bytes) -> None: ...
    async def announce_removal(self, id: AgreementId, objects: bytes, leaves: int) -> None:
        """The client's announcement; a revision may have these leaves less from the epoch `ready` on, not before.

        objects: SHA-256 of the objects' 32-byte roots, sorted and concatenated.
        """
        ...

    async def cancel_removal(self, id: AgreementId) -> None: ...
    async def prove(self, proofs: Sequence[tuple[AgreementId, Sequence[Sample]]]) -> None: ...
    async def open_demands(self, provider: MemberId) -> Sequence[Demand]: ...
    async def answered_demands(self, id: AgreementId) -> Sequence[tuple[Demand, tuple[bytes, ...]]]:
        """Every answered demand under an agreement, oldest first, with the leaves that it brought to light."""
        ...

    async def answer_demand(self, number: int, samples: Sequence[Sample]) -> None: ...
    async def report_loss(self, id: AgreementId, start: int, leaves: int) -> None: ...
    async def report_restored(self, id: AgreementId) -> None: ...
    async def make_demand(self, id: AgreementId, indices: Sequence[int]) -> None:
        """As client, demand that leaves be published, by their ascending indices, against a deposit."""
        ...

    async def close_demand(self, number: int) -> None: ...
    async def settle(self, ids: Sequence[AgreementId]) -> None: ...
    async def dockets_of(self, id: AgreementId) -> Sequence[Docket]:
        """The agreement's contested penalties, open and closed, by their numbers from 0 on."""
        ...

    async def appeal(self, id: AgreementId, number: int, reason: str) -> None:
        """As provider, ask the consortium to cancel a heavy penalty. reason: 256 bytes at most, for all to read."""
        ...

    async def conclude(self, id: AgreementId, number: int) -> None: ...
    async def drawing(self, epoch: Epoch) -> Drawing | None:
        """What the draws of an epoch depend on; None if it has no seed."""
        ...

    async def quality_records(
        self, providers: Sequence[MemberId], first: Epoch, end: Epoch
    ) -> Mapping[MemberId, Sequence[QualityRecord | None]]:
        """Each provider's median record of every epoch in [first, end); None where there is none."""
        ...

    async def report_probes(self, epoch: Epoch, probes: Sequence[tuple[MemberId, Figures]]) -> None:
        """Report what was measured in the epoch before the current one, after this epoch's beat."""
        ...

    async def anchor(self, repository: int, number: int, head: bytes) -> None: ...


class Peers(Protocol):
    """Other members' nodes, over mutually authenticated TLS. Raises PeerUnavailable, PeerRefused, PeerFault."""

    async def propose(self, member: MemberId, terms: Terms) -> tuple[Terms, bytes | None]:
        """The provider's answer: (terms, its signature) when it accepts, (counter-proposal, None) when it counters."""
        ...

    async def amend(self, member: MemberId, amendment: Amendment) -> tuple[Amendment, bytes | None]:
        """As propose, for new terms of an agreement in force."""
        ...

    async def put_object(
        self,
        member: MemberId,
        agreement: AgreementId,
        root: ShardRoot,
        data: Buffer,
        kind: ObjectKind = ObjectKind.SHARD,
        repository: int = 0,
        number: int = 0,
    ) -> Receipt:
        """Store one object; returns after the provider has it durably and the receipt's signature was checked."""
        ...

    async def cosign(
        self,
        member: MemberId,
        revision: Revision,
        appended: Sequence[ShardRoot],
        client_signature: bytes,
        removed: Sequence[ShardRoot] = (),
    ) -> bytes:
        """The provider's signature. removed: the objects of an announced removal whose time has come, sorted; then
        nothing is appended."""
        ...

    async def get_object(
        self, member: MemberId, root: ShardRoot, offset: int = 0, length: int | None = None
    ) -> bytes: ...
    async def drop_object(self, member: MemberId, agreement: AgreementId, root: ShardRoot) -> None:
        """Have an object dropped that no revision lists."""
        ...

    async def list_objects(self, member: MemberId, agreement: AgreementId) -> list[tuple[ShardRoot, int]]:
        """The agreement's objects in tree order: (root, leaves), co-signed ones first, then those stored since."""
        ...

    async def list_heads(self, member: MemberId, repository: int) -> list[tuple[int, ShardRoot, int]]:
        """Heads kept for the caller, newest first: (number, root, bytes)."""
        ...
