"""What is lost, by the evidence there is (node/spec/repair.md). A single lost shard becomes a durable debt.

Certain at once: the agreement failed, lapsed or ended; its provider left or is leaving, or the policy refuses it now;
the provider reported leaves as lost; or it serves bytes that do not match what it signed for. Certain after
`take.repair_after_epochs` missed proofs in a row: a provider that cannot be reached. One reboot moves nothing. Who is
below the policy's floor for `take.replace_after_epochs` is replaced, the worst one first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from peerage.deal.amend import moving_window
from peerage.deal.decision import Decision
from peerage.deal.ranking import permits
from peerage.errors import PeerError, PeerRefused
from peerage.flow.context import NodeContext, Report, note, warn
from peerage.flow.quality import below_since, is_recovering, quality_of
from peerage.model import LEAF_SIZE, AgreementId, Epoch, MemberId, ObjectKind, ShardRoot
from peerage.shard.tree import object_tree
from peerage.store.rows import LocalAgreement, StoredObject, placed
from peerage_chain.types import MemberInfo, MemberStatus

SPOT_EVERY_S = 60
"""At least so long between two shards that are read to see whether they are still sound: of all, one at random."""
_LOST_CODES = ("damaged", "no_such_object")
"""By these a provider says itself that it has not got what it signed for."""
_MANY = 0.5
"""From this share of damaged shards on, nothing under the agreement is counted on."""


@dataclass
class Losses:
    """Agreements, each with the reason. over: nothing under them is counted on. leaving: their provider still serves,
    but not for long. doubtful: members that lost single shards; they get no others in this repair. reported: objects
    that their provider itself reported lost, with the agreement that lists them."""

    over: dict[AgreementId, str] = field(default_factory=dict)
    leaving: dict[AgreementId, str] = field(default_factory=dict)
    doubtful: set[MemberId] = field(default_factory=set)
    reported: dict[ShardRoot, LocalAgreement] = field(default_factory=dict)


async def find_losses(context: NodeContext, report: Report) -> Losses:
    """Look at every agreement that holds a shard. Single shards that are lost are debts in the catalogue afterwards.

    Raises ChainUnavailable.
    """
    losses = Losses()
    patience = context.policy().take.repair_after_epochs
    members = {info.id: info for info in await context.ledger.roster()}
    holding = context.catalogue.agreements_of_stripes()
    sound: list[LocalAgreement] = []
    for agreement in context.catalogue.agreements():
        id, provider = agreement.id, agreement.provider
        if agreement.live:
            await _reported(context, agreement, losses, report)  # heads, too
        if id not in holding:
            continue
        if not agreement.live:
            losses.over[id] = "the agreement is over"
            continue
        info = members.get(provider)
        if info is None or info.status is MemberStatus.LEFT:
            losses.over[id] = f"member {provider} has left"
            continue
        if info.status is MemberStatus.LEAVING:
            losses.leaving[id] = f"member {provider} is leaving"
        elif ends_soon(context, agreement, info):
            losses.leaving[id] = f"it ends in epoch {agreement.end_epoch} and was not renewed"
        elif not (permitted := permits(info, context.policy())) and permitted.rule != "status":
            losses.leaving[id] = f"the policy refuses member {provider} now: {permitted.reason}"
            _tell(context, provider, permitted.rule, permitted.reason)
        checks = context.catalogue.checks(id, patience)
        if not checks or checks[0].proven:
            sound.append(agreement)
        elif len(checks) >= patience and not any(c.proven for c in checks):
            losses.over[id] = f"member {provider} missed {patience} proofs in a row"
        else:
            found = await _read_unproven(context, agreement, Epoch(checks[0].epoch))
            if found == "damaged":
                await _look_closely(context, agreement, losses, report)
            else:
                warn(report, f"member {provider} missed its last proof ({found}): watching")
    await _look_at_one(context, sound, losses, report)
    _replace_worst(context, holding - losses.over.keys() - losses.leaving.keys(), losses)
    return losses


def _replace_worst(context: NodeContext, holding: Collection[AgreementId], losses: Losses) -> None:
    """What the worst of the providers holds that have been below the policy's floor for long; one at a time."""
    now, patience = context.catalogue.counter("valid-through") + 1, context.policy().take.replace_after_epochs
    held = {a.provider for a in context.catalogue.agreements() if a.id in holding}
    since = {m: below_since(context.catalogue, m) for m in held if not is_recovering(context.catalogue, m)}
    late = [member for member in since if since[member] and now - since[member] >= patience]
    if not late:
        return
    worst = min(late, key=lambda member: (quality_of(context.catalogue, member), member))
    reason = f"member {worst} has been below the policy's floor since epoch {since[worst]}"
    for agreement in context.catalogue.agreements():
        if agreement.provider == worst and agreement.id in holding:
            losses.leaving[agreement.id] = reason
    _tell(context, worst, "take.replace_after_epochs", reason)


def _tell(context: NodeContext, provider: MemberId, rule: str, reason: str) -> None:
    now = Epoch(context.catalogue.counter("valid-through") + 1)
    context.decided(Decision("client", provider, "replace", False, rule, reason, now))


def ends_soon(context: NodeContext, agreement: LocalAgreement, provider: MemberInfo) -> bool:
    """Whether an agreement was not renewed in time: nothing is added to it, and what it holds is moved elsewhere."""
    now = context.catalogue.counter("valid-through") + 1
    return agreement.end_epoch - now <= moving_window(context.policy().take, provider.offer)


async def _reported(context: NodeContext, agreement: LocalAgreement, losses: Losses, report: Report) -> None:
    """Shards among the leaves that the provider itself reported lost become debts, once for each report."""
    loss = await context.ledger.loss_of(agreement.id)
    known = f"loss:{agreement.id.hex()}"
    if loss is None or loss.restored or context.catalogue.counter(known) == loss.since:
        return
    lost = 0
    for item, start in placed(context.catalogue.objects(agreement.id), agreement.sequence):
        if start < loss.start + loss.leaves and loss.start < start + item.leaves:
            lost += context.catalogue.mark_lost(agreement.id, item.root)
            losses.reported[item.root] = agreement
    context.catalogue.set_counter(known, loss.since)
    if lost:
        losses.doubtful.add(agreement.provider)
        note(report, f"member {agreement.provider} reported {lost} of our shards lost")


async def _look_at_one(
    context: NodeContext, agreements: Sequence[LocalAgreement], losses: Losses, report: Report
) -> None:
    """Now and then read one shard of a provider that proves well: a proof shows samples, this shows that it serves."""
    now_s = context.clock_ns() // 10**9
    if not agreements or now_s - context.catalogue.counter("spot-checked-s") < SPOT_EVERY_S:
        return
    context.catalogue.set_counter("spot-checked-s", now_s)
    chosen = agreements[int.from_bytes(context.entropy(8), "big") % len(agreements)]
    if await _spot_check(context, chosen) == "damaged":
        await _look_closely(context, chosen, losses, report)


async def _look_closely(context: NodeContext, agreement: LocalAgreement, losses: Losses, report: Report) -> None:
    """A damaged shard was found: read all of the agreement's. The damaged ones are lost, or all if they are many."""
    shards = _shards(context, agreement)
    damaged = [item for item in shards if await _state(context, agreement, item) == "damaged"]
    if len(damaged) >= _MANY * len(shards):
        losses.over[agreement.id] = f"member {agreement.provider} serves damaged bytes"
        return
    losses.doubtful.add(agreement.provider)
    lost = sum(context.catalogue.mark_lost(agreement.id, item.root) for item in damaged)
    warn(report, f"member {agreement.provider} serves damaged bytes for {lost} of {len(shards)} shards: they are lost")


async def _read_unproven(context: NodeContext, agreement: LocalAgreement, epoch: Epoch) -> str:
    """Read what a missed proof was asked to show, and a random shard: the worst of 'good', 'away' and 'damaged'."""
    challenge = await context.ledger.challenge(agreement.id, epoch)
    wanted = context.catalogue.roots_of_stripes(agreement.id)
    for item, start in placed(context.catalogue.objects(agreement.id), challenge.sequence):
        if item.root not in wanted or not any(start <= i < start + item.leaves for i in challenge.indices):
            continue
        if (found := await _state(context, agreement, item)) != "good":
            return found
    return await _spot_check(context, agreement)


async def _spot_check(context: NodeContext, agreement: LocalAgreement) -> str:
    """Read one random shard in full and check its root: 'good', 'damaged' or 'away'."""
    shards = _shards(context, agreement)
    if not shards:
        return "away"
    return await _state(context, agreement, shards[int.from_bytes(context.entropy(8), "big") % len(shards)])


async def _state(context: NodeContext, agreement: LocalAgreement, item: StoredObject) -> str:
    try:
        data = await context.peers.get_object(agreement.provider, item.root)
    except PeerRefused as error:
        return "damaged" if error.code in _LOST_CODES else "away"
    except PeerError:
        return "away"
    if len(data) != item.leaves * LEAF_SIZE:
        return "damaged"
    tree = await context.in_worker(object_tree, data)
    return "good" if tree.root == item.root else "damaged"


def _shards(context: NodeContext, agreement: LocalAgreement) -> list[StoredObject]:
    wanted = context.catalogue.roots_of_stripes(agreement.id)
    return [o for o in context.catalogue.objects(agreement.id) if o.kind is ObjectKind.SHARD and o.root in wanted]
