"""Who agrees to what. Pure: both sides' decisions on terms, each with its reason. State table: node/spec/wire.md.

The client proposes from the provider's offer on chain and its own policy; the provider accepts, refuses, or counters
once with the nearest terms that it would accept; the client takes or leaves the counter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from peerage.deal.policy import AGREEMENT_MIN_BYTES, Give, Policy
from peerage.wire.refusals import RefusalCode
from peerage_chain.quality import Clause
from peerage_chain.types import GIB, TYPES_VERSION, ZERO32, Epoch, MemberId, MemberInfo, Offer, Terms

OPEN_WITHIN_EPOCHS = 16
"""Epochs after the proposal in which an agreement may still be opened: the provider keeps room for so long."""
START_AHEAD_EPOCHS = 16
"""How far ahead of now a term may begin."""
LEAF = 1024
FREE_TO_COUNTER = (
    "capacity",
    "price_per_gib_epoch",
    "egress_price_per_gib",
    "collateral",
    "min_bandwidth_kib_s",
    "min_retention_epochs",
    "end_epoch",
)
"""The only fields that a counter-proposal may change."""


@dataclass(frozen=True, slots=True)
class Accept:
    reason: str = "within policy"


@dataclass(frozen=True, slots=True)
class Counter:
    terms: Terms
    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    code: RefusalCode
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Yes or no, and why; true when yes."""

    ok: bool
    reason: str

    def __bool__(self) -> bool:
        return self.ok


def collateral_for(capacity: int, per_gib: int) -> int:
    """Collateral of a capacity, rounded up."""
    return -(-capacity * per_gib // GIB)


# --- the provider's side ----------------------------------------------------------------------------------------------


def decide(
    terms: Terms,
    policy: Policy,
    offer: Offer,
    signed_bytes: int,
    free_bytes: int,
    client: MemberInfo,
    now: Epoch,
    signed_for_client: int = 0,
) -> Accept | Counter | Refuse:
    """The provider's answer to proposed terms.

    offer: this node's offer on chain, which bounds what the contracts let it sign. signed_bytes: capacity of its live
    agreements and of those it signed that may still be opened. free_bytes: room on disk that no agreement has yet.
    """
    refusal = _malformed(terms, now) or _unfit_client(client) or _too_strict(terms, policy.give)
    if refusal:
        return refusal
    give = policy.give
    room = min(offer.capacity, give.capacity_bytes) - signed_bytes
    room = min(room, free_bytes)
    if give.max_bytes_per_member:
        room = min(room, give.max_bytes_per_member - signed_for_client)
    room -= room % LEAF
    if room < AGREEMENT_MIN_BYTES:
        return Refuse(RefusalCode.OVER_CAPACITY, "no room for another agreement")
    capacity = min(terms.capacity, room)
    longest = min(give.max_term_epochs, offer.term_epochs)
    wanted = replace(
        terms,
        capacity=capacity,
        price_per_gib_epoch=max(terms.price_per_gib_epoch, give.price_per_gib_epoch),
        egress_price_per_gib=max(terms.egress_price_per_gib, give.egress_price_per_gib),
        collateral=min(terms.collateral, collateral_for(capacity, give.collateral_per_gib)),
        min_bandwidth_kib_s=min(terms.min_bandwidth_kib_s, give.bandwidth_kib_s),
        min_retention_epochs=min(terms.min_retention_epochs, give.min_retention_epochs),
        end_epoch=min(terms.end_epoch, Epoch(terms.start_epoch + longest)),
    )
    if wanted == terms:
        return Accept()
    return Counter(wanted, f"this node agrees to {_differences(terms, wanted)}")


def _malformed(terms: Terms, now: Epoch) -> Refuse | None:
    checks = (
        (terms.version == TYPES_VERSION, f"version {terms.version} of Terms is not known here"),
        (terms.renews == ZERO32, "renewals are not known here yet"),
        (_readable(terms.quality_clause), "this quality clause is not known here"),
        (terms.extension == ZERO32, "extensions are not known here"),
        (terms.client != terms.provider, "client and provider are the same member"),
        (terms.capacity >= AGREEMENT_MIN_BYTES, f"capacity is below {AGREEMENT_MIN_BYTES} bytes"),
        (terms.capacity % LEAF == 0, f"capacity is not a multiple of {LEAF} bytes"),
        (terms.start_epoch < terms.end_epoch, "the term is empty"),
        (terms.end_epoch > now, "the term is over"),
        (terms.start_epoch <= now + START_AHEAD_EPOCHS, f"the term starts over {START_AHEAD_EPOCHS} epochs from now"),
        (terms.start_epoch + START_AHEAD_EPOCHS >= now, f"the term starts over {START_AHEAD_EPOCHS} epochs ago"),
        (now <= terms.open_by, "it could no longer be opened"),
        (terms.open_by <= now + OPEN_WITHIN_EPOCHS, f"it asks to keep room for over {OPEN_WITHIN_EPOCHS} epochs"),
    )
    for holds, reason in checks:
        if not holds:
            return Refuse(RefusalCode.BAD_TERMS, reason)
    return None


def _readable(clause: bytes) -> bool:
    try:
        Clause.unpack(clause)
    except ValueError:
        return False
    return True


def _too_strict(terms: Terms, give: Give) -> Refuse | None:
    clause = Clause.unpack(terms.quality_clause)
    if clause is None:
        return None
    checks = (
        (clause.withheld_percent <= give.max_withheld_percent, f"at most {give.max_withheld_percent} % of the pay"),
        (
            max(clause.min_down_kib_s, clause.min_up_kib_s) <= give.bandwidth_kib_s,
            f"at most {give.bandwidth_kib_s} KiB/s",
        ),
        (clause.max_latency_ms == 0, "no latency"),
    )
    for holds, reason in checks:
        if not holds:
            return Refuse(RefusalCode.POLICY_REFUSED, f"this node lets a quality clause ask for {reason}")
    return None


def _unfit_client(client: MemberInfo) -> Refuse | None:
    if not client.status.promises:
        return Refuse(RefusalCode.SUSPENDED, f"member {client.id} is {client.status.name.lower()}")
    return None


def _differences(asked: Terms, wanted: Terms) -> str:
    return ", ".join(f"{n} {getattr(wanted, n)}" for n in FREE_TO_COUNTER if getattr(asked, n) != getattr(wanted, n))


# --- the client's side ------------------------------------------------------------------------------------------------


def propose(client: MemberId, provider: MemberInfo, policy: Policy, capacity: int, now: Epoch, salt: bytes) -> Terms:
    """Terms for a provider that `suits`, from its offer: its price, and what the policy asks within what it offers.

    capacity: bytes wanted, brought up to the policy's minimum and to whole leaves. salt: 32 random bytes.
    """
    offer, take = provider.offer, policy.take
    bandwidth = min(offer.bandwidth_kib_s, max(take.min_bandwidth_kib_s, 1))
    wanted = min(max(capacity, take.min_agreement_bytes), max(offer.capacity, AGREEMENT_MIN_BYTES))
    wanted += -wanted % LEAF
    return Terms(
        client=client,
        provider=provider.id,
        capacity=wanted,
        price_per_gib_epoch=offer.price_per_gib_epoch,
        egress_price_per_gib=offer.egress_price_per_gib,
        collateral=collateral_for(wanted, offer.collateral_per_gib),
        min_bandwidth_kib_s=bandwidth,
        min_retention_epochs=min(take.retention_epochs, offer.min_retention_epochs),
        start_epoch=now,
        end_epoch=Epoch(now + max(1, min(take.term_epochs, offer.term_epochs))),
        open_by=Epoch(now + OPEN_WITHIN_EPOCHS),
        salt=salt,
        quality_clause=Clause(bandwidth, bandwidth, 0, take.withheld_percent).pack()
        if take.withheld_percent
        else ZERO32,
    )


def accept_counter(terms: Terms, original: Terms, policy: Policy) -> Verdict:
    """Whether the client takes a counter-proposal. There is one counter only: a no ends the talk."""
    unchanged = replace(original, **{name: getattr(terms, name) for name in FREE_TO_COUNTER})
    if terms != unchanged:
        return Verdict(False, "it changes what is not open to change")
    if not AGREEMENT_MIN_BYTES <= terms.capacity <= original.capacity:
        return Verdict(False, f"it offers {terms.capacity} bytes where {original.capacity} were asked for")
    if terms.end_epoch > original.end_epoch:
        return Verdict(False, "it is for longer than was asked")
    take = policy.take
    return _within(
        (
            (
                terms.capacity >= min(take.min_agreement_bytes, original.capacity),
                "it is smaller than the policy allows",
            ),
            (
                terms.end_epoch - terms.start_epoch
                >= min(take.min_term_epochs, original.end_epoch - original.start_epoch),
                "its term is shorter than the policy allows",
            ),
            (terms.price_per_gib_epoch <= take.max_price_per_gib_epoch, "its price is above the policy's"),
            (terms.egress_price_per_gib <= take.max_egress_price_per_gib, "its egress price is above the policy's"),
            (
                terms.collateral >= collateral_for(terms.capacity, take.min_collateral_per_gib),
                "its collateral is below the policy's",
            ),
            (terms.min_bandwidth_kib_s >= take.min_bandwidth_kib_s, "its bandwidth is below the policy's"),
            (
                terms.min_retention_epochs >= min(take.retention_epochs, original.min_retention_epochs),
                "it keeps too short",
            ),
        ),
        "the counter-proposal is within policy",
    )


@dataclass(frozen=True, slots=True)
class Prospect:
    """A member as a possible provider. free_bytes: its offer less what it already signed. quality: 0 (worst) to 1,
    which it is while nothing is known."""

    member: MemberInfo
    free_bytes: int
    quality: float = 1.0
    reachable: bool = True


@dataclass(frozen=True, slots=True)
class Ranking:
    """suited: best first. refused: who was left out, and why."""

    suited: tuple[Prospect, ...]
    refused: tuple[tuple[MemberId, str], ...]


def suits(prospect: Prospect, policy: Policy, capacity: int) -> Verdict:
    """Whether the policy allows an agreement of `capacity` bytes with this member."""
    member, offer, take = prospect.member, prospect.member.offer, policy.take
    needed = max(AGREEMENT_MIN_BYTES, min(capacity, take.min_agreement_bytes))
    allowed = not take.jurisdictions_allow or member.jurisdiction in take.jurisdictions_allow
    return _within(
        (
            (member.status.promises, "it is not an active member"),
            (prospect.reachable, "it cannot be reached"),
            (offer.capacity > 0, "it offers nothing"),
            (prospect.free_bytes >= needed, f"it has {max(0, prospect.free_bytes)} bytes left of its offer"),
            (allowed and member.jurisdiction not in take.jurisdictions_deny, f"jurisdiction {member.jurisdiction}"),
            (member.legal_entity.hex() not in take.legal_entities_deny, "its legal entity is on the deny list"),
            (offer.price_per_gib_epoch <= take.max_price_per_gib_epoch, "its price is above the policy's"),
            (offer.egress_price_per_gib <= take.max_egress_price_per_gib, "its egress price is above the policy's"),
            (offer.collateral_per_gib >= take.min_collateral_per_gib, "its collateral is below the policy's"),
            (offer.bandwidth_kib_s >= take.min_bandwidth_kib_s, "its bandwidth is below the policy's"),
            (prospect.quality * 100 >= take.min_quality_percent, f"its measured quality is {prospect.quality:.2f}"),
            (offer.term_epochs >= min(take.min_term_epochs, take.term_epochs), "its longest term is too short"),
        ),
        "within policy",
    )


def rank(prospects: Iterable[Prospect], policy: Policy, capacity: int) -> Ranking:
    """Who to ask, best first: measured quality in tenths, then price, then room, then the lower member number."""
    suited: list[Prospect] = []
    refused: list[tuple[MemberId, str]] = []
    for prospect in prospects:
        verdict = suits(prospect, policy, capacity)
        if verdict:
            suited.append(prospect)
        else:
            refused.append((prospect.member.id, verdict.reason))
    return Ranking(tuple(sorted(suited, key=_preference)), tuple(refused))


def _preference(prospect: Prospect) -> tuple[int, int, int, int]:
    # In tenths, so that noise in a measurement does not outweigh a price.
    quality = round(prospect.quality * 10)
    return (-quality, prospect.member.offer.price_per_gib_epoch, -prospect.free_bytes, prospect.member.id)


def _within(checks: Iterable[tuple[bool, str]], yes: str) -> Verdict:
    for holds, reason in checks:
        if not holds:
            return Verdict(False, reason)
    return Verdict(True, yes)
