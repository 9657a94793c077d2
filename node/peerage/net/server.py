"""The peer listener: mutual TLS, one strict HTTP request at a time per connection, bodies streamed to the node behind.

Who calls is known from the connection's certificate before a byte of a body is taken. Everything is bounded: header and
body sizes, idle and total times, requests per member, uploads over all members. Works on asyncio's loop and on uvloop.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from aiohttp import web

from peerage.model import KIB, AgreementId, MemberId, ShardRoot
from peerage.net import openapi, requests
from peerage.net.bodies import PROTOCOL, hang_up, read_small, receive_object, send_object, spoken
from peerage.net.connections import Connections, HttpServer
from peerage.net.membership import Membership, NowSeconds, Roster
from peerage.net.quota import Quota
from peerage.net.requests import Route
from peerage.net.service import Service
from peerage.net.throttle import Bucket, Pace, Throttle
from peerage.net.tls import TlsIdentity, trust
from peerage.wire import limits, version
from peerage.wire.messages import (
    AmendmentAnswer,
    AmendmentBody,
    AmendmentProposal,
    CosignAnswer,
    CosignRequest,
    Dropped,
    ErrorBody,
    HeadList,
    Hello,
    ObjectPage,
    Proposal,
    ProposalAnswer,
    ReceiptBody,
    TermsBody,
    decode,
    encode,
    parse_id,
)
from peerage.wire.refusals import TRANSIENT, Refusal, RefusalCode
from peerage_chain.types import MemberInfo

log = logging.getLogger(__name__)

T = TypeVar("T")
WORKERS = 16
"""Threads for hashing, disk and commits; commits mostly wait for the disk, and share its syncs."""
READERS = 4
"""Threads for reads alone: uploads that wait for the disk cannot hold a restore up."""
SMALL_BODY = 64 * KIB
"""Under a bandwidth limit larger bodies wait for their turn."""


class PeerServer:
    """Listens for peers. start() and close() once each."""

    def __init__(
        self,
        service: Service,
        identity: TlsIdentity,
        member: MemberId,
        roster: Roster,
        now_s: NowSeconds,
        release: str = "",
        idle_s: float = limits.IDLE_S,
        throttle: Throttle | None = None,
        versions: Sequence[int] = version.KNOWN,
    ) -> None:
        self._versions = versions
        self._throttle = throttle or Throttle()
        self._service = service
        self._member = member
        self._release = release
        self._idle_s = idle_s
        self._membership = Membership(roster, now_s)
        self._quota = Quota()
        self._uploads = 0
        self._trusted = -1
        self._context = identity.server_context()
        self._context.sni_callback = self._before_handshake
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="peer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._web: HttpServer | None = None
        self._connections: Connections | None = None
        self._routes: dict[Route, Callable[[web.BaseRequest, MemberInfo, tuple[str, ...]], Awaitable[Any]]] = {
            Route.HELLO: self._hello,
            Route.OPENAPI: self._openapi,
            Route.PROPOSE: self._propose,
            Route.AMEND: self._amend,
            Route.PUT_OBJECT: self._put_object,
            Route.DROP_OBJECT: self._drop_object,
            Route.LIST_OBJECTS: self._list_objects,
            Route.COSIGN: self._cosign,
            Route.GET_OBJECT: self._get_object,
            Route.LIST_HEADS: self._list_heads,
        }

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (a free one for 0). Raises OSError if it cannot be had."""
        self._trust_roster()
        self._web = HttpServer(self._handle, _refused)
        self._connections = Connections(self._web, self._context, self._idle_s, min(limits.CONNECT_S, self._idle_s))
        return await self._connections.start(host, port)

    async def close(self, grace_s: float = 2.0) -> None:
        """Stop listening, give requests under way a moment, then cut them off."""
        if self._connections is not None:
            await self._connections.stop_listening()
        if self._web is not None:
            await self._web.shutdown(grace_s)
        # In a thread, so that the loop goes on serving what the last workers wait for.
        await asyncio.to_thread(self._workers.shutdown)
        await asyncio.to_thread(self._readers.shutdown)

    def _before_handshake(self, _connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called as each handshake begins, before the client's certificate is judged: newly enrolled nodes get in."""
        self._trust_roster()

    def _trust_roster(self) -> None:
        self._membership.refresh()
        # Requests on open connections take a new roster in, too, and trust nobody by it.
        if self._membership.generation != self._trusted:
            self._trusted = self._membership.generation
            trust(self._context, self._membership.certificates())

    # --- one request --------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert self._connections is not None
        self._connections.heard(request)
        try:
            try:
                caller = self._caller(request)
            except Refusal:
                self._connections.strange(request)
                raise
            self._connections.admit(request, caller.id)
            if not self._quota.enter(caller.id, asyncio.get_running_loop().time()):
                raise Refusal(RefusalCode.BUSY, "too many requests: slow down")
            try:
                route, ids = requests.match(request.method, request.rel_url.raw_path)
                request[PROTOCOL] = version.check(request.headers.get(version.HEADER), self._versions)
                return await self._answer(request, await self._routes[route](request, caller, ids))
            finally:
                self._quota.leave(caller.id)
        except Refusal as refusal:
            return _refused(request, refusal, self._versions)
        except (ConnectionError, TimeoutError):
            hang_up(request)
            return web.Response(status=500)
        except Exception:
            # The peer learns nothing about this machine; the log has the evidence.
            log.exception("a peer's request failed")
            return _refused(
                request, Refusal(RefusalCode.INTERNAL, "this node failed; its owner can see why in its log")
            )

    def _caller(self, request: web.BaseRequest) -> MemberInfo:
        connection = request.get_extra_info("ssl_object")
        certificate = connection.getpeercert(True) if connection is not None else None
        caller = self._membership.by_certificate(certificate) if certificate else None
        if caller is None:
            raise Refusal(RefusalCode.NOT_A_MEMBER, "this certificate is not a live node's on chain")
        return caller

    async def _answer(self, request: web.BaseRequest, result: Any) -> web.StreamResponse:
        if isinstance(result, web.StreamResponse):
            return result
        response = web.Response(body=encode(result), content_type="application/json", headers=spoken(request))
        async with asyncio.timeout(self._idle_s):  # aiohttp would wait for ever for who never reads a long listing
            await response.prepare(request)
            await response.write_eof()
        return response

    async def _in_worker(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, function, *arguments)

    async def _in_reader(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *arguments)

    # --- routes -------------------------------------------------------------------------------------------------------

    async def _hello(self, request: web.BaseRequest, _caller: MemberInfo, _ids: tuple[str, ...]) -> Hello:
        requests.only(request.query, set())
        free = await self._service.free_bytes()
        return Hello(member=self._member, protocols=list(self._versions), release=self._release[:40], free_bytes=free)

    async def _openapi(self, request: web.BaseRequest, _caller: MemberInfo, _ids: tuple[str, ...]) -> dict[str, Any]:
        requests.only(request.query, set())
        return openapi.document()

    async def _propose(self, request: web.BaseRequest, caller: MemberInfo, _ids: tuple[str, ...]) -> ProposalAnswer:
        body = await read_small(request, limits.PROPOSAL_MAX_BYTES, self._idle_s)
        terms = decode(Proposal, body).terms.terms()
        answer, signature, reason = await self._service.propose(caller, terms)
        return ProposalAnswer(TermsBody.of(answer), signature.hex() if signature else None, reason[:500])

    async def _amend(self, request: web.BaseRequest, caller: MemberInfo, ids: tuple[str, ...]) -> AmendmentAnswer:
        agreement = AgreementId(parse_id(ids[0], "the agreement's id"))
        body = await read_small(request, limits.PROPOSAL_MAX_BYTES, self._idle_s)
        amendment = decode(AmendmentProposal, body).amendment.amendment()
        if amendment.agreement != agreement:
            raise Refusal(RefusalCode.MALFORMED, "the amendment is of another agreement than the route names")
        answer, signature, reason = await self._service.amend(caller, amendment)
        return AmendmentAnswer(AmendmentBody.of(answer), signature.hex() if signature else None, reason[:500])

    async def _put_object(self, request: web.BaseRequest, caller: MemberInfo, ids: tuple[str, ...]) -> ReceiptBody:
        agreement = AgreementId(parse_id(ids[0], "the agreement's id"))
        root = ShardRoot(parse_id(ids[1], "the root"))
        query = requests.object_query(request.query)
        size = requests.body_length(request.headers, limits.OBJECT_MAX_BYTES)
        if self._uploads >= limits.UPLOADS_IN_FLIGHT:
            raise Refusal(RefusalCode.BUSY, "too many uploads at once")
        self._uploads += 1
        try:
            reception = await self._service.receive(
                caller, agreement, root, size, query.kind, query.repository, query.number
            )
            try:
                async with self._turn(self._throttle.down, size) as pace:
                    await receive_object(request, reception, size, self._in_worker, self._idle_s, pace)
                receipt = await self._in_worker(reception.commit)
            finally:
                await self._in_worker(reception.abort)
        finally:
            self._uploads -= 1
        return ReceiptBody.of(receipt)

    async def _cosign(self, request: web.BaseRequest, caller: MemberInfo, ids: tuple[str, ...]) -> CosignAnswer:
        agreement = parse_id(ids[0], "the agreement's id")
        body = await read_small(request, limits.REVISION_MAX_BYTES, self._idle_s)
        message = decode(CosignRequest, body)
        revision = message.revision.revision()
        if revision.agreement != agreement:
            raise Refusal(RefusalCode.MALFORMED, "the revision is of another agreement than the path")
        appended = [ShardRoot(bytes.fromhex(root)) for root in message.appended]
        removed = [ShardRoot(bytes.fromhex(root)) for root in message.removed]
        own = bytes.fromhex(message.client_signature)
        signature = await self._service.cosign(caller, revision, appended, own, removed)
        return CosignAnswer(signature.hex())

    async def _list_objects(self, request: web.BaseRequest, caller: MemberInfo, ids: tuple[str, ...]) -> ObjectPage:
        agreement = AgreementId(parse_id(ids[0], "the agreement's id"))
        requests.only(request.query, {"start", "count"})
        start = requests.number_of(request.query, "start", 0, 1 << 63)
        count = requests.number_of(request.query, "count", limits.PAGE_MAX, limits.PAGE_MAX + 1)
        page, total = await self._service.list_objects(caller, agreement, start, count)
        return ObjectPage(start=start, total=total, objects=[(root.hex(), leaves) for root, leaves in page])

    async def _list_heads(self, request: web.BaseRequest, caller: MemberInfo, _ids: tuple[str, ...]) -> HeadList:
        requests.only(request.query, {"repository"})
        repository = requests.number_of(request.query, "repository", 0, 1 << 32)
        heads = await self._service.list_heads(caller, repository)
        return HeadList([(number, root.hex(), size) for number, root, size in heads[: limits.HEADS_MAX]])

    async def _get_object(
        self, request: web.BaseRequest, caller: MemberInfo, ids: tuple[str, ...]
    ) -> web.StreamResponse:
        requests.only(request.query, set())
        root = ShardRoot(parse_id(ids[0], "the root"))
        reading = await self._service.open_object(caller, root)
        try:
            offset, length = requests.byte_range(request.headers.get("Range"), reading.size)
            async with self._turn(self._throttle.up, length) as pace:
                sent = await send_object(request, reading, offset, length, self._in_reader, self._idle_s, pace)
            self._service.served(reading, length)
            return sent
        finally:
            reading.close()

    async def _drop_object(self, request: web.BaseRequest, caller: MemberInfo, ids: tuple[str, ...]) -> Dropped:
        requests.only(request.query, set())
        agreement = AgreementId(parse_id(ids[0], "the agreement's id"))
        root = ShardRoot(parse_id(ids[1], "the root"))
        await self._service.drop_object(caller, agreement, root)
        return Dropped(root.hex())

    @asynccontextmanager
    async def _turn(self, bucket: Bucket, size: int) -> AsyncIterator[Pace]:
        """A body's turn under the owner's bandwidth limits. A caller is told before it gives us up for silent."""
        if size <= SMALL_BODY:
            yield bucket.at_once()
            return
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._idle_s / 2):
                    pace = await stack.enter_async_context(bucket.turn())
            except TimeoutError:
                raise Refusal(RefusalCode.BUSY, "this node's line is full: try again in a moment") from None
            yield pace


def _refused(request: web.BaseRequest, refusal: Refusal, versions: Sequence[int] = version.KNOWN) -> web.Response:
    response = web.Response(
        status=refusal.status,
        body=encode(ErrorBody(refusal.code.value, str(refusal)[:1000])),
        content_type="application/json",
        headers=spoken(request),
    )
    if refusal.code is RefusalCode.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(requests.allowed(request.rel_url.raw_path))
    if refusal.code is RefusalCode.UNKNOWN_VERSION:
        response.headers[version.OFFER_HEADER] = version.offer(versions)
    if refusal.code in TRANSIENT and refusal.status in (429, 503):
        response.headers["Retry-After"] = str(limits.RETRY_AFTER_S)
    if request.body_exists and not request.content.at_eof():
        response.force_close()  # what is left of the body is not worth reading
    return response
