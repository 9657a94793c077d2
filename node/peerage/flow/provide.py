"""The provider's side of everything: accept terms, keep objects, co-sign revisions, serve the owner, open leaves.

Implements net.service.Service. What is signed here was checked here: room before bytes, bytes before receipts, and the
recomputed tree before a revision. A suspended member may read its own data and list it, and do nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from peerage.deal import amend, negotiate
from peerage.deal.decision import Decision
from peerage.deal.policy import Policy
from peerage.errors import IntegrityError, LocalFault
from peerage.flow.context import Decide, forget_decision
from peerage.flow.cosign import Cosigner
from peerage.flow.opening import LeafOpener
from peerage.flow.provided import ProvidedAgreements
from peerage.flow.standing import Standings
from peerage.flow.trees import Trees
from peerage.model import AgreementId, Epoch, MemberId, ObjectKind, Receipt, ShardRoot
from peerage.net.membership import Membership, NowSeconds, Roster
from peerage.net.service import Reading
from peerage.ports import Buffer, Ledger
from peerage.shard.tree import TreeHasher
from peerage.store.objects import ObjectReader, ObjectStore, Upload
from peerage.store.refusals import (
    BadObject,
    DiskFull,
    OverCapacity,
    RevisionConflict,
    StoreRefusal,
    UnknownAgreement,
    UnknownObject,
)
from peerage.store.reservations import Reservation
from peerage.wire.refusals import Refusal, RefusalCode
from peerage_chain import typed
from peerage_chain.typed import Domain
from peerage_chain.types import (
    LIVE_STATES,
    AgreementInfo,
    Amendment,
    ChainTime,
    Challenge,
    MemberInfo,
    Revision,
    Sample,
    Terms,
)

UNRECORDED_KEPT_S = 7 * 24 * 3600
"""Objects that no co-signed revision lists are dropped after so long (node/spec/wire.md): both sides know."""

_CODES: tuple[tuple[type[Exception], RefusalCode], ...] = (
    (UnknownAgreement, RefusalCode.NO_SUCH_AGREEMENT),
    (UnknownObject, RefusalCode.NO_SUCH_OBJECT),
    (OverCapacity, RefusalCode.OVER_CAPACITY),
    (BadObject, RefusalCode.BAD_ROOT),
    (RevisionConflict, RefusalCode.STALE_REVISION),
    (DiskFull, RefusalCode.DISK_FULL),
)


_UNCOVERED = negotiate.Refuse(RefusalCode.POLICY_REFUSED, "this node cannot cover the collateral now", "balance")


class Provider:
    """One node as provider. One event loop, except samples_for."""

    def __init__(
        self,
        member: MemberId,
        node_key: bytes,
        domain: Domain,
        ledger: Ledger,
        store: ObjectStore,
        policy: Callable[[], Policy],
        roster: Roster,
        now_s: NowSeconds,
        decided: Decide = forget_decision,
    ) -> None:
        self._member = member
        self._decided = decided
        self._node_key = node_key
        self._domain = domain
        self._ledger = ledger
        self._store = store
        self._policy = policy
        self._membership = Membership(roster, now_s)
        self._provided = ProvidedAgreements(member, ledger, store)
        self._trees = Trees(store)
        self._cosigner = Cosigner(node_key, domain, ledger, store, self._provided, self._membership, self._trees)
        self._opener = LeafOpener(store, self._trees)
        self._proposing = asyncio.Lock()
        self._standings = Standings(member, ledger, store, policy, self._membership, self._provided)

    # --- the chain as it was seen -------------------------------------------------------------------------------------

    def remember(self, time: ChainTime, infos: Sequence[AgreementInfo]) -> None:
        """Take in what was seen before this process began, for as long as the chain is away."""
        self._provided.remember(time, infos)

    def known(self) -> tuple[AgreementInfo, ...]:
        """The agreements in which this node is the provider, as they were seen last."""
        return self._provided.known()

    # --- agreements ---------------------------------------------------------------------------------------------------

    async def propose(self, caller: MemberInfo, terms: Terms) -> tuple[Terms, bytes | None, str]:
        """Accept (with a signature), counter (without), or raise Refusal. See deal.negotiate.decide."""
        if (terms.client, terms.provider) != (caller.id, self._member):
            raise Refusal(RefusalCode.BAD_TERMS, "the terms are not between the caller and this node")
        try:
            digest = typed.terms_digest(terms, self._domain)
        except ValueError as error:
            raise Refusal(RefusalCode.BAD_TERMS, str(error)) from error
        async with self._proposing:  # two proposals at once must not be promised the same room
            at = await self._standings.of(caller, AgreementId(digest))
            decision = negotiate.decide(terms, self._policy(), at.offer, at.room, caller, at.now)
            if isinstance(decision, negotiate.Accept) and terms.collateral > at.balance:
                decision = _UNCOVERED
            if not isinstance(decision, negotiate.Refuse):
                decision = at.refusal(opening=True) or decision
            self._tell(caller, decision, terms, "propose", at.now)
            if isinstance(decision, negotiate.Refuse):
                raise Refusal(decision.code, decision.reason)
            if isinstance(decision, negotiate.Counter):
                return decision.terms, None, decision.reason
            kept = Reservation(AgreementId(digest), 0, caller.id, terms.capacity, terms.open_by)
            await asyncio.to_thread(self._store.reservations.keep, kept)
            return terms, typed.sign(self._node_key, digest), decision.reason

    async def amend(self, caller: MemberInfo, amendment: Amendment) -> tuple[Amendment, bytes | None, str]:
        """Accept (with a signature), counter (without), or raise Refusal. See deal.amend.decide."""
        info = await self._provided.get(amendment.agreement, fresh=True)
        if info.terms.client != caller.id:
            raise Refusal(RefusalCode.NO_SUCH_AGREEMENT, "no such agreement of yours with this node")
        async with self._proposing:
            at = await self._standings.of(caller, info.id, amendment.number)
            decision = amend.decide(amendment, info, self._policy().give, at.offer, at.room, caller, at.now)
            if isinstance(decision, negotiate.Accept) and amendment.collateral - info.collateral > at.balance:
                decision = _UNCOVERED
            if not isinstance(decision, negotiate.Refuse):
                decision = at.refusal(opening=False) or decision
            self._tell(caller, decision, amendment, "amend", at.now)
            if isinstance(decision, negotiate.Refuse):
                raise Refusal(decision.code, decision.reason)
            if isinstance(decision, negotiate.Counter):
                return decision.terms, None, decision.reason
            digest = typed.amendment_digest(amendment, self._domain)
            if added := amendment.capacity - info.terms.capacity:
                kept = Reservation(info.id, amendment.number, caller.id, added, amendment.expires)
                await asyncio.to_thread(self._store.reservations.keep, kept)
            return amendment, typed.sign(self._node_key, digest), decision.reason

    def _tell(
        self,
        caller: MemberInfo,
        decision: negotiate.Accept | negotiate.Counter[Terms] | negotiate.Counter[Amendment] | negotiate.Refuse,
        asked: Terms | Amendment,
        action: str,
        now: Epoch,
    ) -> None:
        terms = decision.terms if isinstance(decision, negotiate.Counter) else asked
        ok = not isinstance(decision, negotiate.Refuse)
        action = "counter" if isinstance(decision, negotiate.Counter) else action
        price = terms.price_per_gib_epoch
        self._decided(
            Decision("provider", caller.id, action, ok, decision.rule, decision.reason, now, terms.capacity, price)
        )

    async def refresh(self) -> list[AgreementInfo]:
        """Once an epoch: take in what the chain recorded, and drop what nothing binds this node to keep.

        Under an agreement with an open demand nothing is dropped: it may be about what was removed since.

        Returns this node's agreements as provider. Raises what the ledger raises.
        """
        infos = await self._provided.all()
        now = (await self._ledger.now()).epoch
        await self._standings.keep_served()
        demanded = {demand.agreement for demand in await self._ledger.open_demands(self._member)}
        for info in infos:
            if info.id in demanded:
                continue
            if self._provided.is_over(info, now):
                await asyncio.to_thread(self._store.drop_agreement, info.id)
                self._trees.forget(info.id)
            else:
                await asyncio.to_thread(self._store.revisions.drop_expired, info.id, now)
                await asyncio.to_thread(self._store.drop_removed, info.id, now)
        await asyncio.to_thread(self._store.drop_unrecorded, time.time_ns() - UNRECORDED_KEPT_S * 10**9)
        return infos

    # --- objects ------------------------------------------------------------------------------------------------------

    async def receive(
        self,
        caller: MemberInfo,
        agreement: AgreementId,
        root: ShardRoot,
        size: int,
        kind: ObjectKind,
        repository: int,
        number: int,
    ) -> Incoming:
        """Check the caller, the agreement and the room; all before a byte of the object is taken."""
        _may_write(caller)
        now = (await self._provided.time()).epoch
        info = await self._provided.get(agreement)
        if info.terms.client == caller.id and not _in_force(info, now):
            info = await self._provided.get(agreement, fresh=True)
        if info.terms.client != caller.id:
            raise Refusal(RefusalCode.NO_SUCH_AGREEMENT, "no such agreement of yours with this node")
        if not _in_force(info, now):
            raise Refusal(
                RefusalCode.AGREEMENT_NOT_LIVE, f"the agreement is {info.state.name.lower()} or its term over"
            )
        with refusing():
            upload = await asyncio.to_thread(self._store.begin, caller.id, agreement, root, size)
        return Incoming(upload, kind, repository, number, now, self._sign_receipt)

    async def drop_object(self, caller: MemberInfo, agreement: AgreementId, root: ShardRoot) -> None:
        """Drop at once what no revision lists: nothing binds this node to keep it."""
        _may_write(caller)
        with refusing():
            await asyncio.to_thread(self._store.drop_unlisted, caller.id, agreement, root)

    def _sign_receipt(self, agreement: AgreementId, root: ShardRoot, leaves: int, epoch: Epoch) -> Receipt:
        digest = typed.receipt_digest(agreement, root, leaves, epoch, self._domain)
        return Receipt(agreement, root, leaves, epoch, typed.sign(self._node_key, digest))

    async def cosign(
        self,
        caller: MemberInfo,
        revision: Revision,
        appended: Sequence[ShardRoot],
        client_signature: bytes,
        removed: Sequence[ShardRoot] = (),
    ) -> bytes:
        """Co-sign the next state of an agreement; durable here before the signature leaves. See flow.cosign."""
        _may_write(caller)
        with refusing():
            return await self._cosigner.cosign(caller, revision, appended, client_signature, removed)

    # --- reading: the owner's, whatever its status --------------------------------------------------------------------

    async def open_object(self, caller: MemberInfo, root: ShardRoot) -> ObjectReader:
        with refusing():
            return await asyncio.to_thread(self._store.open_object, caller.id, root)

    def served(self, reading: Reading, n_bytes: int) -> None:
        self._standings.count(reading.agreement, n_bytes)

    async def list_objects(
        self, caller: MemberInfo, agreement: AgreementId, start: int, count: int
    ) -> tuple[Sequence[tuple[ShardRoot, int]], int]:
        with refusing():
            # The store knows whose it is, so this works while the chain is away, and after the agreement has ended.
            if (await asyncio.to_thread(self._store.agreements)).get(agreement) != caller.id:
                info = await self._provided.get(agreement)
                if info.terms.client != caller.id:
                    raise Refusal(RefusalCode.NO_SUCH_AGREEMENT, "no such agreement of yours with this node")
                return [], 0
            objects = await asyncio.to_thread(self._store.objects_of, agreement)
        return objects[start : start + count], len(objects)

    async def list_heads(self, caller: MemberInfo, repository: int) -> Sequence[tuple[int, ShardRoot, int]]:
        with refusing():
            return await asyncio.to_thread(self._store.heads_of, caller.id, repository)

    async def free_bytes(self) -> int:
        return await asyncio.to_thread(self._store.room_bytes)

    # --- proofs -------------------------------------------------------------------------------------------------------

    def samples_for(self, challenge: Challenge) -> tuple[Sample, ...]:
        """The challenged leaves and their paths, read from disk now. Any thread; blocks.

        Raises IntegrityError if the disk's bytes are not what was stored (and marks the object as damaged), or if the
        revision that the challenge is over is not held here.
        """
        return self._opener.samples_for(challenge)


class Incoming:
    """One object being stored: hashed and written as it comes. Implements net.service.Reception."""

    def __init__(
        self,
        upload: Upload,
        kind: ObjectKind,
        repository: int,
        number: int,
        epoch: Epoch,
        sign: Callable[[AgreementId, ShardRoot, int, Epoch], Receipt],
    ) -> None:
        self._upload = upload
        self._kind = kind
        self._repository = repository
        self._number = number
        self._epoch = epoch
        self._sign = sign
        self._hasher = TreeHasher()

    def absorb(self, pieces: Sequence[Buffer]) -> None:
        with refusing():
            for piece in pieces:
                self._upload.write(piece)
                self._hasher.update(piece)

    def commit(self) -> Receipt:
        with refusing():
            tree = self._hasher.finish()
            self._upload.commit(tree.root, tree.leaves, tree.subroots, self._kind, self._repository, self._number)
        return self._sign(self._upload.agreement, tree.root, tree.leaves, self._epoch)

    def abort(self) -> None:
        self._upload.abort()


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what the store raises into refusals that a peer understands."""
    try:
        yield
    except StoreRefusal as error:
        code = next((code for kind, code in _CODES if isinstance(error, kind)), RefusalCode.INTERNAL)
        raise Refusal(code, str(error)) from error
    except IntegrityError as error:
        raise Refusal(RefusalCode.DAMAGED, str(error)) from error
    except DiskFull as error:
        raise Refusal(RefusalCode.DISK_FULL, "the disk is full") from error
    except LocalFault as error:
        raise Refusal(RefusalCode.INTERNAL, "this node cannot store or read now; its owner can see why") from error


def _may_write(caller: MemberInfo) -> None:
    if not caller.status.writes:
        raise Refusal(RefusalCode.SUSPENDED, "a suspended member may read its own data, nothing else")


def _in_force(info: AgreementInfo, now: Epoch) -> bool:
    return info.state in LIVE_STATES and now < info.terms.end_epoch
