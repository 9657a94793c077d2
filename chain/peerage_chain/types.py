"""Value types of the chain: what the contracts hold and what both sides sign. Pure: no I/O, no web3.

Amounts are micro-credits (10^-6 credit), sizes bytes, times epochs, unless a name says otherwise. The EIP-712 types are
normative in node/spec/agreements.md and identical in contracts/src/types.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NewType

MemberId = NewType("MemberId", int)
"""A member's number on chain, from 1 on; it survives a change of the member's account."""
Epoch = NewType("Epoch", int)
AgreementId = NewType("AgreementId", bytes)
"""32 bytes: the EIP-712 digest of the agreement's Terms."""

ZERO32 = bytes(32)
TYPES_VERSION = 1
CREDIT = 1_000_000
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Terms:
    """What an agreement promises (EIP-712 `Terms`), signed by a node key of each side.

    capacity: bytes that the provider keeps free for the client. collateral: micro-credits that the provider puts up.
    price: micro-credits per GiB of recorded leaves and epoch. start, end: first epoch, and the first epoch after the
    term. open_by: last epoch in which it may be opened. renews: the agreement continued, or zero.
    """

    client: MemberId
    provider: MemberId
    capacity: int
    price_per_gib_epoch: int
    egress_price_per_gib: int
    collateral: int
    min_bandwidth_kib_s: int
    min_retention_epochs: int
    start_epoch: Epoch
    end_epoch: Epoch
    open_by: Epoch
    salt: bytes
    renews: bytes = ZERO32
    quality_clause: bytes = ZERO32
    extension: bytes = ZERO32
    version: int = TYPES_VERSION


@dataclass(frozen=True, slots=True)
class Deal:
    """What the chain keeps of an agreement's terms, as amended; the fields mean what they mean in Terms.

    start: first epoch of the term, or that of the opening if it came later.
    """

    client: MemberId
    provider: MemberId
    capacity: int
    price_per_gib_epoch: int
    egress_price_per_gib: int
    collateral: int
    min_retention_epochs: int
    start_epoch: Epoch
    end_epoch: Epoch
    quality_clause: bytes = ZERO32

    @classmethod
    def of(cls, terms: Terms, opened: Epoch) -> Deal:
        """What is kept of terms by which an agreement was opened in an epoch."""
        return cls(
            terms.client,
            terms.provider,
            terms.capacity,
            terms.price_per_gib_epoch,
            terms.egress_price_per_gib,
            terms.collateral,
            terms.min_retention_epochs,
            max(terms.start_epoch, opened),
            terms.end_epoch,
            terms.quality_clause,
        )


@dataclass(frozen=True, slots=True)
class Amendment:
    """New terms for an agreement in force (EIP-712 `Amendment`), all of them, changed or not.

    number grows by one. expires: the last epoch in which it may be recorded. The other fields mean what they mean in
    Terms.
    """

    agreement: AgreementId
    number: int
    capacity: int
    price_per_gib_epoch: int
    egress_price_per_gib: int
    collateral: int
    min_retention_epochs: int
    end_epoch: Epoch
    expires: Epoch
    extension: bytes = ZERO32
    version: int = TYPES_VERSION


@dataclass(frozen=True, slots=True)
class Revision:
    """The co-signed state of an agreement's data (EIP-712 `Revision`).

    sequence grows by one; previous is the EIP-712 digest of the revision before (zero for the first). root and leaves
    are those of the agreement's Merkle sum tree. bytes_up and bytes_down are cumulative traffic counters. expires is
    the last epoch in which it may be recorded.
    """

    agreement: AgreementId
    sequence: int
    previous: bytes
    root: bytes
    leaves: int
    bytes_up: int
    bytes_down: int
    expires: Epoch
    extension: bytes = ZERO32
    version: int = TYPES_VERSION


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A member's account delegates to a node key (EIP-712 `Enrolment`, signed by the account, relayed by anyone).

    account, node: checksummed addresses. certificate_hash: SHA-256 of the node's TLS certificate (DER). expires_at and
    issued_at: Unix seconds. spending_limit: micro-credits the node may bind in agreements. exclusive: revokes every
    other node key of the member. A node key can be enrolled once only, so an enrolment cannot be replayed.
    """

    account: str
    node: str
    certificate_hash: bytes
    issued_at: int
    expires_at: int
    spending_limit: int
    exclusive: bool
    extension: bytes = ZERO32
    version: int = TYPES_VERSION


@dataclass(frozen=True, slots=True)
class Offer:
    """A member's standing offer as provider. capacity 0 means none. term_epochs: the longest term it signs."""

    capacity: int
    price_per_gib_epoch: int
    egress_price_per_gib: int
    collateral_per_gib: int
    bandwidth_kib_s: int
    min_retention_epochs: int
    term_epochs: int


class MemberStatus(IntEnum):
    """What each may do is the contracts' StatusTable; reading one's own data is refused to none."""

    NONE = 0
    ACTIVE = 1
    SUSPENDED = 2
    LEAVING = 3
    LEFT = 4

    @property
    def writes(self) -> bool:
        """Whether it may revise, anchor and announce removals."""
        return self in (MemberStatus.ACTIVE, MemberStatus.LEAVING)

    @property
    def promises(self) -> bool:
        """Whether it may offer, open agreements, and prolong or enlarge them."""
        return self is MemberStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """One enrolled node key. certificate: TLS certificate, DER. revoked ones are listed too."""

    key: str
    certificate: bytes
    endpoint: str
    site: str
    expires_at: int
    revoked: bool


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """A member as the chain shows it; nodes newest last."""

    id: MemberId
    account: str
    status: MemberStatus
    legal_entity: bytes
    jurisdiction: str
    name: str
    offer: Offer
    nodes: tuple[NodeInfo, ...]

    def live_nodes(self, now_s: int) -> tuple[NodeInfo, ...]:
        """The node keys that are neither revoked nor expired at now_s (chain time, Unix seconds)."""
        return tuple(n for n in self.nodes if not n.revoked and n.expires_at > now_s)


class AgreementState(IntEnum):
    NONE = 0
    ACTIVE = 1
    GRACE = 2
    """The escrow is empty: data is kept for a while and the client may pay."""
    LAPSED = 3
    FAILED = 4
    """The provider missed past the threshold."""
    ENDED = 5


LIVE_STATES = (AgreementState.ACTIVE, AgreementState.GRACE)


@dataclass(frozen=True, slots=True)
class AgreementInfo:
    """An agreement as the chain shows it.

    settled_through: the last epoch that a settlement covered. amendments: how many there were. bytes_up, bytes_down:
    the cumulative traffic of the newest revision.
    """

    id: AgreementId
    terms: Deal
    state: AgreementState
    sequence: int
    revision: bytes
    root: bytes
    leaves: int
    revised_epoch: Epoch
    settled_through: Epoch
    escrow: int
    collateral: int
    misses: int
    amendments: int = 0
    bytes_up: int = 0
    bytes_down: int = 0

    @property
    def is_live(self) -> bool:
        """Whether data is kept and may be added under it."""
        return self.state in LIVE_STATES


class DocketState(IntEnum):
    """Where a contested penalty stands."""

    NONE = 0
    OPEN = 1
    APPEALED = 2
    STANDS = 3
    CANCELLED = 4


@dataclass(frozen=True, slots=True)
class Docket:
    """A heavy penalty that was taken from a provider's collateral and waits: to_client of it for the client, burned for
    nobody. appeal_until: the last epoch to appeal in; decide_until: the last one to decide in, 0 before an appeal."""

    to_client: int
    burned: int
    appeal_until: Epoch
    decide_until: Epoch
    state: DocketState


@dataclass(frozen=True, slots=True)
class Removal:
    """Data that the client has announced to remove from an agreement, and has not removed or kept after all yet.

    objects: SHA-256 of the objects' 32-byte roots, sorted and concatenated. leaves: of those objects. ready: the first
    epoch in which the revision without them may be recorded.
    """

    objects: bytes
    leaves: int
    ready: Epoch


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a provider must prove in `epoch`. due is False with no leaves or a void epoch; then indices is empty.

    root, leaves and sequence are those of the revision that the challenge is over, not of the newest.
    """

    agreement: AgreementId
    epoch: Epoch
    due: bool
    seed: bytes
    sequence: int
    root: bytes
    leaves: int
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One opened leaf: 1,024 bytes, and its path from the leaf up: (sibling hash, sibling leaves, sibling is left)."""

    leaf: bytes
    path: tuple[tuple[bytes, int, bool], ...]


@dataclass(frozen=True, slots=True)
class Loss:
    """Leaves, from `start` on, that a provider reported lost: not asked for in the epochs [since, until)."""

    start: int
    leaves: int
    since: Epoch
    until: Epoch
    restored: bool


class DemandState(IntEnum):
    NONE = 0
    OPEN = 1
    ANSWERED = 2
    UNANSWERED = 3
    VOID = 4
    """An epoch of the time to answer had no quorum."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A client's demand that its provider publish leaves. root, sequence, leaves: of the revision that it is about.

    until: the last epoch to answer in. deposit: micro-credits that the answer earns. indices: the leaves, ascending.
    """

    number: int
    agreement: AgreementId
    root: bytes
    sequence: int
    leaves: int
    client: MemberId
    provider: MemberId
    epoch: Epoch
    until: Epoch
    state: DemandState
    deposit: int
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Anchor:
    """The newest anchored head of a member's repository; number 0 means none."""

    number: int
    head: bytes
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Params:
    """The network's parameters, from the Directory. Units in the names."""

    epoch_s: int
    genesis_time_s: int
    samples: int


@dataclass(frozen=True, slots=True)
class ChainTime:
    """The chain's clock, from its newest block."""

    block: int
    timestamp_s: int
    epoch: Epoch
    epoch_start_s: int
    epoch_s: int

    @property
    def beats_open(self) -> bool:
        """Beats are taken in the first half of an epoch."""
        return (self.timestamp_s - self.epoch_start_s) * 2 < self.epoch_s
