"""In-memory stand-ins for unit tests: a chain that does as it is told, and nodes that listen on loopback for real."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from peerage.deal.policy import Policy, offer_of
from peerage.flow.provide import Provider
from peerage.model import AgreementId, Epoch, MemberId
from peerage.net.client import PeerClient
from peerage.net.server import PeerServer
from peerage.net.throttle import Throttle
from peerage.net.tls import TlsIdentity, make_certificate
from peerage.store.objects import ObjectStore
from peerage_chain import typed
from peerage_chain.challenge import LINK_BYTES
from peerage_chain.errors import ChainUnavailable, Reverted
from peerage_chain.quality import Drawing, Figures, QualityRecord
from peerage_chain.typed import Domain
from peerage_chain.types import (
    CREDIT,
    ZERO32,
    AgreementInfo,
    AgreementState,
    Amendment,
    Anchor,
    ChainTime,
    Challenge,
    Deal,
    Demand,
    Docket,
    Enrolment,
    MemberInfo,
    MemberStatus,
    NodeInfo,
    Offer,
    Removal,
    Revision,
    Sample,
    Terms,
)

DOMAIN = Domain(31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
EPOCH_S = 10
START_S = 1_700_000_000


def key(number: int) -> bytes:
    """A private key for tests."""
    return hashlib.sha256(b"peerage test key %d" % number).digest()


def amended(deal: Deal, amendment: Amendment) -> Deal:
    """The terms of an agreement after an amendment."""
    names = ("capacity", "price_per_gib_epoch", "egress_price_per_gib", "collateral", "min_retention_epochs")
    return replace(deal, end_epoch=amendment.end_epoch, **{name: getattr(amendment, name) for name in names})


@dataclass
class FakeLedger:
    """Implements ports.Ledger in memory; the test moves the epoch, and `away` cuts the line.

    It judges as far as the tests need: predecessors, expiry and signatures of revisions are checked, funds are not.
    """

    chain_id: int = DOMAIN.chain_id
    epoch: int = 100
    away: bool = False
    members: dict[MemberId, MemberInfo] = field(default_factory=dict)
    infos: dict[AgreementId, AgreementInfo] = field(default_factory=dict)
    balances: dict[MemberId, int] = field(default_factory=dict)
    anchors: dict[tuple[MemberId, int], Anchor] = field(default_factory=dict)
    removals: dict[AgreementId, Removal] = field(default_factory=dict)
    proofs: list[tuple[AgreementId, Epoch, tuple[Sample, ...]]] = field(default_factory=list)
    challenges: dict[tuple[AgreementId, Epoch], Challenge] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    tip: bytes = bytes(LINK_BYTES)
    beaten: int | None = None
    """The epoch of everybody's last beat, by default the current one."""
    drawings: dict[Epoch, Drawing] = field(default_factory=dict)
    records: dict[tuple[MemberId, Epoch], QualityRecord] = field(default_factory=dict)
    reports: list[tuple[Epoch, dict[MemberId, Figures]]] = field(default_factory=list)
    refuses_reports: bool = False
    dockets: dict[AgreementId, tuple[Docket, ...]] = field(default_factory=dict)
    demands: list[Demand] = field(default_factory=list)
    _roster: tuple[MemberInfo, ...] = ()
    _generation: int = 0

    # What a test does to the chain

    def set_member(self, info: MemberInfo) -> None:
        self.members[info.id] = info
        self._roster = tuple(self.members.values())
        self._generation += 1

    def newest_roster(self) -> Sequence[MemberInfo]:
        """For the accessors that nodes take: the same object until something changes."""
        return self._roster

    def now_s(self) -> int:
        return START_S + self.epoch * EPOCH_S

    def open_now(self, terms: Terms) -> AgreementId:
        id = typed.agreement_id(terms, DOMAIN)
        self.infos[id] = AgreementInfo(
            id=id,
            terms=Deal.of(terms, Epoch(self.epoch)),
            state=AgreementState.ACTIVE,
            sequence=0,
            revision=ZERO32,
            root=ZERO32,
            leaves=0,
            revised_epoch=Epoch(0),
            settled_through=Epoch(self.epoch),
            escrow=CREDIT,
            collateral=terms.collateral,
            misses=0,
        )
        return id

    def change(self, id: AgreementId, **fields: object) -> None:
        self.infos[id] = replace(self.infos[id], **fields)  # type: ignore[arg-type]

    # ports.Ledger

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.away:
            raise ChainUnavailable("the fake chain is away")

    async def now(self) -> ChainTime:
        self._call("now")
        return ChainTime(self.epoch, self.now_s(), Epoch(self.epoch), self.now_s(), EPOCH_S)

    async def roster(self) -> Sequence[MemberInfo]:
        self._call("roster")
        return self._roster

    def known_roster(self) -> Sequence[MemberInfo]:
        return self._roster

    async def roster_generation(self) -> int:
        self._call("roster_generation")
        return self._generation

    async def agreement(self, id: AgreementId) -> AgreementInfo:
        self._call("agreement")
        if id not in self.infos:
            raise Reverted("UnknownAgreement", {"id": id})
        return self.infos[id]

    async def agreements_of(self, member: MemberId) -> Sequence[AgreementInfo]:
        self._call("agreements_of")
        return [a for a in self.infos.values() if member in (a.terms.client, a.terms.provider)]

    async def promised(self, provider: MemberId) -> int:
        self._call("promised")
        return sum(a.terms.capacity for a in self.infos.values() if a.terms.provider == provider and a.is_live)

    async def challenge(self, id: AgreementId, epoch: Epoch) -> Challenge:
        self._call("challenge")
        return self.challenges.get((id, epoch), Challenge(id, epoch, False, ZERO32, 0, ZERO32, 0, ()))

    async def removal_of(self, id: AgreementId) -> Removal | None:
        self._call("removal_of")
        return self.removals.get(id)

    async def last_beat(self, member: MemberId) -> Epoch:
        return Epoch(self.epoch if self.beaten is None else self.beaten)

    async def proven(self, id: AgreementId, epoch: Epoch) -> bool:
        self._call("proven")
        return any((id, epoch) == (proof[0], proof[1]) for proof in self.proofs)

    async def epoch_valid(self, epoch: Epoch) -> bool:
        self._call("epoch_valid")
        return True

    async def balance(self, member: MemberId) -> int:
        self._call("balance")
        return self.balances.get(member, 1_000 * CREDIT)

    async def anchor_of(self, member: MemberId, repository: int) -> Anchor:
        self._call("anchor_of")
        return self.anchors.get((member, repository), Anchor(0, ZERO32, Epoch(0)))

    async def beacon_tip(self, member: MemberId) -> tuple[bytes, Epoch]:
        self._call("beacon_tip")
        return self.tip, Epoch(0)

    async def enrol(self, enrolment: Enrolment, certificate: bytes, endpoint: str, site: str, signature: bytes) -> None:
        raise NotImplementedError

    async def announce(self, endpoint: str, site: str) -> None:
        self._call("announce")

    async def publish_offer(self, offer: Offer) -> None:
        self._call("publish_offer")

    async def commit_tip(self, tip: bytes) -> None:
        self._call("commit_tip")

    async def beat(self, member: MemberId, link: bytes) -> None:
        self._call("beat")

    async def open_agreement(self, terms: Terms, client_signature: bytes, provider_signature: bytes) -> AgreementId:
        self._call("open_agreement")
        digest = typed.terms_digest(terms, DOMAIN)
        for member, signature in ((terms.client, client_signature), (terms.provider, provider_signature)):
            signer = typed.recover(digest, signature)
            if not any(node.key == signer for node in self.members[member].live_nodes(self.now_s())):
                raise Reverted("WrongSigner", {"member": member})
        return self.open_now(terms)

    async def amend(self, amendment: Amendment, client_signature: bytes, provider_signature: bytes) -> None:
        self._call("amend")
        info, digest = self.infos[amendment.agreement], typed.amendment_digest(amendment, DOMAIN)
        for member, signature in ((info.terms.client, client_signature), (info.terms.provider, provider_signature)):
            assert typed.recover(digest, signature) in {node.key for node in self.members[member].nodes}
        if amendment.number != info.amendments + 1:
            raise Reverted("WrongNumber", {"given": amendment.number})
        self.change(info.id, terms=amended(info.terms, amendment), amendments=amendment.number)

    async def revise(self, revision: Revision, client_signature: bytes, provider_signature: bytes) -> None:
        self._call("revise")
        info = self.infos[revision.agreement]
        if (revision.sequence, revision.previous) != (info.sequence + 1, info.revision):
            raise Reverted("WrongSequence")
        if self.epoch > revision.expires:
            raise Reverted("RevisionExpired")
        if revision.leaves < info.leaves:
            self._remove(info.id, info.leaves - revision.leaves)
        self.change(
            info.id,
            sequence=revision.sequence,
            revision=typed.revision_digest(revision, DOMAIN),
            root=revision.root,
            leaves=revision.leaves,
            revised_epoch=Epoch(self.epoch),
            bytes_up=revision.bytes_up,
            bytes_down=revision.bytes_down,
        )

    def _remove(self, id: AgreementId, leaves: int) -> None:
        if id not in self.removals:
            raise Reverted("NoRemoval", {"id": id})
        if leaves != self.removals[id].leaves:
            raise Reverted("WrongRemoval", {"id": id, "announced": self.removals[id].leaves, "given": leaves})
        if self.epoch < self.removals[id].ready:
            raise Reverted("RemovalTooEarly", {"id": id, "ready": self.removals[id].ready, "epoch": self.epoch})
        del self.removals[id]

    async def announce_removal(self, id: AgreementId, objects: bytes, leaves: int) -> None:
        self._call("announce_removal")
        info = self.infos[id]
        if info.state is not AgreementState.ACTIVE:
            raise Reverted("NotInForce", {"id": id, "state": info.state})
        if id in self.removals:
            raise Reverted("RemovalPending", {"id": id, "objects": self.removals[id].objects})
        if objects == ZERO32 or leaves == 0:
            raise Reverted("EmptyRemoval", {"id": id})
        if leaves > info.leaves:
            raise Reverted("RemovalTooLarge", {"id": id, "leaves": info.leaves, "given": leaves})
        self.removals[id] = Removal(objects, leaves, Epoch(self.epoch + info.terms.min_retention_epochs))

    async def cancel_removal(self, id: AgreementId) -> None:
        self._call("cancel_removal")
        if self.removals.pop(id, None) is None:
            raise Reverted("NoRemoval", {"id": id})

    async def prove(self, proofs: Sequence[tuple[AgreementId, Sequence[Sample]]]) -> None:
        self._call("prove")
        self.proofs += [(id, Epoch(self.epoch), tuple(samples)) for id, samples in proofs]

    async def open_demands(self, provider: MemberId) -> Sequence[Demand]:
        return [demand for demand in self.demands if demand.provider == provider]

    async def answered_demands(self, id: AgreementId) -> Sequence[tuple[Demand, tuple[bytes, ...]]]:
        self._call("answered_demands")
        return ()

    async def answer_demand(self, number: int, samples: Sequence[Sample]) -> None:
        self._call("answer_demand")

    async def make_demand(self, id: AgreementId, indices: Sequence[int]) -> None:
        self._call("make_demand")

    async def close_demand(self, number: int) -> None:
        self._call("close_demand")

    async def settle(self, ids: Sequence[AgreementId]) -> None:
        self._call("settle")

    async def dockets_of(self, id: AgreementId) -> Sequence[Docket]:
        self._call("dockets_of")
        return self.dockets.get(id, ())

    async def appeal(self, id: AgreementId, number: int, reason: str) -> None:
        self._call("appeal")

    async def conclude(self, id: AgreementId, number: int) -> None:
        self._call("conclude")

    async def anchor(self, repository: int, number: int, head: bytes) -> None:
        self._call("anchor")

    async def drawing(self, epoch: Epoch) -> Drawing | None:
        self._call("drawing")
        return self.drawings.get(epoch)

    async def quality_records(
        self, providers: Sequence[MemberId], first: Epoch, end: Epoch
    ) -> dict[MemberId, tuple[QualityRecord | None, ...]]:
        self._call("quality_records")
        return {p: tuple(self.records.get((p, Epoch(e))) for e in range(first, end)) for p in providers}

    async def report_probes(self, epoch: Epoch, probes: Sequence[tuple[MemberId, Figures]]) -> None:
        self._call("report_probes")
        if self.refuses_reports:
            raise Reverted("EntityReported", {"epoch": epoch})
        self.reports.append((epoch, dict(probes)))


@dataclass
class Peer:
    """One member's node for tests: key, TLS identity, and what it listens and calls with."""

    member: MemberId
    node_key: bytes
    identity: TlsIdentity
    ledger: FakeLedger
    policy: Policy
    store: ObjectStore | None = None
    provider: Provider | None = None
    server: PeerServer | None = None
    client: PeerClient | None = None
    port: int = 0

    @property
    def address(self) -> str:
        return typed.address_of(self.node_key)

    @property
    def info(self) -> MemberInfo:
        return self.ledger.members[self.member]

    def sign(self, digest: bytes) -> bytes:
        return typed.sign(self.node_key, digest)


@dataclass
class Network:
    """Members with real listeners on loopback, over one fake ledger. Close it at the end."""

    directory: Path
    ledger: FakeLedger = field(default_factory=FakeLedger)
    peers: list[Peer] = field(default_factory=list)

    async def add(
        self,
        policy: Policy | None = None,
        listen: bool = True,
        idle_s: float = 5.0,
        throttle: Throttle | None = None,
    ) -> Peer:
        member = MemberId(len(self.peers) + 1)
        node_key = key(member)
        key_pem, certificate = make_certificate(typed.address_of(node_key))
        peer = Peer(member, node_key, TlsIdentity(key_pem, certificate), self.ledger, policy or Policy())
        self.peers.append(peer)
        self.enlist(peer)
        ledger = self.ledger
        peer.client = PeerClient(peer.identity, ledger.newest_roster, ledger.now_s, DOMAIN, idle_s=idle_s)
        if listen:
            home = self.directory / f"node{member}"
            home.mkdir()
            peer.store = ObjectStore.open(home / "objects", home / "objects.sqlite", reserve_bytes=0)
            peer.provider = Provider(
                member,
                node_key,
                DOMAIN,
                ledger,
                peer.store,
                lambda: peer.policy,
                ledger.newest_roster,
                ledger.now_s,
            )
            peer.server = PeerServer(
                peer.provider, peer.identity, member, ledger.newest_roster, ledger.now_s, "test", idle_s, throttle
            )
            peer.port = await peer.server.start("127.0.0.1", 0)
            self.enlist(peer)
        return peer

    async def pair(self, **of_provider: Any) -> tuple[Peer, Peer, AgreementId]:
        """A client that does not listen, a provider, and their agreement. of_provider: as `add` takes it."""
        provider = await self.add(**of_provider)
        client = await self.add(listen=False)
        return client, provider, self.agree(client, provider)

    def enlist(
        self,
        peer: Peer,
        status: MemberStatus = MemberStatus.ACTIVE,
        revoked: bool = False,
        certificate: bytes | None = None,
    ) -> None:
        """Put a peer's member on the roster, or change it there."""
        endpoint = f"https://127.0.0.1:{peer.port}" if peer.port else ""
        node = NodeInfo(peer.address, certificate or peer.identity.certificate, endpoint, "", 1 << 40, revoked)
        self.ledger.set_member(
            MemberInfo(
                id=peer.member,
                account=typed.address_of(key(10_000 + peer.member)),
                status=status,
                legal_entity=hashlib.sha256(b"entity %d" % peer.member).digest(),
                jurisdiction="FR",
                name=f"member {peer.member}",
                offer=offer_of(peer.policy),
                nodes=(node,),
            )
        )

    def agree(self, client: Peer, provider: Peer, capacity: int = 1 << 28, salt: int = 0) -> AgreementId:
        """An agreement that is on chain already."""
        return self.ledger.open_now(terms_between(client, provider, capacity, salt))

    async def close(self) -> None:
        for peer in self.peers:
            if peer.client is not None:
                await peer.client.close()
        for peer in self.peers:
            if peer.server is not None:
                await peer.server.close(grace_s=0.2)
            if peer.store is not None:
                peer.store.close()


def terms_between(client: Peer, provider: Peer, capacity: int = 1 << 28, salt: int = 0) -> Terms:
    now = client.ledger.epoch
    return Terms(
        client=client.member,
        provider=provider.member,
        capacity=capacity,
        price_per_gib_epoch=1_000,
        egress_price_per_gib=0,
        collateral=10_000,
        min_bandwidth_kib_s=1,
        min_retention_epochs=10,
        start_epoch=Epoch(now),
        end_epoch=Epoch(now + 1_000),
        open_by=Epoch(now + 10),
        salt=salt.to_bytes(32, "big"),
    )
