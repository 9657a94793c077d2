"""agree: propose terms within both policies, sign, open on chain. No human takes part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peerage.deal import negotiate, ranking
from peerage.deal.decision import Decision
from peerage.deal.policy import Policy
from peerage.errors import PeerError, PeerFault, PeerRefused
from peerage.flow.context import NodeContext, Report, note
from peerage.flow.offers import prospect
from peerage.flow.quality import note_signed
from peerage.model import AgreementId, Epoch, MemberId
from peerage.store.catalogue import Catalogue
from peerage.store.rows import Opening
from peerage.wire.messages import TermsBody, encode
from peerage_chain import typed
from peerage_chain.types import MemberInfo, Terms

_REPLACED = "replaced-by:"


@dataclass(frozen=True, slots=True)
class Opened:
    id: AgreementId
    provider: MemberId
    capacity: int


async def agree(
    context: NodeContext, provider: MemberInfo, capacity: int, report: Report, standing: str = ""
) -> Opened:
    """Open an agreement of about `capacity` bytes with one provider. standing: why it and nobody else was asked.

    The provider may counter once, within our policy. Raises PeerRefused when either policy says no, other PeerErrors
    when the provider cannot be reached or breaks the protocol, and what the ledger raises when the chain refuses.
    """
    policy, time = context.policy(), await context.ledger.now()

    def decided(action: str, ok: bool, rule: str, reason: str, terms: Terms | None = None) -> None:
        capacity_bytes, price = (terms.capacity, terms.price_per_gib_epoch) if terms else (capacity, 0)
        context.decided(Decision("client", provider.id, action, ok, rule, reason, time.epoch, capacity_bytes, price))

    suited = ranking.suits(prospect(context, provider), policy, capacity)
    if not suited:
        decided("ask", False, suited.rule, suited.reason)
        raise PeerRefused(f"our policy refuses it: {suited.reason}", provider.id, "policy_refused")
    try:
        return await _negotiate(context, provider, policy, capacity, time.epoch, report, decided, standing)
    except PeerError as error:
        if not isinstance(error, _Declined):
            decided("ask", False, "its answer", str(error))
        raise


class _Declined(PeerRefused):
    """We said no, and it was taken down why."""


async def _negotiate(
    context: NodeContext,
    provider: MemberInfo,
    policy: Policy,
    capacity: int,
    now: Epoch,
    report: Report,
    decided: Callable[[str, bool, str, str, Terms], None],
    standing: str,
) -> Opened:
    proposal = negotiate.propose(context.member, provider, policy, capacity, now, context.entropy(32))
    terms, signature = await context.peers.propose(provider.id, proposal)
    if signature is None:
        taken = negotiate.accept_counter(terms, proposal, policy)
        decided("counter", taken.ok, taken.rule, taken.reason, terms)
        if not taken:
            raise _Declined(f"its counter-proposal is refused: {taken.reason}", provider.id, "policy_refused")
        proposal = terms
        terms, signature = await context.peers.propose(provider.id, proposal)
    if signature is None or terms != proposal:
        raise PeerFault("it answered a proposal with other terms", provider.id)
    own = typed.sign(context.node_key, typed.terms_digest(terms, context.domain))
    id = await context.ledger.open_agreement(terms, own, signature)
    context.catalogue.set_agreement(id, terms.provider, terms.capacity, terms.end_epoch, True, 0, bytes(32))
    body = encode(TermsBody.of(terms))
    context.catalogue.add_opening(Opening(id, terms.open_by, body, own, signature), now)
    note_signed(context.catalogue, id, terms.min_bandwidth_kib_s)
    decided("open", True, "", "; ".join(filter(None, ("within both policies", standing))), terms)
    note(report, _opened(terms))
    return Opened(id, terms.provider, terms.capacity)


def note_replaced(catalogue: Catalogue, agreement: AgreementId, by: MemberId) -> None:
    """An agreement is not to be renewed: another member has signed in its place."""
    catalogue.set_counter(f"{_REPLACED}{agreement.hex()}", by)


def is_replaced(catalogue: Catalogue, agreement: AgreementId) -> bool:
    return bool(catalogue.counter(f"{_REPLACED}{agreement.hex()}"))


def _opened(terms: Terms) -> str:
    return (
        f"agreement with member {terms.provider}: {terms.capacity >> 20} MiB until epoch {terms.end_epoch},"
        f" {terms.price_per_gib_epoch} micro-credits per GiB and epoch"
    )
