"""Co-signing: the provider recomputes what a client asks it to sign, and keeps it durably before it signs.

A revision binds its predecessor and an expiry. Until one with a number is recorded or expired, this node signs no other
with the same number, except one that appends more to the very same objects: whichever of those two is recorded, nothing
that was signed for is lost (a client that crashed between our signature and its own queue goes on at once).

Objects are removed by a revision of its own, and only those whose removal the client has announced on chain and whose
retention has passed since: no node key, and no word of the client's, gets anything deleted sooner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from weakref import WeakValueDictionary

from peerage.flow.provided import ProvidedAgreements
from peerage.flow.trees import Trees
from peerage.model import LEAF_SIZE, AgreementId, Epoch, ShardRoot
from peerage.net.membership import Membership
from peerage.ports import Ledger
from peerage.shard.tree import AgreementTree
from peerage.store.objects import ObjectStore, SignedRevision
from peerage.store.revisions import DEAD
from peerage.wire.messages import RevisionBody, decode, encode
from peerage.wire.refusals import Refusal, RefusalCode
from peerage_chain import typed
from peerage_chain.errors import ChainFault
from peerage_chain.typed import Domain
from peerage_chain.types import LIVE_STATES, ZERO32, AgreementInfo, MemberInfo, Revision

EXPIRES_WITHIN_EPOCHS = 64
"""How far ahead a revision may expire: its number is bound for so long."""
RIVALS_MAX = 8
"""Pending revisions with one number, each extending the one before."""
PENDING_MAX = 16
"""Revisions signed on top of each other while the chain is away."""


@dataclass(frozen=True, slots=True)
class _Request:
    revision: Revision
    appended: Sequence[ShardRoot]
    removed: Sequence[ShardRoot]
    digest: bytes
    client_signature: bytes


class Cosigner:
    """Checks and signs revisions. One event loop; one revision of an agreement at a time."""

    def __init__(
        self,
        node_key: bytes,
        domain: Domain,
        ledger: Ledger,
        store: ObjectStore,
        provided: ProvidedAgreements,
        membership: Membership,
        trees: Trees,
    ) -> None:
        self._node_key = node_key
        self._domain = domain
        self._ledger = ledger
        self._store = store
        self._provided = provided
        self._membership = membership
        self._trees = trees
        self._turns: WeakValueDictionary[AgreementId, asyncio.Lock] = WeakValueDictionary()

    async def cosign(
        self,
        caller: MemberInfo,
        revision: Revision,
        appended: Sequence[ShardRoot],
        client_signature: bytes,
        removed: Sequence[ShardRoot] = (),
    ) -> bytes:
        """The provider's signature; the same one again for the same revision. Raises Refusal, StoreRefusal."""
        info = await self._provided.get(revision.agreement)
        if info.terms.client != caller.id:
            raise Refusal(RefusalCode.NO_SUCH_AGREEMENT, "no such agreement of yours with this node")
        request = _Request(revision, appended, removed, self._digest(revision), client_signature)
        self._check_signer(caller, request)
        turn = self._turns.setdefault(revision.agreement, asyncio.Lock())
        async with turn:
            held = await asyncio.to_thread(self._store.revisions.get, revision.agreement, request.digest)
            if held is not None:
                return held.provider_signature
            now = (await self._provided.time()).epoch
            info, is_fresh = await self._newest(info)
            if is_fresh:
                await asyncio.to_thread(self._drop_expired, info, now)
            if not await asyncio.to_thread(self._follows, info, revision, now):
                raise Refusal(
                    RefusalCode.STALE_REVISION,
                    f"revision {revision.sequence} does not follow: {info.sequence} is the newest on chain",
                )
            self._check_bounds(info, revision, now)
            if removed:
                await self._check_announced(request, now)
            return await asyncio.to_thread(self._check_and_keep, info, request)

    async def _newest(self, known: AgreementInfo) -> tuple[AgreementInfo, bool]:
        """The agreement as the chain shows it now, or as it was known while the chain is away; and which of the two."""
        try:
            return await self._provided.get(known.id, fresh=True), True
        except Refusal as refusal:
            if refusal.code != RefusalCode.CHAIN_UNAVAILABLE:
                raise
            return known, False

    async def _check_announced(self, request: _Request, now: Epoch) -> None:
        """A removal is the one that the chain shows now, and its time has come; nothing remembered will do."""
        if request.appended:
            raise Refusal(RefusalCode.BAD_REVISION, "a revision that removes objects appends none")
        try:
            announced = await self._ledger.removal_of(request.revision.agreement)
        except ChainFault as error:
            raise Refusal(RefusalCode.CHAIN_UNAVAILABLE, "this node cannot reach the chain now") from error
        roots = sorted(request.removed)
        if announced is None or sha256(b"".join(roots)).digest() != announced.objects:
            raise Refusal(RefusalCode.BAD_REVISION, "the removal of these objects is not announced on chain")
        if now < announced.ready:
            raise Refusal(RefusalCode.BAD_REVISION, f"these objects are kept until epoch {announced.ready}")

    # --- checks without the disk --------------------------------------------------------------------------------------

    def _digest(self, revision: Revision) -> bytes:
        if revision.extension != ZERO32:
            raise Refusal(RefusalCode.BAD_REVISION, "extensions are not known here")
        try:
            return typed.revision_digest(revision, self._domain)
        except ValueError as error:
            raise Refusal(RefusalCode.BAD_REVISION, str(error)) from error

    def _check_signer(self, caller: MemberInfo, request: _Request) -> None:
        try:
            signer = typed.recover(request.digest, request.client_signature)
        except ValueError as error:
            raise Refusal(RefusalCode.BAD_SIGNATURE, f"the client's signature is malformed: {error}") from error
        if not self._membership.acts_for(signer, caller.id):
            raise Refusal(RefusalCode.BAD_SIGNATURE, f"{signer} does not act for member {caller.id} now")

    @staticmethod
    def _check_bounds(info: AgreementInfo, revision: Revision, now: Epoch) -> None:
        if info.state not in LIVE_STATES or now >= info.terms.end_epoch:
            raise Refusal(RefusalCode.AGREEMENT_NOT_LIVE, "the agreement is not in force")
        if not now <= revision.expires <= now + EXPIRES_WITHIN_EPOCHS:
            raise Refusal(
                RefusalCode.BAD_REVISION, f"it must expire within {EXPIRES_WITHIN_EPOCHS} epochs from now, {now}"
            )
        if revision.leaves * LEAF_SIZE > info.terms.capacity:
            raise Refusal(RefusalCode.OVER_CAPACITY, f"{revision.leaves} leaves are more than the agreement's capacity")

        if revision.bytes_up < info.bytes_up or revision.bytes_down < info.bytes_down:
            raise Refusal(RefusalCode.BAD_REVISION, "the traffic counters shrink")

    # --- checks on the disk: in a worker thread -----------------------------------------------------------------------

    def _follows(self, info: AgreementInfo, revision: Revision, now: Epoch) -> bool:
        """Whether its predecessor is the recorded revision, or one that we signed and that may still be recorded."""
        book = self._store.revisions
        if any(r.sequence == revision.sequence and _has_expired(r, now) for r in self._pending(info)):
            return False  # the chain is away, and only it can say that this number is free again
        if (info.sequence, info.revision) == (revision.sequence - 1, revision.previous):
            return True
        before = book.get(revision.agreement, revision.previous)
        return (
            before is not None
            and before.sequence == revision.sequence - 1
            and info.sequence < before.sequence <= info.sequence + PENDING_MAX
            and before.expires >= now
        )

    def _drop_expired(self, info: AgreementInfo, now: Epoch) -> None:
        if any(_has_expired(r, now) for r in self._pending(info)):
            self._store.revisions.drop_expired(info.id, now)

    def _pending(self, info: AgreementInfo) -> list[SignedRevision]:
        return self._store.revisions.unrecorded_of(info.id)

    def _check_and_keep(self, info: AgreementInfo, request: _Request) -> bytes:
        revision, book = request.revision, self._store.revisions
        before = None
        if revision.previous != ZERO32:
            before = book.get(info.id, revision.previous)
            if before is None:
                raise Refusal(RefusalCode.STALE_REVISION, "the revision before is not held here")
        appended = self._appended(info.id, request.appended)
        if request.removed:
            gone, kept = set(request.removed), book.objects_of(before) if before is not None else []
            tree = AgreementTree([*(DEAD if root in gone else (root, leaves) for root, leaves in kept), *appended])
        else:
            tree = AgreementTree(appended, self._before(before))
        root = tree.root
        if (root.hash, root.leaves) != (revision.root, revision.leaves):
            raise Refusal(
                RefusalCode.BAD_ROOT,
                f"the tree has root {root.hash.hex()} and {root.leaves} leaves, not what is signed",
            )
        self._check_traffic(revision, before)
        self._check_rivals(info, revision, tree)
        signature = typed.sign(self._node_key, request.digest)
        signed = SignedRevision(
            agreement=info.id,
            sequence=revision.sequence,
            digest=request.digest,
            previous=revision.previous,
            root=revision.root,
            leaves=revision.leaves,
            expires=revision.expires,
            revision=encode(RevisionBody.of(revision)),
            client_signature=request.client_signature,
            provider_signature=signature,
        )
        return book.keep(signed, request.appended, request.removed).provider_signature

    def _before(self, before: SignedRevision | None) -> AgreementTree | None:
        if before is None:
            return None
        return self._trees.under(before.agreement, before.sequence, before.root, before.leaves)

    @staticmethod
    def _check_traffic(revision: Revision, signed: SignedRevision | None) -> None:
        """Nobody gets out of paying for traffic by having less of it recorded than was signed for."""
        if signed is None:
            return
        body = decode(RevisionBody, signed.revision)
        if revision.bytes_up < body.bytes_up or revision.bytes_down < body.bytes_down:
            raise Refusal(
                RefusalCode.BAD_REVISION,
                f"the traffic counters shrink: {body.bytes_up} up and {body.bytes_down} down are signed for",
            )

    def _appended(self, agreement: AgreementId, roots: Sequence[ShardRoot]) -> list[tuple[ShardRoot, int]]:
        if len(set(roots)) != len(roots):
            raise Refusal(RefusalCode.BAD_REVISION, "an object is appended twice")
        leaves = self._store.leaves(agreement, roots)
        for root in roots:
            if not self._store.has(agreement, root) or not self._store.is_there(agreement, root):
                raise Refusal(RefusalCode.NO_SUCH_OBJECT, f"object {root.hex()[:16]} is damaged here: put it again")
        return list(zip(roots, leaves, strict=True))

    def _check_rivals(self, info: AgreementInfo, revision: Revision, tree: AgreementTree) -> None:
        rivals = [r for r in self._pending(info) if r.sequence == revision.sequence]
        if len(rivals) >= RIVALS_MAX:
            raise Refusal(RefusalCode.STALE_REVISION, f"too many revisions {revision.sequence} are signed already")
        for rival in rivals:
            if not tree.begins_with(self._store.revisions.objects_of(rival)):
                raise Refusal(
                    RefusalCode.STALE_REVISION,
                    f"another revision {revision.sequence} is signed and may be recorded until epoch {rival.expires}",
                )
            self._check_traffic(revision, rival)


def _has_expired(revision: SignedRevision, now: Epoch) -> bool:
    return revision.expires < now
