"""A chain that came back from an older state: what it forgot is recorded again, in order, as long as it may be.

The provider does it for revisions: it keeps each one with both signatures, and no other may take its number. The client
does it for agreements that it opened and for the anchor of its newest head.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from peerage.flow.context import NodeContext, Report, note, warn
from peerage.flow.publish import REVISION_LIFE_EPOCHS
from peerage.model import AgreementId
from peerage.ports import Ledger
from peerage.store.revisions import SignedRevision
from peerage.wire.messages import RevisionBody, TermsBody, decode
from peerage_chain.errors import Reverted
from peerage_chain.types import AgreementInfo, Epoch

OVERDUE_EPOCHS = 2
"""The client records what both signed at once, or when the chain is back: after so long the provider does it."""

_UNSEEN = "unseen-since:"


async def record_again(
    ledger: Ledger,
    held: Callable[[AgreementId], Sequence[SignedRevision]],
    infos: Sequence[AgreementInfo],
    now: Epoch,
    report: Report,
) -> int:
    """Record revisions that the chain had recorded and shows no more, and signed ones that nobody has recorded for
    OVERDUE_EPOCHS, be it that the chain forgot them before we saw them there; returns how many.

    held: every revision of an agreement that this provider keeps, by sequence. infos: the agreements as the chain shows
    them. An endpoint that only lags costs a refused transaction: nothing is recorded twice. Raises ChainUnavailable.
    """
    done = 0
    for info in infos:
        lost = _lost(held(info.id), info.sequence, now) if info.is_live else []
        for revision in lost:
            name = f"revision {revision.sequence} of agreement {info.id.hex()[:16]}"
            if revision.expires < now:
                warn(report, f"the chain has forgotten {name}, and its time is over: what it added cannot be proven")
                break
            body = decode(RevisionBody, revision.revision).revision()
            try:
                await ledger.revise(body, revision.client_signature, revision.provider_signature)
            except Reverted as error:
                warn(report, f"{name} cannot be recorded again: {error}")
                break  # those behind it build on it
            note(report, f"the chain had forgotten {name}: it is recorded again")
            done += 1
    return done


def _lost(held: Sequence[SignedRevision], sequence: int, now: Epoch) -> list[SignedRevision]:
    """Those to record, in order. Of signed rivals for one number nobody knows which the client still wants: neither."""
    rivals = Counter(r.sequence for r in held)
    signed_by = now + REVISION_LIFE_EPOCHS - OVERDUE_EPOCHS
    return [
        r
        for r in held
        if r.sequence > sequence and (r.recorded or (rivals[r.sequence] == 1 and now <= r.expires <= signed_by))
    ]


async def open_again(context: NodeContext, ours: Sequence[AgreementInfo], report: Report) -> int:
    """Open our agreements again that the chain has forgotten; returns how many. Raises ChainUnavailable.

    ours: those in which we are the client, as the chain shows them. What can no longer be opened is over: repair puts
    what it held elsewhere. The first look decides nothing, as one endpoint may lag behind another.
    """
    catalogue = context.catalogue
    now = (await context.ledger.now()).epoch
    shown = {info.id for info in ours}
    done = 0
    for agreement in catalogue.agreements():
        mark = f"{_UNSEEN}{agreement.id.hex()}"
        since = catalogue.counter(mark)
        if agreement.id in shown:
            if since:
                catalogue.set_counter(mark, 0)
            continue
        if not agreement.live:
            continue
        if not since:
            catalogue.set_counter(mark, max(1, now))
        elif now > since:
            done += await _open_again(context, agreement.id, now, report)
    return done


async def _open_again(context: NodeContext, id: AgreementId, now: Epoch, report: Report) -> bool:
    name, opening = f"agreement {id.hex()[:16]}", context.catalogue.opening(id)
    reason = "its time to be opened is over"
    if opening is not None and now <= opening.open_by:
        terms = decode(TermsBody, opening.body).terms()
        try:
            await context.ledger.open_agreement(terms, opening.client_signature, opening.provider_signature)
        except Reverted as error:
            if error.name == "AlreadyOpened":
                return False  # the endpoint that was read lags, or lies
            reason = str(error)
        else:
            note(report, f"the chain had forgotten {name}: it is opened again")
            return True
    context.catalogue.mark_over(id)
    warn(report, f"the chain has forgotten {name}, and {reason}: what it held goes elsewhere")
    return False


async def look_for_anchor(context: NodeContext, report: Report) -> bool:
    """Whether the chain has forgotten the anchor of our newest head; then it waits to be recorded again."""
    newest = context.catalogue.newest_head()
    if newest is None or not newest[3]:
        return False
    if (await context.ledger.anchor_of(context.member, context.repository)).number >= newest[0]:
        return False
    context.catalogue.unmark_anchored(newest[0])
    warn(report, f"the chain has forgotten the anchor of head {newest[0]}: recording it again")
    return True
