"""renew: keep agreements going before they end, and let them grow when they are full. No data moves.

An agreement that the policy no longer wants, or whose provider says no, runs out: repair moves what it holds elsewhere
before its end (losses.py). So does one in whose place a clearly better member has signed; the worst goes first.
"""

from __future__ import annotations

from collections.abc import Mapping

from peerage.deal import amend, negotiate, ranking
from peerage.deal.decision import Decision
from peerage.deal.policy import Policy
from peerage.errors import PeerError
from peerage.flow.agree import agree, is_replaced, note_replaced
from peerage.flow.context import NodeContext, Report, note, warn
from peerage.flow.feasible import MIN_CAPACITY
from peerage.flow.offers import prospect
from peerage.flow.quality import below_since, known_quality
from peerage.flow.room import HEAD_RESERVE
from peerage.model import MemberId
from peerage_chain import typed
from peerage_chain.errors import Reverted
from peerage_chain.types import AgreementInfo, AgreementState, Amendment, Epoch, MemberInfo


async def renew(context: NodeContext, report: Report) -> int:
    """Amend every agreement of ours that needs it; returns how many were. Raises ChainUnavailable.

    What fails with one provider is said, taken down, and tried again in the next epoch.
    """
    now = (await context.ledger.now()).epoch
    members = {m.id: m for m in await context.ledger.roster()}
    used = {a.id: a.used for a in context.catalogue.agreements()}
    amended = 0
    wanting: list[tuple[AgreementInfo, MemberInfo, Amendment]] = []
    for info in await context.ledger.agreements_of(context.member):
        if info.terms.client != context.member or info.state is not AgreementState.ACTIVE or info.id not in used:
            continue
        provider = members.get(info.terms.provider)
        if provider is None or now >= info.terms.end_epoch:
            continue
        asked = amend.propose(info, provider, context.policy(), used[info.id], now)
        if asked is not None:
            wanting.append((info, provider, asked))
    wanting.sort(key=lambda each: ranking.preference(prospect(context, each[1])), reverse=True)
    for info, provider, asked in wanting:
        renewed = asked.end_epoch > info.terms.end_epoch
        if not (renewed and await _switched(context, info, members, used[info.id], now, report)):
            amended += await _amend(context, info, provider, asked, now, report)
    return amended


async def _switched(
    context: NodeContext,
    info: AgreementInfo,
    members: Mapping[MemberId, MemberInfo],
    used: int,
    now: Epoch,
    report: Report,
) -> bool:
    """Whether a member has signed in this provider's place, now or before; that is tried once an epoch."""
    catalogue, policy, provider = context.catalogue, context.policy(), members[info.terms.provider]
    if is_replaced(catalogue, info.id):
        return True
    if not policy.take.switch_percent or not _wanted(context, provider, policy):
        return False
    held = {a.provider for a in catalogue.agreements() if a.live} | {context.member}
    others = (prospect(context, m) for m in members.values() if m.id not in held and not below_since(catalogue, m.id))
    capacity = max(MIN_CAPACITY, used + HEAD_RESERVE)
    suited = ranking.rank(others, policy, capacity).suited
    found = ranking.better(suited, prospect(context, provider), policy.take.switch_percent)
    if found is None:
        return False
    reason = f"better than member {provider.id}, by {policy.take.switch_percent} % or more"
    try:
        await agree(context, found.member, capacity, report, reason)
    except PeerError as error:
        warn(report, f"no agreement with member {found.member.id} in place of member {provider.id}: {error}")
        return False
    note_replaced(catalogue, info.id, found.member.id)
    reason = f"member {found.member.id} is {reason}: the agreement runs out"
    context.decided(Decision("client", provider.id, "amend", False, "take.switch_percent", reason, now))
    return True


async def _amend(
    context: NodeContext, info: AgreementInfo, provider: MemberInfo, asked: Amendment, now: Epoch, report: Report
) -> bool:
    policy = context.policy()

    def decided(ok: bool, rule: str, reason: str, terms: Amendment = asked) -> None:
        context.decided(
            Decision("client", provider.id, "amend", ok, rule, reason, now, terms.capacity, terms.price_per_gib_epoch)
        )

    wanted = _wanted(context, provider, policy)
    if not wanted:
        decided(False, wanted.rule, wanted.reason)
        return False
    try:
        terms, signature = await context.peers.amend(provider.id, asked)
        if signature is None:
            taken = amend.accept_counter(terms, asked, info, policy)
            if not taken:
                decided(False, taken.rule, taken.reason, terms)
                return False
            asked = terms
            terms, signature = await context.peers.amend(provider.id, asked)
        if signature is None or terms != asked:
            decided(False, "its answer", "it answered an amendment with another one", terms)
            return False
        own = typed.sign(context.node_key, typed.amendment_digest(terms, context.domain))
        await context.ledger.amend(terms, own, signature)
    except (PeerError, Reverted) as error:
        decided(False, "the chain" if isinstance(error, Reverted) else "its answer", str(error))
        warn(report, f"the agreement with member {provider.id} was not amended: {error}")
        return False
    context.catalogue.set_agreement(
        info.id, provider.id, terms.capacity, terms.end_epoch, True, info.sequence, info.revision
    )
    decided(True, "", "within both policies", terms)
    note(
        report,
        f"agreement with member {provider.id} amended: {terms.capacity >> 20} MiB until epoch {terms.end_epoch}",
    )
    return True


def _wanted(context: NodeContext, provider: MemberInfo, policy: Policy) -> negotiate.Verdict:
    """Whether the policy would have an agreement with this member today. Its free room is its own affair."""
    if since := below_since(context.catalogue, provider.id):
        reason = f"measured below the policy's floor since epoch {since}"
        return negotiate.Verdict(False, reason, "take.replace_after_epochs")
    quality = known_quality(context.catalogue, provider.id)
    return ranking.suits(ranking.Prospect(provider, 1 << 62, quality), policy, 1)
