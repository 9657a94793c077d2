"""Money without a hand, once an epoch: agreements settled, dockets concluded, demands closed, shortages told."""

from __future__ import annotations

from collections.abc import Sequence

from peerage.flow.context import Report, note, warn
from peerage.flow.forecast import forecast
from peerage.flow.prove import SETTLE_EVERY_EPOCHS, settle
from peerage.model import AgreementId, MemberId
from peerage.ports import Ledger
from peerage.store.catalogue import Catalogue
from peerage_chain.errors import Reverted
from peerage_chain.types import AgreementInfo, ChainTime, Docket, DocketState, Epoch

TELL_EVERY_EPOCHS = 24
"""The same kind of shortage is told once in so many epochs."""


class Settling:
    """What one member's node does about its agreements' money. Remembers what needs no more looks; a restart looks
    again."""

    def __init__(self, ledger: Ledger, member: MemberId, catalogue: Catalogue, report: Report) -> None:
        self._ledger = ledger
        self._member = member
        self._catalogue = catalogue
        self._report = report
        self._look_from = 0
        self._finished: set[AgreementId] = set()
        self._told: dict[str, int] = {}

    async def step(self, now: ChainTime) -> None:
        """Raises ChainUnavailable; what a contract refuses is said, and tried again later."""
        missed = {
            a.id
            for a in self._catalogue.agreements()
            if (checks := self._catalogue.checks(a.id, 1)) and not checks[0].proven
        }
        await settle(self._ledger, self._member, now.epoch, missed, self._report)
        agreements = await self._ledger.agreements_of(self._member)
        # Both wait for many epochs anyway, and each look costs a request an agreement.
        if now.epoch >= self._look_from:
            self._look_from = now.epoch + SETTLE_EVERY_EPOCHS
            await self._close_demands(agreements, now.epoch)
            await self._conclude(agreements, now.epoch)
        await self._foresee(agreements, now.epoch)

    async def _foresee(self, agreements: Sequence[AgreementInfo], epoch: Epoch) -> None:
        balance = await self._ledger.balance(self._member)
        for message in forecast(agreements, self._member, balance, epoch).warnings():
            kind = message.split(":")[0]
            if epoch >= self._told.get(kind, -TELL_EVERY_EPOCHS) + TELL_EVERY_EPOCHS:
                self._told[kind] = epoch
                warn(self._report, message)

    async def _conclude(self, agreements: Sequence[AgreementInfo], epoch: Epoch) -> None:
        """As client, take the penalties that nobody appealed against, or that the consortium did not decide on."""
        for info in agreements:
            if info.terms.client != self._member or info.id in self._finished:
                continue
            dockets = await self._ledger.dockets_of(info.id)
            done = True
            for number, docket in enumerate(dockets):
                until = _contested_until(docket)
                if until is not None and (epoch <= until or not await self._conclude_one(info, number, docket)):
                    done = False
            # A settlement or a demand can open a docket as long as the agreement lives.
            if done and not info.is_live:
                self._finished.add(info.id)

    async def _conclude_one(self, info: AgreementInfo, number: int, docket: Docket) -> bool:
        try:
            await self._ledger.conclude(info.id, number)
        except Reverted as error:
            warn(self._report, f"docket {number} of agreement {info.id.hex()[:16]} cannot be concluded: {error}")
            return False
        note(
            self._report,
            f"penalty of member {info.terms.provider} concluded: {docket.to_client} micro-credits are ours",
        )
        return True

    async def _close_demands(self, agreements: Sequence[AgreementInfo], epoch: Epoch) -> None:
        """End our demands that were not answered in time: our deposit comes back, the provider pays."""
        member = self._member
        # Of agreements that are over, too: a demand outlives one that fails in the meantime, and so does our deposit.
        for provider in sorted({a.terms.provider for a in agreements if a.terms.client == member}):
            for demand in await self._ledger.open_demands(provider):
                if demand.client != member or epoch <= demand.until:
                    continue
                try:
                    await self._ledger.close_demand(demand.number)
                except Reverted as error:
                    warn(self._report, f"demand {demand.number} cannot be closed: {error}")
                else:
                    note(self._report, f"demand {demand.number} closed: member {provider} did not answer it in time")


def _contested_until(docket: Docket) -> Epoch | None:
    """The last epoch in which the docket may still be appealed against or decided; None when it is closed."""
    if docket.state is DocketState.OPEN:
        return docket.appeal_until
    return docket.decide_until if docket.state is DocketState.APPEALED else None
