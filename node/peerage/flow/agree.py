"""agree: propose terms within both policies, sign, open on chain. No human takes part."""

from __future__ import annotations

from dataclasses import dataclass

from peerage.deal import negotiate
from peerage.errors import PeerFault, PeerRefused
from peerage.flow.context import NodeContext, Report, note
from peerage.flow.quality import known_quality
from peerage.model import AgreementId, MemberId
from peerage_chain import typed
from peerage_chain.types import MemberInfo, Terms


@dataclass(frozen=True, slots=True)
class Opened:
    id: AgreementId
    provider: MemberId
    capacity: int


async def agree(context: NodeContext, provider: MemberInfo, capacity: int, report: Report) -> Opened:
    """Open an agreement of about `capacity` bytes with one provider.

    The provider may counter once, within our policy. Raises PeerRefused when either policy says no, other PeerErrors
    when the provider cannot be reached or breaks the protocol, and what the ledger raises when the chain refuses.
    """
    policy, time = context.policy(), await context.ledger.now()
    quality = known_quality(context.catalogue, provider.id)
    suited = negotiate.suits(negotiate.Prospect(provider, provider.offer.capacity, quality), policy, capacity)
    if not suited:
        raise PeerRefused(f"our policy refuses it: {suited.reason}", provider.id, "policy_refused")
    proposal = negotiate.propose(context.member, provider, policy, capacity, time.epoch, context.entropy(32))
    terms, signature = await context.peers.propose(provider.id, proposal)
    if signature is None:
        taken = negotiate.accept_counter(terms, proposal, policy)
        if not taken:
            raise PeerRefused(f"its counter-proposal is refused: {taken.reason}", provider.id, "policy_refused")
        proposal = terms
        terms, signature = await context.peers.propose(provider.id, proposal)
    if signature is None or terms != proposal:
        raise PeerFault("it answered a proposal with other terms", provider.id)
    own = typed.sign(context.node_key, typed.terms_digest(terms, context.domain))
    id = await context.ledger.open_agreement(terms, own, signature)
    context.catalogue.set_agreement(id, terms.provider, terms.capacity, terms.end_epoch, True, 0, bytes(32))
    note(report, _opened(terms))
    return Opened(id, terms.provider, terms.capacity)


def _opened(terms: Terms) -> str:
    return (
        f"agreement with member {terms.provider}: {terms.capacity >> 20} MiB until epoch {terms.end_epoch},"
        f" {terms.price_per_gib_epoch} micro-credits per GiB and epoch"
    )
