"""What could still go wrong: how many providers may vanish tonight, and how likely a loss is within a year."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from peerage.errors import UserError
from peerage.flow.context import NodeContext
from peerage.flow.health import is_good
from peerage.model import MemberId
from peerage.model.odds import annual_loss, rate_quantile
from peerage.store.catalogue import Catalogue
from peerage_chain.types import AgreementInfo, AgreementState, Epoch

YEAR_S = 365.25 * 86_400
REPAIR_HOURS = 24
LIKELY = 0.5
CAUTIOUS = 0.975


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the network's providers have shown so far. failed: that failed and serve nobody any more."""

    providers: int
    failed: int
    years: float


@dataclass(frozen=True, slots=True)
class Margin:
    """Of all stripes, counting a shard while its agreement is live and its last due proof was made.

    tolerated: how many more providers may vanish, whichever they are, with every stripe still there; below 0 some are
    lost. providers: that hold a good shard. stripes: how many in all. gone: of them, that would be lost now.
    """

    tolerated: int
    providers: int
    stripes: int
    gone: int


async def risk(context: NodeContext, without: Collection[int], repair_hours: float) -> dict[str, Any]:
    """What --json shows. without: members that are taken to have vanished. repair_hours: until a dead provider's shards
    are elsewhere. Raises UserError for a member that holds nothing of ours.
    """
    now = await context.ledger.now()
    agreements: list[AgreementInfo] = []
    for member in await context.ledger.roster():
        agreements += [a for a in await context.ledger.agreements_of(member.id) if a.terms.provider == member.id]
    seen = exposure(agreements, now.epoch, now.epoch_s)
    today = await context.in_worker(margin, context.catalogue, frozenset())
    ours = {a.provider for a in context.catalogue.agreements()}
    strangers = sorted(set(without) - ours)
    if strangers:
        raise UserError(f"member {strangers[0]} keeps nothing of ours: `peerage agreements` lists who does")
    left = await context.in_worker(margin, context.catalogue, frozenset(without)) if without else today
    repair_years = repair_hours * 3600 / YEAR_S

    def loss(certainty: float) -> float:
        rate = rate_quantile(seen.failed, seen.years, certainty)
        return annual_loss(rate, left.providers, left.tolerated, repair_years) if left.stripes else 0.0

    return {
        "without": sorted(without),
        "stripes": left.stripes,
        "lost": left.gone,
        "may_vanish": max(left.tolerated, 0),
        "providers": left.providers,
        "seen": asdict(seen),
        "repair_hours": repair_hours,
        "yearly_loss": {"likely": loss(LIKELY), "at_most": loss(CAUTIOUS)},
    }


def exposure(agreements: Sequence[AgreementInfo], now: Epoch, epoch_s: int) -> Exposure:
    """Of all providers of the network, from their agreements: each counts from its first one until now, or its end."""
    by_provider: dict[MemberId, list[AgreementInfo]] = {}
    for agreement in agreements:
        by_provider.setdefault(agreement.terms.provider, []).append(agreement)
    failed, epochs = 0, 0
    for held in by_provider.values():
        gone = any(a.state is AgreementState.FAILED for a in held) and not any(a.is_live for a in held)
        failed += gone
        end = max(a.settled_through for a in held) if gone else now
        epochs += max(0, end - min(a.terms.start_epoch for a in held))
    return Exposure(len(by_provider), failed, epochs * epoch_s / YEAR_S)


def margin(catalogue: Catalogue, without: Collection[int]) -> Margin:
    """The margin should `without` vanish. Reads every stripe; run it in a worker."""
    good = {a.id for a in catalogue.agreements() if a.provider not in without and is_good(a, catalogue.checks(a.id))}
    holders: set[int] = set()
    spare: Counter[int] = Counter()
    for _, code, shards in catalogue.stripes():
        holding = Counter(provider for _, _, provider, agreement in shards if provider and agreement in good)
        holders |= holding.keys()
        # Worst case: whoever holds most of it goes first.
        left, vanish = holding.total() - code.k, -1
        for _, count in [(0, 0), *holding.most_common()]:
            if left < count:
                break
            left -= count
            vanish += 1
        spare[vanish] += 1
    return Margin(min(spare, default=0), len(holders), spare.total(), spare[-1])
