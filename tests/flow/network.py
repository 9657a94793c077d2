"""A network in memory for the flows' own tests: a ledger that only books, and peers that only keep.

Real chains, real TLS and real disks are in tests/chain, tests/net, tests/devnet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.fakes import amended

from peerage.deal.policy import Policy, offer_of
from peerage.errors import PeerRefused, PeerUnavailable
from peerage.flow.context import NodeContext
from peerage.model import LEAF_SIZE, AgreementId, Epoch, MemberId, ObjectKind, Receipt, ShardRoot
from peerage.seal.keys import KeyRing, wrap
from peerage.shard.tree import AgreementTree, object_tree
from peerage.store.catalogue import Catalogue
from peerage_chain import typed
from peerage_chain.errors import ChainUnavailable, Reverted
from peerage_chain.quality import QualityRecord
from peerage_chain.types import (
    AgreementInfo,
    AgreementState,
    Amendment,
    Anchor,
    ChainTime,
    Challenge,
    Deal,
    Demand,
    Loss,
    MemberInfo,
    MemberStatus,
    NodeInfo,
    Removal,
    Revision,
    Terms,
)

CLIENT = MemberId(1)
DEAD = ShardRoot(bytes(32))
NODE_KEY = b"\x11" * 32
DOMAIN = typed.Domain(31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")


def member(id: int) -> MemberInfo:
    node = NodeInfo(typed.address_of(NODE_KEY), b"", f"https://127.0.0.1:{4000 + id}", f"site{id}", 1 << 40, False)
    return MemberInfo(
        MemberId(id), node.key, MemberStatus.ACTIVE, bytes([id]) * 32, "FR", f"member {id}", offer_of(Policy()), (node,)
    )


@dataclass
class BookLedger:
    """Books what is written, refuses what is stale, and is `away` on demand. time_s stands still unless it is set."""

    members: list[MemberInfo]
    chain_id: int = 31337
    epoch: int = 10
    time_s: int = 1_700_000_000
    away: bool = False
    demands: list[tuple[AgreementId, tuple[int, ...]]] = field(default_factory=list)
    agreements: dict[AgreementId, AgreementInfo] = field(default_factory=dict)
    anchors: dict[tuple[int, int], Anchor] = field(default_factory=dict)
    proofs: set[tuple[AgreementId, int]] = field(default_factory=set)
    due: set[tuple[AgreementId, int]] = field(default_factory=set)
    void: set[int] = field(default_factory=set)
    removals: dict[AgreementId, Removal] = field(default_factory=dict)
    losses: dict[AgreementId, Loss] = field(default_factory=dict)
    asked: tuple[int, ...] = (0,)
    records: dict[MemberId, list[QualityRecord | None]] = field(default_factory=dict)
    answers: list[tuple[Demand, tuple[bytes, ...]]] = field(default_factory=list)

    def change_member(self, member: MemberId, **fields: Any) -> None:
        """Show a member otherwise from now on."""
        self.members = [replace(m, **fields) if m.id == member else m for m in self.members]

    def _reach(self) -> None:
        if self.away:
            raise ChainUnavailable("no chain answers: start it")

    async def now(self) -> ChainTime:
        self._reach()
        return ChainTime(100, self.time_s, Epoch(self.epoch), self.time_s, 10)

    async def roster(self) -> Sequence[MemberInfo]:
        self._reach()
        return self.members

    def known_roster(self) -> Sequence[MemberInfo]:
        return self.members

    async def agreement(self, id: AgreementId) -> AgreementInfo:
        self._reach()
        return self.agreements[id]

    async def agreements_of(self, member: MemberId) -> Sequence[AgreementInfo]:
        self._reach()
        return [a for a in self.agreements.values() if member in (a.terms.client, a.terms.provider)]

    async def promised(self, provider: MemberId) -> int:
        self._reach()
        return sum(a.terms.capacity for a in self.agreements.values() if a.terms.provider == provider and a.is_live)

    async def challenge(self, id: AgreementId, epoch: Epoch) -> Challenge:
        self._reach()
        info = self.agreements[id]
        due = (id, epoch) in self.due
        return Challenge(id, epoch, due, bytes(32), info.sequence, info.root, info.leaves, self.asked if due else ())

    async def make_demand(self, id: AgreementId, indices: Sequence[int]) -> None:
        self._reach()
        self.demands.append((id, tuple(indices)))

    async def open_demands(self, provider: MemberId) -> Sequence[Demand]:
        self._reach()
        return []

    async def answered_demands(self, id: AgreementId) -> Sequence[tuple[Demand, tuple[bytes, ...]]]:
        self._reach()
        return [(demand, leaves) for demand, leaves in self.answers if demand.agreement == id]

    async def proven(self, id: AgreementId, epoch: Epoch) -> bool:
        self._reach()
        return (id, epoch) in self.proofs

    async def epoch_valid(self, epoch: Epoch) -> bool:
        self._reach()
        return epoch not in self.void

    async def balance(self, member: MemberId) -> int:
        self._reach()
        return 1_000_000_000

    async def anchor_of(self, member: MemberId, repository: int) -> Anchor:
        self._reach()
        return self.anchors.get((member, repository), Anchor(0, bytes(32), Epoch(0)))

    async def open_agreement(self, terms: Terms, client: bytes, provider: bytes) -> AgreementId:
        self._reach()
        id = AgreementId(typed.terms_digest(terms, DOMAIN))
        self.agreements[id] = AgreementInfo(
            id, Deal.of(terms, Epoch(self.epoch)), AgreementState.ACTIVE, 0, bytes(32), bytes(32), 0, Epoch(0),
            Epoch(self.epoch), 0, 0, 0,
        )  # fmt: skip
        return id

    async def amend(self, amendment: Amendment, client: bytes, provider: bytes) -> None:
        self._reach()
        info = self.agreements[amendment.agreement]
        digest = typed.amendment_digest(amendment, DOMAIN)
        assert typed.recover(digest, client) == typed.recover(digest, provider) == typed.address_of(NODE_KEY)
        if amendment.number != info.amendments + 1:
            raise Reverted("WrongNumber", {"given": amendment.number})
        self.agreements[info.id] = replace(info, terms=amended(info.terms, amendment), amendments=amendment.number)

    async def revise(self, revision: Revision, client: bytes, provider: bytes) -> None:
        self._reach()
        info = self.agreements[revision.agreement]
        if (revision.sequence, revision.previous) != (info.sequence + 1, info.revision):
            raise Reverted("StaleRevision", {"sequence": revision.sequence})
        if revision.leaves < info.leaves:
            shown = self.removals.pop(info.id)
            assert (shown.leaves, shown.ready <= self.epoch) == (info.leaves - revision.leaves, True)
        digest = typed.revision_digest(revision, DOMAIN)
        assert typed.recover(digest, client) == typed.address_of(NODE_KEY)
        self.agreements[revision.agreement] = replace(
            info, sequence=revision.sequence, revision=digest, root=revision.root, leaves=revision.leaves,
            revised_epoch=Epoch(self.epoch), bytes_up=revision.bytes_up, bytes_down=revision.bytes_down,
        )  # fmt: skip

    async def loss_of(self, id: AgreementId) -> Loss | None:
        self._reach()
        return self.losses.get(id)

    async def quality_records(
        self, providers: Sequence[MemberId], first: Epoch, end: Epoch
    ) -> dict[MemberId, list[QualityRecord | None]]:
        self._reach()
        return {member: self.records.get(member, []) for member in providers}

    async def removal_of(self, id: AgreementId) -> Removal | None:
        self._reach()
        return self.removals.get(id)

    async def announce_removal(self, id: AgreementId, objects: bytes, leaves: int) -> None:
        self._reach()
        if id in self.removals:
            raise Reverted("RemovalPending", {})
        assert 0 < leaves <= self.agreements[id].leaves
        ready = Epoch(self.epoch + self.agreements[id].terms.min_retention_epochs)
        self.removals[id] = Removal(objects, leaves, ready)

    async def cancel_removal(self, id: AgreementId) -> None:
        self._reach()
        if self.removals.pop(id, None) is None:
            raise Reverted("NoRemoval", {})

    async def anchor(self, repository: int, number: int, head: bytes) -> None:
        self._reach()
        if number <= self.anchors.get((CLIENT, repository), Anchor(0, b"", Epoch(0))).number:
            raise Reverted("StaleHead", {"number": number})
        self.anchors[(CLIENT, repository)] = Anchor(number, head, Epoch(self.epoch))


@dataclass
class Shelf:
    """What one provider keeps: order is what was co-signed, loose is not yet.

    down: answers nobody. full: takes nothing more. filled: nor under these agreements. rotten: its bytes are damaged.
    lost: objects that it has not got any more. fail_after: goes down after so many.
    away: does not answer so many times. unknown: so many times refuses a node key that it has not heard of yet.
    """

    objects: dict[ShardRoot, bytes] = field(default_factory=dict)
    order: dict[AgreementId, list[ShardRoot]] = field(default_factory=dict)
    loose: dict[AgreementId, dict[ShardRoot, None]] = field(default_factory=dict)
    heads: list[tuple[int, ShardRoot, int]] = field(default_factory=list)
    lost: set[ShardRoot] = field(default_factory=set)
    down: bool = False
    full: bool = False
    filled: set[AgreementId] = field(default_factory=set)
    rotten: bool = False
    fail_after: int | None = None
    away: int = 0
    unknown: int = 0


class ShelfPeers:
    """Every provider is a Shelf. Counts what is read."""

    def __init__(self, ledger: BookLedger) -> None:
        self._ledger = ledger
        self.shelves = {m.id: Shelf() for m in ledger.members if m.id != CLIENT}
        self.bytes_read = 0
        self.puts = 0

    def _shelf(self, id: MemberId) -> Shelf:
        shelf = self.shelves[id]
        if shelf.down:
            raise PeerUnavailable("it does not answer", id, silent=True)
        if shelf.away:
            shelf.away -= 1
            raise PeerUnavailable("it is restarting", id)
        if shelf.unknown:
            shelf.unknown -= 1
            raise PeerRefused("it does not know this certificate", id, "not_a_member")
        return shelf

    async def propose(self, id: MemberId, terms: Terms) -> tuple[Terms, bytes | None]:
        self._shelf(id)
        return terms, typed.sign(NODE_KEY, typed.terms_digest(terms, DOMAIN))

    async def amend(self, id: MemberId, amendment: Amendment) -> tuple[Amendment, bytes | None]:
        self._shelf(id)
        return amendment, typed.sign(NODE_KEY, typed.amendment_digest(amendment, DOMAIN))

    async def put_object(
        self, id: MemberId, agreement: AgreementId, root: ShardRoot, data: Any, kind: ObjectKind = ObjectKind.SHARD,
        repository: int = 0, number: int = 0,
    ) -> Receipt:  # fmt: skip
        shelf = self._shelf(id)
        if shelf.fail_after is not None:
            if shelf.fail_after == 0:
                shelf.down = True
                raise PeerUnavailable("it went away", id)
            shelf.fail_after -= 1
        if shelf.full or agreement in shelf.filled:
            raise PeerRefused("it is full", id, "over_capacity")
        raw = bytes(data)
        tree = object_tree(raw)
        assert tree.root == root
        assert len(raw) % LEAF_SIZE == 0
        shelf.objects[root] = raw
        shelf.lost.discard(root)
        if root not in shelf.order.setdefault(agreement, []):  # shards of nothing but padding are all alike
            shelf.loose.setdefault(agreement, {})[root] = None
        if kind is ObjectKind.HEAD:
            shelf.heads.insert(0, (number, root, len(raw)))
        self.puts += 1
        return Receipt(agreement, root, tree.leaves, Epoch(self._ledger.epoch), bytes(65))

    async def cosign(
        self, id: MemberId, revision: Revision, appended: Sequence[ShardRoot], signature: bytes,
        removed: Sequence[ShardRoot] = (),
    ) -> bytes:  # fmt: skip
        shelf = self._shelf(id)
        if removed:
            shown = self._ledger.removals[revision.agreement]
            assert (sha256(b"".join(removed)).digest(), appended) == (shown.objects, [])
            if shown.ready > self._ledger.epoch:
                raise PeerRefused("these objects are kept for longer", id, "bad_revision")
        ordered = [DEAD if r in removed else r for r in [*shelf.order[revision.agreement], *appended]]
        tree = AgreementTree((r, self._leaves(shelf, r)) for r in ordered).root
        assert (tree.hash, tree.leaves) == (revision.root, revision.leaves)
        shelf.order[revision.agreement] = ordered
        for root in appended:
            del shelf.loose[revision.agreement][root]
        for root in removed:
            if not any(root in order for order in shelf.order.values()):
                del shelf.objects[root]
        return typed.sign(NODE_KEY, typed.revision_digest(revision, DOMAIN))

    async def get_object(self, id: MemberId, root: ShardRoot, offset: int = 0, length: int | None = None) -> bytes:
        shelf = self._shelf(id)
        if root not in shelf.objects or root in shelf.lost:
            raise PeerRefused("no such object", id, "no_such_object")
        data = shelf.objects[root][offset : None if length is None else offset + length]
        self.bytes_read += len(data)
        return bytes(b ^ 0x5A for b in data) if shelf.rotten else data

    async def list_objects(self, id: MemberId, agreement: AgreementId) -> list[tuple[ShardRoot, int]]:
        shelf = self._shelf(id)
        kept = [*shelf.order.get(agreement, []), *shelf.loose.get(agreement, {})]
        return [(r, self._leaves(shelf, r)) for r in kept]

    @staticmethod
    def _leaves(shelf: Shelf, root: ShardRoot) -> int:
        return 0 if root == DEAD else len(shelf.objects[root]) // LEAF_SIZE

    async def list_heads(self, id: MemberId, repository: int) -> list[tuple[int, ShardRoot, int]]:
        return list(self._shelf(id).heads)


@contextmanager
def network(tmp_path: Path, members: int = 9) -> Iterator[tuple[NodeContext, BookLedger, ShelfPeers]]:
    """Member 1's node among `members`."""
    ledger = BookLedger([member(i) for i in range(1, members + 1)])
    peers = ShelfPeers(ledger)
    with ThreadPoolExecutor(4) as workers:
        context = context_for(tmp_path / "catalogue.sqlite", ledger, peers, workers)
        try:
            yield context, ledger, peers
        finally:
            context.catalogue.close()


def context_for(path: Path, ledger: BookLedger, peers: ShelfPeers, workers: ThreadPoolExecutor) -> NodeContext:
    raw = b"\x07" * 32
    return NodeContext(
        member=CLIENT,
        node_key=NODE_KEY,
        domain=DOMAIN,
        catalogue=Catalogue(path),
        ledger=ledger,  # type: ignore[arg-type]
        peers=peers,
        ring=KeyRing({0: raw}),
        wrapped_keys={0: wrap(raw, b"\x09" * 32, 0, os.urandom(12))},
        policy=Policy,
        workers=workers,
        entropy=os.urandom,
        clock_ns=lambda: 1_700_000_000_000_000_000,
    )
