"""Where a client stands with this provider: the room that there is for it, and what it has not signed for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from peerage.deal import negotiate
from peerage.deal.policy import Policy
from peerage.flow.provided import ProvidedAgreements
from peerage.model import AgreementId, Epoch, MemberId
from peerage.net.membership import Membership
from peerage.ports import Ledger
from peerage.store.objects import ObjectStore
from peerage.store.reservations import Reservation
from peerage.wire.refusals import Refusal, RefusalCode
from peerage_chain.errors import ChainFault
from peerage_chain.types import GIB, LIVE_STATES, AgreementInfo, MemberInfo, Offer

UNSIGNED_MAX_BYTES = GIB
"""A client that has read so much more than it has signed for gets no new promises; it signs from 64 MiB on."""


@dataclass(frozen=True, slots=True)
class Standing:
    """offer: this node's on chain. balance: its member's, free, micro-credits. room: bytes for this client, and the
    rule that allows no more. unopened: other terms signed for it that may still be opened. unsigned: bytes that it has
    read, and not signed for, under agreements with an egress price."""

    offer: Offer
    balance: int
    now: Epoch
    room: tuple[int, str]
    unopened: Sequence[Reservation]
    unsigned: int

    def refusal(self, opening: bool) -> negotiate.Refuse | None:
        """Why it is promised nothing more, whatever it asks for. opening: another agreement."""
        if self.unsigned > UNSIGNED_MAX_BYTES:
            reason = f"{self.unsigned} bytes were read here that no revision is signed for: sign one, then ask again"
            return negotiate.Refuse(RefusalCode.POLICY_REFUSED, reason, "traffic")
        if opening and len(self.unopened) >= negotiate.UNOPENED_MAX:
            until = min(kept.open_by for kept in self.unopened) + 1
            count = len(self.unopened)
            reason = f"{count} terms signed for you are not open yet: open them, or wait until epoch {until}"
            return negotiate.Refuse(RefusalCode.OVER_CAPACITY, reason, "unopened terms")
        return None


class Standings:
    """One event loop."""

    def __init__(
        self,
        member: MemberId,
        ledger: Ledger,
        store: ObjectStore,
        policy: Callable[[], Policy],
        membership: Membership,
        provided: ProvidedAgreements,
    ) -> None:
        self._member = member
        self._ledger = ledger
        self._store = store
        self._policy = policy
        self._membership = membership
        self._provided = provided
        self._served: dict[AgreementId, int] = {}

    def count(self, agreement: AgreementId, n_bytes: int) -> None:
        """So much was read. In memory until keep_served: a crash forgets less than an epoch of it."""
        self._served[agreement] = self._served.get(agreement, 0) + n_bytes

    async def keep_served(self) -> None:
        served, self._served = self._served, {}
        if served:
            await asyncio.to_thread(self._store.served.add, served)

    async def of(self, caller: MemberInfo, asked: AgreementId, number: int = 0) -> Standing:
        """asked, number: what is being decided on; room kept for it before is free for it. Raises Refusal."""
        own = self._membership.member(self._member)
        if own is None:
            raise Refusal(RefusalCode.POLICY_REFUSED, "this node's member is not on chain")
        give = self._policy().give
        try:
            infos = await self._provided.all()
            both = await self._ledger.agreements_of(self._member) if give.barter_percent else ()
            balance = await self._ledger.balance(self._member)
        except ChainFault as error:
            raise Refusal(RefusalCode.CHAIN_UNAVAILABLE, "this node cannot reach the chain now") from error
        now = (await self._provided.time()).epoch
        kept = await asyncio.to_thread(self._reserved, infos, now)
        others = [r for r in kept if (r.agreement, r.number) != (asked, number)]
        theirs = [r for r in others if r.client == caller.id]
        signed_with = [a for a in infos if a.terms.client == caller.id]
        needed, reserved = self._provided.room_needed, sum(r.capacity for r in others)
        room = negotiate.room_for(
            give,
            own.offer,
            signed_bytes=needed(infos) + reserved,
            free_bytes=await asyncio.to_thread(self._store.room_bytes) - reserved,
            signed_for_client=needed(signed_with) + sum(r.capacity for r in theirs),
            taken_bytes=needed([a for a in both if a.terms.client == self._member]),
        )
        unsigned = await asyncio.to_thread(self._unsigned, signed_with)
        return Standing(own.offer, balance, now, room, [r for r in theirs if r.number == 0], unsigned)

    def _reserved(self, infos: Sequence[AgreementInfo], now: Epoch) -> list[Reservation]:
        """Room kept for what may still be recorded; the rest is let go."""
        recorded = {info.id: info.amendments for info in infos}
        kept = self._store.reservations.all()
        over = [r for r in kept if r.open_by < now or recorded.get(r.agreement, -1) >= r.number]
        if over:
            self._store.reservations.drop(over)
        return [r for r in kept if r not in over]

    def _unsigned(self, infos: Sequence[AgreementInfo]) -> int:
        """Of agreements that are over nothing can be signed for any more."""
        priced = [a for a in infos if a.terms.egress_price_per_gib and a.state in LIVE_STATES]
        read = (self._store.served.under(a.id) + self._served.get(a.id, 0) - a.bytes_down for a in priced)
        return sum(max(0, n_bytes) for n_bytes in read)
