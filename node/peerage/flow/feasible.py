"""Can a policy be met by the members that there are? One that cannot is refused with the numbers, never loosened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from peerage.deal.policy import Policy
from peerage.deal.ranking import permits, rank
from peerage.errors import TooFewProviders
from peerage.flow.context import NodeContext
from peerage.flow.offers import prospect
from peerage.model import MIB, Code
from peerage.place import code_for
from peerage_chain.types import MemberInfo

MIN_CAPACITY = 256 * MIB
"""Smallest capacity asked for: agreements are few and large rather than many and small."""


@dataclass(frozen=True, slots=True)
class Possible:
    """What a policy allows on this network. numbers: who suits it and who does not, by rule."""

    code: Code
    suited: int
    numbers: str


def possible(context: NodeContext, members: Iterable[MemberInfo], policy: Policy | None = None) -> Possible:
    """The code of new stripes under a policy (by default the one in force), by the members that suit it or are
    permitted and have a live agreement. Raises TooFewProviders, with the numbers, when it cannot be met.
    """
    wanted = policy or context.policy()
    suited, numbers = _suited(context, list(members), wanted)
    try:
        code = code_for(suited, wanted.take.wanted_code())
    except TooFewProviders as error:
        raise TooFewProviders(f"{error}; {numbers}") from None
    return Possible(code, suited, numbers)


async def feasible(context: NodeContext, policy: Policy) -> str:
    """The numbers of a policy that might come into force. Raises TooFewProviders when the members that there are cannot
    meet it, unless it suits no fewer of them than the one in force; ChainUnavailable.
    """
    members = list(await context.ledger.roster())
    try:
        found = possible(context, members, policy)
    except TooFewProviders:
        now = context.policy()
        same_code = policy.take.code == now.take.code
        if policy.take != now.take and not (same_code and _fewer_left_out(context, members, policy)):
            raise
        return _suited(context, members, policy)[1]
    return f"{found.numbers}: new stripes are {found.code}"


def _fewer_left_out(context: NodeContext, members: list[MemberInfo], policy: Policy) -> bool:
    return _suited(context, members, policy)[0] >= _suited(context, members, context.policy())[0]


def _suited(context: NodeContext, members: list[MemberInfo], policy: Policy) -> tuple[int, str]:
    live = {a.provider for a in context.catalogue.agreements() if a.live}
    others = [m for m in members if m.id != context.member and m.nodes]
    ranking = rank((prospect(context, m) for m in others), policy, MIN_CAPACITY)
    suited = {p.member.id for p in ranking.suited} | {m.id for m in others if m.id in live and permits(m, policy)}
    return len(suited), ranking.numbers()
