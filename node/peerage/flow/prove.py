"""The provider's side of time: beat, prove, answer what is demanded, settle, once an epoch each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

from peerage.errors import IntegrityError
from peerage.flow.context import Report, note, warn
from peerage.keys.onion import Onion
from peerage.model import AgreementId, MemberId
from peerage.ports import Ledger
from peerage_chain.errors import Reverted
from peerage_chain.types import AgreementInfo, ChainTime, Challenge, Epoch, Sample

PROOFS_PER_TRANSACTION = 8
SETTLE_EVERY_EPOCHS = 4


class Prover(Protocol):
    def samples_for(self, challenge: Challenge) -> tuple[Sample, ...]: ...


async def beat(ledger: Ledger, member: MemberId, onion: Onion, time: ChainTime) -> bool:
    """Reveal this epoch's link, committing to the onion first if the chain knows another. Returns whether we beat.

    The chain must know a tip of this onion before it can beat: a new commitment takes effect two epochs later.
    """
    tip, effective = await ledger.beacon_tip(member)
    if not onion.holds(tip):
        await ledger.commit_tip(onion.tip)
        return False
    if effective > time.epoch or not time.beats_open:
        return False
    try:
        await ledger.beat(member, onion.predecessor(tip))
    except Reverted as error:
        if error.name in ("AlreadyBeat", "BeatsClosed"):
            return error.name == "AlreadyBeat"
        raise
    return True


async def prove(
    ledger: Ledger,
    member: MemberId,
    prover: Prover,
    epoch: Epoch,
    done: set[tuple[AgreementId, Epoch]],
    in_worker: Callable[..., Awaitable[Any]],
    report: Report,
) -> int:
    """Answer every challenge of this epoch that is not answered yet; returns the proofs accepted.

    The chain takes proofs after our beat of the same epoch only; before it nothing is done. `done` remembers what was
    answered or cannot be, over calls. Damage on our own disk is said, not hidden: that agreement's proof is not made.
    """
    ready: list[tuple[AgreementId, Sequence[Sample]]] = []
    accepted = 0
    held = [
        info.id
        for info in await ledger.agreements_of(member)
        if info.terms.provider == member and info.is_live and info.leaves and (info.id, epoch) not in done
    ]
    if held and await ledger.last_beat(member) != epoch:
        return 0
    challenges = await ledger.open_challenges(held, epoch) if held else []
    done.update((id, epoch) for id in set(held) - {c.agreement for c in challenges})
    for challenge in challenges:
        try:
            samples = await _samples(ledger, challenge, prover, in_worker)
        except IntegrityError as error:
            warn(report, f"agreement {challenge.agreement.hex()[:16]} cannot be proven: {error}")
            done.add((challenge.agreement, epoch))
        else:
            ready.append((challenge.agreement, samples))
    for start in range(0, len(ready), PROOFS_PER_TRANSACTION):
        batch = ready[start : start + PROOFS_PER_TRANSACTION]
        accepted += await _send(ledger, batch, report)
        done.update((id, epoch) for id, _ in batch)
    return accepted


async def _samples(
    ledger: Ledger, challenge: Challenge, prover: Prover, in_worker: Callable[..., Awaitable[Any]]
) -> tuple[Sample, ...]:
    """The answer to a challenge, without the leaves whose loss was reported and stands. Raises IntegrityError."""
    try:
        return cast(tuple[Sample, ...], await in_worker(prover.samples_for, challenge))
    except IntegrityError:
        loss = await ledger.loss_of(challenge.agreement)
        if loss is None or not loss.since <= challenge.epoch < loss.until:
            raise
        lost = range(loss.start, loss.start + loss.leaves)
        left = replace(challenge, indices=tuple(i for i in challenge.indices if i not in lost))
        return cast(tuple[Sample, ...], await in_worker(prover.samples_for, left)) if left.indices else ()


async def _send(ledger: Ledger, batch: list[tuple[AgreementId, Sequence[Sample]]], report: Report) -> int:
    """One transaction for all; when it is refused, one for each, so that one bad proof costs only itself."""
    try:
        await ledger.prove(batch)
        return len(batch)
    except Reverted as error:
        if len(batch) == 1:
            warn(report, f"the proof of agreement {batch[0][0].hex()[:16]} was refused: {error}")
            return 0
    accepted = 0
    for item in batch:
        accepted += await _send(ledger, [item], report)
    return accepted


async def answer_demands(
    ledger: Ledger, member: MemberId, prover: Prover, in_worker: Callable[..., Awaitable[Any]], report: Report
) -> int:
    """Publish on chain what clients demand of this provider; returns the demands answered.

    What cannot be read now is said, and tried again at the next call: it may be mended before the time is over.
    """
    answered = 0
    for demand in await ledger.open_demands(member):
        asked = Challenge(
            demand.agreement, demand.epoch, True, b"", demand.sequence, demand.root, demand.leaves, demand.indices
        )
        try:
            await ledger.answer_demand(demand.number, await in_worker(prover.samples_for, asked))
        except (IntegrityError, Reverted) as error:
            warn(report, f"demand {demand.number} cannot be answered: {error}")
        else:
            note(report, f"{len(demand.indices)} demanded leaves published")
            answered += 1
    return answered


async def settle(ledger: Ledger, member: MemberId, epoch: Epoch, missed: set[AgreementId], report: Report) -> int:
    """Settle our agreements that are behind, as provider every few epochs, as client when a proof was missed."""
    due: list[AgreementId] = [a.id for a in await ledger.agreements_of(member) if _is_due(a, member, epoch, missed)]
    if not due:
        return 0
    try:
        await ledger.settle(due)
    except Reverted as error:
        warn(report, f"a settlement of {len(due)} agreements was refused: {error}")
        return 0
    note(report, f"{len(due)} agreements settled")
    return len(due)


def _is_due(info: AgreementInfo, member: MemberId, epoch: Epoch, missed: set[AgreementId]) -> bool:
    behind = epoch - 1 - info.settled_through
    if not info.is_live or behind < 1:
        return False
    if info.terms.client == member:
        return info.id in missed or behind >= 4 * SETTLE_EVERY_EPOCHS or epoch >= info.terms.end_epoch
    return behind >= SETTLE_EVERY_EPOCHS or epoch >= info.terms.end_epoch
