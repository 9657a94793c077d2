"""Who agrees to what. Pure: both sides' decisions on terms, each with its reason. State table: node/spec/wire.md.

The client proposes from the provider's offer on chain and its own policy; the provider accepts, refuses, or counters
once with the nearest terms that it would accept; the client takes or leaves the counter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from peerage.deal.policy import AGREEMENT_MIN_BYTES, Give, Policy
from peerage.wire.refusals import RefusalCode
from peerage_chain.quality import Clause
from peerage_chain.types import GIB, TYPES_VERSION, ZERO32, Epoch, MemberId, MemberInfo, Offer, Terms

OPEN_WITHIN_EPOCHS = 16
"""Epochs after the proposal in which an agreement may still be opened: the provider keeps room for so long."""
OPEN_SOON_EPOCHS = 8
"""What a client asks for: it opens at once, and what it could not open must not stand in its own way for long."""
UNOPENED_MAX = 2
"""Terms that a provider has signed for one client and that may still be opened: one, and one after a crash."""
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

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Accept:
    reason: str = "within policy"
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Counter(Generic[T]):
    """terms: those that this node would sign, or the amendment that it would."""

    terms: T
    reason: str
    rule: str = "give"


@dataclass(frozen=True, slots=True)
class Refuse:
    """reason: as the client is told. rule: the policy's key that decided, or what else did."""

    code: RefusalCode
    reason: str
    rule: str = "terms"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Yes or no, and why; true when yes. rule: the policy's key that decided, or what else did; empty for yes."""

    ok: bool
    reason: str
    rule: str = ""

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
    room_and_rule: tuple[int, str],
    client: MemberInfo,
    now: Epoch,
) -> Accept | Counter[Terms] | Refuse:
    """The provider's answer to proposed terms.

    offer: this node's offer on chain, which bounds what the contracts let it sign. room_and_rule: as of room_for.
    """
    refusal = _malformed(terms, now) or _unfit_client(client) or _too_strict(terms, policy.give)
    if refusal:
        return refusal
    give = policy.give
    room, rule = room_and_rule
    if room < AGREEMENT_MIN_BYTES:
        return Refuse(RefusalCode.OVER_CAPACITY, "no room for another agreement", rule)
    capacity = min(terms.capacity, room)
    longest = min(give.max_term_epochs, offer.term_epochs)
    wanted = replace(
        terms,
        capacity=capacity,
        price_per_gib_epoch=max(terms.price_per_gib_epoch, give.price_per_gib_epoch),
        egress_price_per_gib=max(terms.egress_price_per_gib, give.egress_price_per_gib),
        collateral=min(terms.collateral, collateral_for(capacity, give.collateral_per_gib)),
        min_bandwidth_kib_s=min(terms.min_bandwidth_kib_s, give.lasting_kib_s),
        min_retention_epochs=min(terms.min_retention_epochs, give.min_retention_epochs),
        end_epoch=min(terms.end_epoch, Epoch(terms.start_epoch + longest)),
    )
    if wanted == terms:
        return Accept()
    return Counter(wanted, f"this node agrees to {_differences(terms, wanted)}")


def room_for(
    give: Give, offer: Offer, signed_bytes: int, free_bytes: int, signed_for_client: int, taken_bytes: int
) -> tuple[int, str]:
    """Bytes, in whole leaves, that may still be promised to a client; and the rule that allows no more.

    signed_bytes: capacity of this node's live agreements and of those it signed that may still be opened. free_bytes:
    room on disk that none of these has yet. signed_for_client: of signed_bytes, this client's. taken_bytes: capacity of
    the live agreements that this node's member has as client.
    """
    rooms = {
        "give.capacity_bytes": min(offer.capacity, give.capacity_bytes) - signed_bytes,
        "free disk": free_bytes,
    }
    if give.max_bytes_per_member:
        rooms["give.max_bytes_per_member"] = give.max_bytes_per_member - signed_for_client
    if give.barter_percent:
        rooms["give.barter_percent"] = give.barter_start_bytes + taken_bytes * give.barter_percent // 100 - signed_bytes
    rule = min(rooms, key=lambda name: rooms[name])
    return rooms[rule] - rooms[rule] % LEAF, rule


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
            max(clause.min_down_kib_s, clause.min_up_kib_s) <= give.lasting_kib_s,
            f"at most {give.lasting_kib_s} KiB/s",
        ),
        (clause.max_latency_ms == 0, "no latency"),
    )
    for holds, reason in checks:
        if not holds:
            reason = f"this node lets a quality clause ask for {reason}"
            return Refuse(RefusalCode.POLICY_REFUSED, reason, "give.max_withheld_percent, give.bandwidth_kib_s")
    return None


def _unfit_client(client: MemberInfo) -> Refuse | None:
    if not client.status.promises:
        return Refuse(RefusalCode.SUSPENDED, f"member {client.id} is {client.status.name.lower()}", "status")
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
        open_by=Epoch(now + OPEN_SOON_EPOCHS),
        salt=salt,
        quality_clause=Clause(bandwidth, bandwidth, 0, take.withheld_percent).pack()
        if take.withheld_percent
        else ZERO32,
    )


def accept_counter(terms: Terms, original: Terms, policy: Policy) -> Verdict:
    """Whether the client takes a counter-proposal. There is one counter only: a no ends the talk."""
    unchanged = replace(original, **{name: getattr(terms, name) for name in FREE_TO_COUNTER})
    take = policy.take
    smallest = max(AGREEMENT_MIN_BYTES, min(take.min_agreement_bytes, original.capacity))
    shortest = min(take.min_term_epochs, original.end_epoch - original.start_epoch)
    least = collateral_for(terms.capacity, take.min_collateral_per_gib)
    keeps = min(take.retention_epochs, original.min_retention_epochs)
    return within(
        (
            (terms == unchanged, "terms", "it changes what is not open to change"),
            at_least("take.min_agreement_bytes", "capacity", terms.capacity, smallest),
            at_most("terms", "capacity", terms.capacity, original.capacity),
            at_most("terms", "last epoch", terms.end_epoch, original.end_epoch),
            at_least("take.min_term_epochs", "term", terms.end_epoch - terms.start_epoch, shortest),
            at_most("take.max_price_per_gib_epoch", "price", terms.price_per_gib_epoch, take.max_price_per_gib_epoch),
            at_most(
                "take.max_egress_price_per_gib",
                "egress price",
                terms.egress_price_per_gib,
                take.max_egress_price_per_gib,
            ),
            at_least("take.min_collateral_per_gib", "collateral", terms.collateral, least),
            at_least("take.min_bandwidth_kib_s", "bandwidth", terms.min_bandwidth_kib_s, take.min_bandwidth_kib_s),
            at_least("take.retention_epochs", "retention", terms.min_retention_epochs, keeps),
        ),
        "the counter-proposal is within policy",
    )


Check = tuple[bool, str, str]


def at_most(rule: str, what: str, value: int, limit: int) -> Check:
    return value <= limit, rule, f"its {what} {value} is above {limit}"


def at_least(rule: str, what: str, value: int, limit: int) -> Check:
    return value >= limit, rule, f"its {what} {value} is below {limit}"


def within(checks: Iterable[Check], yes: str) -> Verdict:
    for holds, rule, reason in checks:
        if not holds:
            return Verdict(False, reason, rule)
    return Verdict(True, yes)
