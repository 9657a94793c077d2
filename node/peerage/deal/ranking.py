"""Whom the client asks to hold its data, and in which order. Pure; in words: node/spec/wire.md, Negotiation."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from peerage.deal.jurisdictions import covers
from peerage.deal.negotiate import Verdict, at_least, at_most, within
from peerage.deal.policy import AGREEMENT_MIN_BYTES, Policy
from peerage_chain.types import GIB, ZERO32, MemberId, MemberInfo

UNKNOWN = 0.5
"""The quality of a member of whom nothing is known: neither favoured nor shunned."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """A member as a possible provider. free_bytes: its offer less what it already signed. quality: 0 (worst) to 1, as
    measured; None while nothing is known, which meets any floor: nobody could begin otherwise."""

    member: MemberInfo
    free_bytes: int
    quality: float | None = None
    reachable: bool = True


@dataclass(frozen=True, slots=True)
class Ranking:
    """suited: best first. refused: who was left out, and why."""

    suited: tuple[Prospect, ...]
    refused: tuple[tuple[MemberId, Verdict], ...]

    def standing(self, member: MemberId) -> str:
        """Where a suited member stands, and by which figures. Raises StopIteration for another one."""
        place, found = next((n, p) for n, p in enumerate(self.suited, 1) if p.member.id == member)
        quality = "unknown" if found.quality is None else f"{found.quality:.0%}"
        offer = found.member.offer
        return (
            f"number {place} of {len(self.suited)} that suit: quality {quality}, price {offer.price_per_gib_epoch},"
            f" {found.free_bytes / GIB:.1f} of {offer.capacity / GIB:.1f} GiB left"
        )

    def numbers(self) -> str:
        """How many members the policy allows, and how many each rule leaves out: for whoever must change it."""
        left_out = Counts(verdict.rule for _, verdict in self.refused)
        members = len(self.suited) + len(self.refused)
        detail = ", ".join(f"{count} by {rule}" for rule, count in sorted(left_out.items()))
        return f"{len(self.suited)} of {members} other members suit the policy" + (f" ({detail})" if detail else "")


def permits(member: MemberInfo, policy: Policy) -> Verdict:
    """Whether the policy lets this member hold anything of ours, whatever its terms."""
    take, entity, at = policy.take, member.legal_entity.hex(), member.jurisdiction
    in_allowed = not take.jurisdictions_allow or covers(take.jurisdictions_allow, at)
    known = not take.legal_entities_allow or entity in take.legal_entities_allow
    return within(
        (
            (member.status.promises, "status", f"it is {member.status.name.lower()}, not active"),
            (in_allowed, "take.jurisdictions_allow", f"jurisdiction {at} is not allowed"),
            (not covers(take.jurisdictions_deny, at), "take.jurisdictions_deny", f"jurisdiction {at} is denied"),
            (known, "take.legal_entities_allow", "its legal entity is not on the list of allowed ones"),
            (entity not in take.legal_entities_deny, "take.legal_entities_deny", "its entity is on the deny list"),
        ),
        "within policy",
    )


def suits(prospect: Prospect, policy: Policy, capacity: int) -> Verdict:
    """Whether the policy allows an agreement of `capacity` bytes with this member."""
    member, offer, take = prospect.member, prospect.member.offer, policy.take
    needed = max(AGREEMENT_MIN_BYTES, min(capacity, take.min_agreement_bytes))
    quality = 100 if prospect.quality is None else round(prospect.quality * 100)
    permitted = permits(member, policy)
    if not permitted:
        return permitted
    return within(
        (
            (prospect.reachable, "reach", "it cannot be reached"),
            (offer.capacity > 0, "its offer", "it offers nothing"),
            at_least("its offer", "bytes left", max(0, prospect.free_bytes), needed),
            at_most("take.max_price_per_gib_epoch", "price", offer.price_per_gib_epoch, take.max_price_per_gib_epoch),
            at_most(
                "take.max_egress_price_per_gib",
                "egress price",
                offer.egress_price_per_gib,
                take.max_egress_price_per_gib,
            ),
            at_least(
                "take.min_collateral_per_gib", "collateral", offer.collateral_per_gib, take.min_collateral_per_gib
            ),
            at_least("take.min_bandwidth_kib_s", "bandwidth", offer.bandwidth_kib_s, take.min_bandwidth_kib_s),
            at_least("take.min_quality_percent", "quality", quality, take.min_quality_percent),
            at_least("take.min_term_epochs", "term", offer.term_epochs, min(take.min_term_epochs, take.term_epochs)),
        ),
        "within policy",
    )


def rank(prospects: Iterable[Prospect], policy: Policy, capacity: int) -> Ranking:
    """Who to ask, best first, by `preference`.

    Nobody comes before all of another legal entity and site have been named once, so that the first few of the list
    lie far apart.
    """
    suited: list[Prospect] = []
    refused: list[tuple[MemberId, Verdict]] = []
    for prospect in prospects:
        verdict = suits(prospect, policy, capacity)
        if verdict:
            suited.append(prospect)
        else:
            refused.append((prospect.member.id, verdict))
    return Ranking(tuple(_apart(sorted(suited, key=preference))), tuple(refused))


def better(prospects: Sequence[Prospect], than: Prospect, percent: int) -> Prospect | None:
    """The first of these that is worth moving data to: cheaper by `percent` than another and no slower, or of a quality
    higher by so much and no dearer. What is not measured counts as half the usual. None for 0 percent.
    """
    if not percent:
        return None
    price, quality = _merits(than)
    for prospect in prospects:
        asked, good = _merits(prospect)
        cheaper = asked < price and asked * 100 <= price * (100 - percent)
        finer = good > quality and good * 100 >= quality * (100 + percent)
        if (cheaper and good >= quality) or (finer and asked <= price):
            return prospect
    return None


def _apart(ordered: Sequence[Prospect]) -> list[Prospect]:
    """First those of an entity and a site that nobody before them has, in order; then the others."""
    seen: set[Hashable] = set()
    first: list[Prospect] = []
    later: list[Prospect] = []
    for prospect in ordered:
        domains = _domains(prospect.member)
        (later if domains & seen else first).append(prospect)
        seen |= domains
    return first + later


def _domains(member: MemberInfo) -> set[Hashable]:
    site = member.nodes[-1].site.strip().casefold() if member.nodes else ""
    entity = {("entity", member.legal_entity)} if member.legal_entity not in (b"", ZERO32) else set()
    return entity | ({("site", site)} if site else set())


def _merits(prospect: Prospect) -> tuple[int, int]:
    """(price, quality in tenths, so that noise in a measurement does not outweigh a price)"""
    quality = round((UNKNOWN if prospect.quality is None else prospect.quality) * 10)
    return prospect.member.offer.price_per_gib_epoch, quality


def preference(prospect: Prospect) -> tuple[int, int, int, int]:
    """Sorts the best first: measured quality in tenths, then price, then room, then the lower member number."""
    price, quality = _merits(prospect)
    return (-quality, price, -prospect.free_bytes, prospect.member.id)
