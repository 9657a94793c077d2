"""Renewal and growth of agreements in force: what the client proposes, what the provider answers. Pure.

As with terms (negotiate.py), the provider accepts, counters once with the nearest that it would sign, or refuses. An
amendment names all the new terms; nobody is asked to give up capacity, collateral, retention or an end agreed before.
"""

from __future__ import annotations

from dataclasses import replace

from peerage.deal.negotiate import (
    LEAF,
    OPEN_WITHIN_EPOCHS,
    Accept,
    Counter,
    Refuse,
    Verdict,
    at_least,
    at_most,
    collateral_for,
    within,
)
from peerage.deal.policy import Give, Policy, Take
from peerage.wire.refusals import RefusalCode
from peerage_chain.types import (
    TYPES_VERSION,
    ZERO32,
    AgreementInfo,
    AgreementState,
    Amendment,
    Epoch,
    MemberInfo,
    Offer,
)

FREE_TO_COUNTER = (
    "capacity",
    "price_per_gib_epoch",
    "egress_price_per_gib",
    "collateral",
    "min_retention_epochs",
    "end_epoch",
)
EXPIRES_EPOCHS = 8
"""The client's node has so many epochs to record what the provider signed."""
FULL_EIGHTHS = 7
"""An agreement grows when so many eighths of it are used."""


def renewal_window(take: Take, offer: Offer) -> int:
    """Epochs before its end from which on an agreement with a provider is renewed."""
    return max(2, min(take.renew_epochs, take.term_epochs // 2, offer.term_epochs // 2))


def moving_window(take: Take, offer: Offer) -> int:
    """Epochs before its end from which on what an agreement holds is moved elsewhere: the second half of the above."""
    return max(1, renewal_window(take, offer) // 2)


def propose(info: AgreementInfo, provider: MemberInfo, policy: Policy, used: int, now: Epoch) -> Amendment | None:
    """A later end when the end is near, twice the capacity when little is left; at the provider's price of today.

    used: bytes stored under it. None when it needs neither.
    """
    deal, take, offer = info.terms, policy.take, provider.offer
    end, capacity = deal.end_epoch, deal.capacity
    if deal.end_epoch - now <= renewal_window(take, offer):
        end = Epoch(max(end, now + min(take.term_epochs, offer.term_epochs)))
    if used * 8 >= capacity * FULL_EIGHTHS:
        capacity *= 2
    if (end, capacity) == (deal.end_epoch, deal.capacity):
        return None
    return Amendment(
        agreement=info.id,
        number=info.amendments + 1,
        capacity=capacity,
        price_per_gib_epoch=offer.price_per_gib_epoch,
        egress_price_per_gib=offer.egress_price_per_gib,
        collateral=max(deal.collateral, collateral_for(capacity, offer.collateral_per_gib)),
        min_retention_epochs=max(deal.min_retention_epochs, min(take.retention_epochs, offer.min_retention_epochs)),
        end_epoch=end,
        expires=Epoch(now + EXPIRES_EPOCHS),
    )


def accept_counter(answer: Amendment, asked: Amendment, info: AgreementInfo, policy: Policy) -> Verdict:
    """Whether the client takes a counter-proposal. There is one counter only."""
    unchanged = replace(asked, **{name: getattr(answer, name) for name in FREE_TO_COUNTER})
    deal, take = info.terms, policy.take
    least = max(deal.collateral, collateral_for(answer.capacity, take.min_collateral_per_gib))
    gains = answer.end_epoch > deal.end_epoch or answer.capacity > deal.capacity
    return within(
        (
            (answer == unchanged, "terms", "it changes what is not open to change"),
            (gains, "terms", "it neither renews nor grows"),
            at_least("terms", "capacity", answer.capacity, deal.capacity),
            at_most("terms", "capacity", answer.capacity, asked.capacity),
            at_least("terms", "last epoch", answer.end_epoch, deal.end_epoch),
            at_most("terms", "last epoch", answer.end_epoch, asked.end_epoch),
            at_most("take.max_price_per_gib_epoch", "price", answer.price_per_gib_epoch, take.max_price_per_gib_epoch),
            at_most(
                "take.max_egress_price_per_gib",
                "egress price",
                answer.egress_price_per_gib,
                take.max_egress_price_per_gib,
            ),
            at_least("take.min_collateral_per_gib", "collateral", answer.collateral, least),
            at_least("terms", "retention", answer.min_retention_epochs, deal.min_retention_epochs),
        ),
        "the counter-proposal is within policy",
    )


def decide(
    amendment: Amendment,
    info: AgreementInfo,
    give: Give,
    offer: Offer,
    room: tuple[int, str],
    client: MemberInfo,
    now: Epoch,
) -> Accept | Counter[Amendment] | Refuse:
    """The provider's answer. room: bytes that may still be promised, and the rule that bounds them."""
    if not client.status.promises:
        return Refuse(RefusalCode.SUSPENDED, f"member {client.id} is {client.status.name.lower()}", "status")
    deal = info.terms
    for holds, reason in _sound(amendment, info, now):
        if not holds:
            return Refuse(RefusalCode.BAD_TERMS, reason)
    capacity = min(amendment.capacity, deal.capacity + max(0, room[0]))
    longest = now + min(give.max_term_epochs, offer.term_epochs)
    collateral = max(deal.collateral, collateral_for(capacity, give.collateral_per_gib))
    retention = max(deal.min_retention_epochs, give.min_retention_epochs)
    wanted = replace(
        amendment,
        capacity=capacity,
        price_per_gib_epoch=max(amendment.price_per_gib_epoch, give.price_per_gib_epoch),
        egress_price_per_gib=max(amendment.egress_price_per_gib, give.egress_price_per_gib),
        collateral=min(amendment.collateral, collateral),
        min_retention_epochs=min(amendment.min_retention_epochs, retention),
        end_epoch=Epoch(max(deal.end_epoch, min(amendment.end_epoch, longest))),
    )
    if wanted == amendment:
        return Accept()
    if (wanted.capacity, wanted.end_epoch) == (deal.capacity, deal.end_epoch):
        rule = room[1] if amendment.capacity > deal.capacity else "give.max_term_epochs"
        return Refuse(RefusalCode.OVER_CAPACITY, "no room for more, nor for longer", rule)
    return Counter(wanted, "this node agrees to " + _differences(amendment, wanted))


def _sound(amendment: Amendment, info: AgreementInfo, now: Epoch) -> tuple[tuple[bool, str], ...]:
    deal = info.terms
    return (
        (amendment.version == TYPES_VERSION, f"version {amendment.version} of Amendment is not known here"),
        (amendment.extension == ZERO32, "extensions are not known here"),
        (info.state is AgreementState.ACTIVE, f"the agreement is {info.state.name.lower()}"),
        (now < deal.end_epoch, "the agreement's term is over"),
        (amendment.number == info.amendments + 1, f"the next amendment has number {info.amendments + 1}"),
        (now <= amendment.expires, "it could no longer be recorded"),
        (amendment.expires <= now + OPEN_WITHIN_EPOCHS, f"it asks to keep room for over {OPEN_WITHIN_EPOCHS} epochs"),
        (amendment.capacity % LEAF == 0, f"capacity is not a multiple of {LEAF} bytes"),
        (amendment.capacity >= deal.capacity, "it lowers the capacity"),
        (amendment.collateral >= deal.collateral, "it lowers the collateral"),
        (amendment.min_retention_epochs >= deal.min_retention_epochs, "it lowers the retention"),
        (amendment.end_epoch >= deal.end_epoch, "it ends sooner"),
    )


def _differences(asked: Amendment, wanted: Amendment) -> str:
    return ", ".join(f"{n} {getattr(wanted, n)}" for n in FREE_TO_COUNTER if getattr(asked, n) != getattr(wanted, n))
