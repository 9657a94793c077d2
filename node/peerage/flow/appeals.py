"""The provider's node appeals by itself against a heavy penalty, once, if it has a reason (node/spec/clearing.md).

There is one reason that a node knows of by itself: it could not reach the chain, although it was running and tried, in
every epoch that it missed, and it has proven its data since. Any other appeal is its owner's to make.
"""

from __future__ import annotations

from collections.abc import Sequence

from peerage.flow.context import Report, note, warn
from peerage.flow.prove import SETTLE_EVERY_EPOCHS
from peerage.model import AgreementId, MemberId
from peerage.ports import Ledger
from peerage.store.catalogue import Catalogue
from peerage_chain.errors import Reverted
from peerage_chain.types import AgreementInfo, ChainTime, DocketState, Epoch

LOOK_BACK_EPOCHS = 64
"""For missed proofs; no rules count them for longer."""


class Appeals:
    """What one member's node does about penalties against it. The last outage is kept in the catalogue."""

    def __init__(self, ledger: Ledger, member: MemberId, catalogue: Catalogue, report: Report) -> None:
        self._ledger = ledger
        self._member = member
        self._catalogue = catalogue
        self._report = report
        self._look_from = 0
        self._refused: set[tuple[AgreementId, int]] = set()

    async def step(self, now: ChainTime, away: range) -> None:
        """away: the epochs, whole or in part, of the last time that the chain could not be reached; empty if none.

        Raises ChainUnavailable.
        """
        self._remember(away)
        if now.epoch < self._look_from:
            return
        self._look_from = now.epoch + (1 if self._recent(now.epoch) else SETTLE_EVERY_EPOCHS)
        pending = 0
        for info in await self._ledger.agreements_of(self._member):
            if info.terms.provider == self._member and info.misses:
                pending += await self._look(info, now.epoch)
        self._catalogue.set_counter("appeals-pending", pending)

    def _remember(self, away: range) -> None:
        if away:
            self._catalogue.set_counter("away-first", away.start)
            self._catalogue.set_counter("away-end", away.stop)

    def _away(self) -> range:
        return range(self._catalogue.counter("away-first"), self._catalogue.counter("away-end"))

    def _recent(self, epoch: Epoch) -> bool:
        return epoch - self._catalogue.counter("away-end") <= LOOK_BACK_EPOCHS

    async def _look(self, info: AgreementInfo, now: Epoch) -> int:
        """Returns the dockets of the agreement that are before the consortium."""
        pending = 0
        for number, docket in enumerate(await self._ledger.dockets_of(info.id)):
            if docket.state is DocketState.APPEALED and now <= docket.decide_until:
                pending += 1
            elif docket.state is DocketState.OPEN and now <= docket.appeal_until:
                pending += await self._consider(info, number, now)
        return pending

    async def _consider(self, info: AgreementInfo, number: int, now: Epoch) -> int:
        away = self._away()
        if not away or (info.id, number) in self._refused or not self._recent(now):
            return 0
        missed, since = await self._record(info, now)
        if not missed or since is None or any(epoch not in away for epoch in missed):
            return 0
        reason = (
            f"no chain in reach of this node in epochs {away.start} to {away.stop - 1}, though it ran and tried; "
            f"missed {len(missed)} of them and none else; data proven again in epoch {since}"
        )
        try:
            await self._ledger.appeal(info.id, number, reason)
        except Reverted as error:
            self._refused.add((info.id, number))
            warn(self._report, f"the appeal against docket {number} of {info.id.hex()[:16]} was refused: {error}")
            return 0
        note(self._report, f"appealed against the penalty of agreement {info.id.hex()[:16]}: {reason}")
        return 1

    async def _record(self, info: AgreementInfo, now: Epoch) -> tuple[Sequence[Epoch], Epoch | None]:
        """(due epochs that were missed lately, the newest proven one after the outage or None)."""
        missed: list[Epoch] = []
        since: Epoch | None = None
        for number in range(max(info.terms.start_epoch, now - LOOK_BACK_EPOCHS), now + 1):
            epoch = Epoch(number)
            if await self._ledger.proven(info.id, epoch):
                since = epoch if epoch >= self._away().stop - 1 else None
            elif epoch < now and (await self._ledger.challenge(info.id, epoch)).due:
                missed.append(epoch)
        return missed, since
