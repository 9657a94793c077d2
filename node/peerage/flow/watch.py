"""What the chain says of this member's own agreements: was each one proven, epoch by epoch?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from peerage.flow.context import NodeContext
from peerage.store.catalogue import Catalogue, Check
from peerage_chain.types import AgreementInfo, Epoch

LOOK_BACK_EPOCHS = 32
"""After a long absence only so many epochs are looked at: older ones change no decision."""


async def watch(context: NodeContext) -> list[AgreementInfo]:
    """Bring the catalogue's view of our agreements up to the last complete epoch; returns those agreements.

    A proof that is missing in a void epoch says nothing of its provider: the chain or the network stood still.
    """
    ledger, catalogue = context.ledger, context.catalogue
    time = await ledger.now()
    last = time.epoch - 1
    known: dict[int, bool] = {}

    async def is_valid(epoch: int) -> bool:
        if epoch not in known:
            known[epoch] = await ledger.epoch_valid(Epoch(epoch))
        return known[epoch]

    ours = [a for a in await ledger.agreements_of(context.member) if a.terms.client == context.member]
    for info in ours:
        live = info.is_live
        catalogue.set_agreement(
            info.id, info.terms.provider, info.terms.capacity, info.terms.end_epoch, live, info.sequence, info.revision
        )
        if not info.leaves:
            continue
        name = f"checked:{info.id.hex()}"
        first = max(catalogue.counter(name) + 1, info.terms.start_epoch, last - LOOK_BACK_EPOCHS)
        for epoch in range(first, last + 1):
            challenge = await ledger.challenge(info.id, Epoch(epoch))
            if challenge.due:
                proven = await ledger.proven(info.id, Epoch(epoch))
                if proven or await is_valid(epoch):
                    catalogue.add_check(info.id, Check(epoch, challenge.sequence, proven))
        catalogue.set_counter(name, last)
    await _note_valid_epochs(catalogue, last, is_valid)
    return ours


async def _note_valid_epochs(catalogue: Catalogue, last: int, is_valid: Callable[[int], Awaitable[bool]]) -> None:
    """Keep the number of the epoch before which proofs are no longer recent: the second newest valid one."""
    if catalogue.counter("valid-through") == last:
        return
    found = 0
    for epoch in range(last, max(-1, last - LOOK_BACK_EPOCHS), -1):
        if await is_valid(epoch):
            found += 1
            if found == 2:
                catalogue.set_counter("recent-from", epoch)
                break
    catalogue.set_counter("valid-through", last)
