"""Calls to other members' nodes: implements peerage.ports.Peers over mutually authenticated TLS.

Every request may be repeated without harm (objects are named by their root, a co-signature is remembered), so a call is
tried again when a connection broke or the peer was busy. What a peer signs is checked before it is believed.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

import aiohttp

from peerage.errors import NoCommonVersion, PeerFault, PeerRefused, PeerUnavailable
from peerage.model import KIB, LEAF_SIZE, AgreementId, MemberId, ObjectKind, Receipt, ShardRoot
from peerage.net.calls import Call, Moved, Traffic, exchange
from peerage.net.membership import Membership, NowSeconds, Roster
from peerage.net.requests import KIND_NAMES
from peerage.net.throttle import Throttle, full_speed
from peerage.net.tls import TlsIdentity, fingerprint
from peerage.ports import Buffer
from peerage.wire import limits, version
from peerage.wire.messages import (
    AmendmentAnswer,
    AmendmentBody,
    AmendmentProposal,
    CosignAnswer,
    CosignRequest,
    Dropped,
    HeadList,
    Hello,
    M,
    ObjectPage,
    Proposal,
    ProposalAnswer,
    ReceiptBody,
    RevisionBody,
    TermsBody,
    decode,
    encode,
)
from peerage.wire.refusals import TRANSIENT, Refusal
from peerage_chain.typed import Domain, amendment_digest, receipt_digest, recover, revision_digest, terms_digest
from peerage_chain.types import Amendment, NodeInfo, Revision, Terms

R = TypeVar("R")

CONNECTIONS_PER_PEER = 8
_READ_MAX = 100_000
NOTED_BYTES = 256 * KIB
"""Of smaller bodies the time is that of the request, not of the bytes."""
TRIES = 4
BACKOFF_S = 0.2
"""Before the second try; doubled before each further one."""


class PeerClient:
    """Implements ports.Peers. One event loop; close it, or use it as an async context manager.

    Raises, from every call: PeerUnavailable (not reached, or too slow), PeerRefused (with the peer's code),
    PeerFault (it broke the protocol).
    """

    def __init__(
        self,
        identity: TlsIdentity,
        roster: Roster,
        now_s: NowSeconds,
        domain: Domain,
        idle_s: float = limits.IDLE_S,
        throttle: Throttle | None = None,
        versions: Sequence[int] = version.KNOWN,
    ) -> None:
        self._versions = versions
        self.spoken: dict[bytes, int] = {}
        """The version agreed on with each node, by its certificate's fingerprint; others are asked in our newest."""
        self._throttle = throttle or Throttle()
        self._identity = identity
        self._membership = Membership(roster, now_s)
        self._domain = domain
        self._idle_s = idle_s
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[bytes, ssl.SSLContext] = {}
        self._traffic: dict[MemberId, Traffic] = {}
        self._moved: dict[MemberId, Moved] = {}
        self._read: Counter[tuple[MemberId, ShardRoot]] = Counter()

    @property
    def traffic(self) -> Mapping[MemberId, Traffic]:
        """Bytes of bodies exchanged with each member since the start; live objects, not copies."""
        return self._traffic

    def take_moved(self) -> dict[MemberId, Moved]:
        """What bodies moved at full speed since the last call, by member."""
        moved, self._moved = self._moved, {}
        return moved

    def take_read(self) -> Mapping[tuple[MemberId, ShardRoot], int]:
        """Bytes of each object that were read since the last call; of _READ_MAX objects at most."""
        read, self._read = self._read, Counter()
        return read

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> PeerClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    # --- ports.Peers --------------------------------------------------------------------------------------------------

    async def propose(self, member: MemberId, terms: Terms) -> tuple[Terms, bytes | None]:
        """See ports.Peers. Of an acceptance, the signature is a live node key's of the provider, over these terms."""
        body = encode(Proposal(TermsBody.of(terms)))
        answer = await self._ask(member, ProposalAnswer, Call("POST", "/v1/proposals", body))
        answered = _checked(member, answer.terms.terms)
        if answer.signature is None:
            return answered, None
        signature = bytes.fromhex(answer.signature)
        if answered != terms:
            raise PeerFault(f"member {member} signed other terms than were proposed", member)
        self._check_signature(member, terms_digest(terms, self._domain), signature, "the terms")
        return answered, signature

    async def amend(self, member: MemberId, amendment: Amendment) -> tuple[Amendment, bytes | None]:
        """See ports.Peers. Of an acceptance, the signature is a live node key's of the provider, over this one."""
        body = encode(AmendmentProposal(AmendmentBody.of(amendment)))
        call = Call("POST", f"/v1/agreements/{amendment.agreement.hex()}/amendments", body)
        answer = await self._ask(member, AmendmentAnswer, call)
        answered = _checked(member, answer.amendment.amendment)
        if answer.signature is None:
            return answered, None
        signature = bytes.fromhex(answer.signature)
        if answered != amendment:
            raise PeerFault(f"member {member} signed another amendment than was proposed", member)
        self._check_signature(member, amendment_digest(amendment, self._domain), signature, "the amendment")
        return answered, signature

    async def put_object(
        self,
        member: MemberId,
        agreement: AgreementId,
        root: ShardRoot,
        data: Buffer,
        kind: ObjectKind = ObjectKind.SHARD,
        repository: int = 0,
        number: int = 0,
    ) -> Receipt:
        """See ports.Peers. data is sent without a copy and must not change until this returns."""
        size = len(memoryview(data).cast("B"))
        params = {"kind": KIND_NAMES[kind]}
        if kind == ObjectKind.HEAD:
            params |= {"repository": str(repository), "number": str(number)}
        async with self._throttle.up.turn() as pace:
            call = Call(
                "PUT",
                f"/v1/agreements/{agreement.hex()}/objects/{root.hex()}",
                data,
                params,
                content_type="application/octet-stream",
                invited=size > 256 * KIB,  # below that a round trip costs more than the bytes
                pace=pace,
            )
            begun_s = time.perf_counter()
            receipt = (await self._ask(member, ReceiptBody, call)).receipt()
            self._note(member, call, size, begun_s)
        if (receipt.agreement, receipt.root, receipt.leaves * LEAF_SIZE) != (agreement, root, size):
            raise PeerFault(f"member {member} signed for another object than it was sent", member)
        digest = receipt_digest(agreement, root, receipt.leaves, receipt.epoch, self._domain)
        self._check_signature(member, digest, receipt.signature, "the receipt")
        return receipt

    async def cosign(
        self,
        member: MemberId,
        revision: Revision,
        appended: Sequence[ShardRoot],
        client_signature: bytes,
        removed: Sequence[ShardRoot] = (),
    ) -> bytes:
        """See ports.Peers. The signature is a live node key's of the provider, over this revision."""
        request = CosignRequest(
            RevisionBody.of(revision),
            [root.hex() for root in appended],
            client_signature.hex(),
            [root.hex() for root in removed],
        )
        call = Call("POST", f"/v1/agreements/{revision.agreement.hex()}/revisions", encode(request))
        answer = await self._ask(member, CosignAnswer, call)
        signature = bytes.fromhex(answer.signature)
        self._check_signature(member, revision_digest(revision, self._domain), signature, "the revision")
        return signature

    async def get_object(self, member: MemberId, root: ShardRoot, offset: int = 0, length: int | None = None) -> bytes:
        """See ports.Peers. The bytes are as the peer sent them: check their root, or their tags, before use."""
        whole = offset == 0 and length is None
        if length == 0:
            return b""
        last = "" if length is None else str(offset + length - 1)
        async with self._throttle.down.turn() as pace:
            call = Call(
                "GET",
                f"/v1/objects/{root.hex()}",
                byte_range=None if whole else f"bytes={offset}-{last}",
                limit=limits.OBJECT_MAX_BYTES if length is None else length,
                pace=pace,
            )
            begun_s = time.perf_counter()
            data = await self._exchange(member, call)
            self._note(member, call, len(data), begun_s)
        if length is not None and len(data) != length:
            raise PeerFault(f"member {member} sent {len(data)} bytes where {length} were asked for", member)
        if len(self._read) < _READ_MAX or (member, root) in self._read:
            self._read[member, root] += len(data)
        return data

    async def list_objects(self, member: MemberId, agreement: AgreementId) -> list[tuple[ShardRoot, int]]:
        """See ports.Peers."""
        path = f"/v1/agreements/{agreement.hex()}/objects"
        objects: list[tuple[ShardRoot, int]] = []
        while True:
            page = await self._ask(member, ObjectPage, Call("GET", path, params={"start": str(len(objects))}))
            objects += [(ShardRoot(bytes.fromhex(root)), leaves) for root, leaves in page.objects]
            if len(objects) >= page.total:
                return objects
            follows = page.start == len(objects) - len(page.objects) and page.objects
            if not follows or len(objects) > limits.LISTING_MAX:
                raise PeerFault(f"member {member} lists objects that do not follow each other", member)

    async def list_heads(self, member: MemberId, repository: int) -> list[tuple[int, ShardRoot, int]]:
        """See ports.Peers."""
        answer = await self._ask(member, HeadList, Call("GET", "/v1/heads", params={"repository": str(repository)}))
        return [(number, ShardRoot(bytes.fromhex(root)), size) for number, root, size in answer.heads]

    async def hello(self, member: MemberId) -> Hello:
        """Who answers there, what it speaks, and how much room it has."""
        answer = await self._ask(member, Hello, Call("GET", "/v1/hello"))
        if answer.member != member:
            raise PeerFault(f"the node of member {member} says it is member {answer.member}'s", member)
        return answer

    async def drop_object(self, member: MemberId, agreement: AgreementId, root: ShardRoot) -> None:
        """See ports.Peers."""
        call = Call("DELETE", f"/v1/agreements/{agreement.hex()}/objects/{root.hex()}")
        await self._ask(member, Dropped, call)

    # --- how ----------------------------------------------------------------------------------------------------------

    def _note(self, member: MemberId, call: Call, size: int, begun_s: float) -> None:
        """Remember a body's rate; of a small one, or of one under a limit of our own, it says nothing."""
        if size < NOTED_BYTES or call.pace is not full_speed:
            return
        seconds, before = time.perf_counter() - begun_s, self._moved.get(member, Moved())
        if call.body is None:
            self._moved[member] = before.plus(down_bytes=size, down_s=seconds)
        else:
            self._moved[member] = before.plus(up_bytes=size, up_s=seconds)

    async def _ask(self, member: MemberId, kind: type[M], call: Call) -> M:
        body = await self._exchange(member, call)
        return _checked(member, lambda: decode(kind, body))

    async def _exchange(self, member: MemberId, call: Call) -> bytes:
        """With tries: another node of the member, or the same one a little later."""
        for attempt in range(TRIES):
            nodes = [node for node in reversed(self._membership.live_nodes(member)) if node.endpoint]
            if not nodes:
                raise PeerUnavailable(f"member {member} has no live node with an endpoint on chain", member)
            node = nodes[attempt % len(nodes)]
            last = attempt == TRIES - 1
            begun_s = asyncio.get_running_loop().time()
            try:
                return await self._once(member, node, call)
            except PeerRefused as refused:
                if last or refused.code not in TRANSIENT:
                    raise
            except PeerUnavailable:
                # What broke at once is worth one more try on a fresh connection; a time-out was long already.
                tried_all = attempt >= len(nodes) - 1
                timed_out = asyncio.get_running_loop().time() - begun_s >= self._idle_s
                if last or (tried_all and (timed_out or attempt >= 1)):
                    raise
            await asyncio.sleep(BACKOFF_S * 2**attempt)
        raise AssertionError("unreachable")

    async def _once(self, member: MemberId, node: NodeInfo, call: Call) -> bytes:
        if self._session is None:
            self._session = _new_session()
        try:
            context = self._context_for(node.certificate)
        except ValueError as error:
            raise PeerFault(f"the certificate of member {member} on chain cannot be read", member) from error
        traffic = self._traffic.setdefault(member, Traffic())
        endpoint, name = node.endpoint.rstrip("/"), fingerprint(node.certificate)
        asked = self.spoken.get(name, max(self._versions))
        try:
            answer = await exchange(self._session, context, member, endpoint, call, traffic, self._idle_s, asked)
            self.spoken[name] = asked
            return answer
        except NoCommonVersion as refused:
            # Also a node that was updated, or went back to an older release, since we agreed on one.
            common = version.newest_common(refused.offered, self._versions)
            if common is None or common == asked:
                ours = version.offer(self._versions)
                message = (
                    f"no version of the protocol in common with member {member}, this node speaks {ours}: {refused}"
                )
                raise NoCommonVersion(f"{message}; the older one has to be updated", member, refused.offered) from None
            self.spoken[name] = common
            return await exchange(self._session, context, member, endpoint, call, traffic, self._idle_s, common)

    def _context_for(self, certificate: bytes) -> ssl.SSLContext:
        name = fingerprint(certificate)
        context = self._contexts.get(name)
        if context is None:
            context = self._contexts[name] = self._identity.client_context(certificate)
        return context

    def _check_signature(self, member: MemberId, digest: bytes, signature: bytes, of_what: str) -> None:
        try:
            signer = recover(digest, signature)
        except ValueError as error:
            raise PeerFault(f"member {member}'s signature of {of_what} is malformed: {error}", member) from error
        if not any(node.key == signer for node in self._membership.live_nodes(member)):
            raise PeerFault(f"{of_what} came signed by {signer}, which is no live node key of member {member}", member)


def _new_session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0,
        limit_per_host=CONNECTIONS_PER_PEER,
        keepalive_timeout=limits.KEEP_ALIVE_S - 15,  # give a connection up before the peer does
        use_dns_cache=True,
        ttl_dns_cache=60,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=256 * KIB,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.CONNECT_S),
        trust_env=False,
    )


def _checked(member: MemberId, read: Callable[[], R]) -> R:
    try:
        return read()
    except Refusal as refusal:
        raise PeerFault(f"member {member} answers with what is {refusal}", member) from refusal
