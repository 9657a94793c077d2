"""One HTTP exchange with a peer: a body out, an answer in, under an idle and a total time-out. Errors are named."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp

from peerage.errors import NoCommonVersion, PeerFault, PeerRefused, PeerUnavailable
from peerage.model import MIB, MemberId
from peerage.net.throttle import Pace, full_speed
from peerage.ports import Buffer
from peerage.wire import limits, version
from peerage.wire.messages import ErrorBody, decode
from peerage.wire.refusals import Refusal, RefusalCode

WRITE_BYTES = MIB // 4
"""A slice of a body handed to TLS at once: large enough to be cheap, small enough to let others have a turn."""
ERROR_MAX_BYTES = 8192


@dataclass(slots=True)
class Traffic:
    """Bytes of bodies exchanged with one member."""

    sent: int = 0
    received: int = 0


class Moved(NamedTuple):
    """Bytes of bodies that one member sent and took, and the seconds that each took, added up."""

    down_bytes: int = 0
    down_s: float = 0.0
    up_bytes: int = 0
    up_s: float = 0.0

    def plus(self, down_bytes: int = 0, down_s: float = 0.0, up_bytes: int = 0, up_s: float = 0.0) -> Moved:
        return Moved(self.down_bytes + down_bytes, self.down_s + down_s, self.up_bytes + up_bytes, self.up_s + up_s)


@dataclass(frozen=True, slots=True)
class Call:
    """One request. expected: the answer's exact length in bytes where it is known, else None; limit bounds it."""

    method: str
    path: str
    body: Buffer | None = None
    params: dict[str, str] = field(default_factory=dict)
    byte_range: str | None = None
    content_type: str = "application/json"
    invited: bool = False
    """Ask before the body is sent (Expect: 100-continue), so that a refusal costs no bandwidth."""
    limit: int = limits.ANSWER_MAX_BYTES
    pace: Pace = full_speed
    """What the pieces of the body, or of the answer to a call without one, wait for."""


class _Patience:
    """An idle time-out that every sign of progress renews, up to a total."""

    def __init__(self, idle_s: float, total_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle_s = idle_s
        self._end = self._loop.time() + total_s
        self.timeout = asyncio.timeout_at(self._next())

    def _next(self) -> float:
        return min(self._loop.time() + self._idle_s, self._end)

    def renew(self) -> None:
        if not self.timeout.expired():
            self.timeout.reschedule(self._next())


class _Body(aiohttp.Payload):
    """A buffer as a request's body, sent in slices without being copied first."""

    _autoclose = True

    def __init__(self, call: Call, patience: _Patience, traffic: Traffic) -> None:
        assert call.body is not None
        view = memoryview(call.body).cast("B")
        super().__init__(view, content_type=call.content_type)
        self._pace = call.pace
        self._size = len(view)
        self._patience = patience
        self._traffic = traffic

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a body of bytes is not text")

    async def write(self, writer: aiohttp.abc.AbstractStreamWriter) -> None:
        view: memoryview = self._value
        for start in range(0, len(view), WRITE_BYTES):
            piece = view[start : start + WRITE_BYTES]
            await self._pace(len(piece))
            await writer.write(piece)
            self._traffic.sent += len(piece)
            self._patience.renew()

    async def write_with_length(self, writer: aiohttp.abc.AbstractStreamWriter, _content_length: int | None) -> None:
        await self.write(writer)


async def exchange(
    session: aiohttp.ClientSession,
    context: ssl.SSLContext,
    member: MemberId,
    endpoint: str,
    call: Call,
    traffic: Traffic,
    idle_s: float = limits.IDLE_S,
    protocol: int = version.CURRENT,
) -> bytes:
    """The answer's body. Raises PeerRefused with the peer's code, NoCommonVersion, PeerUnavailable, PeerFault."""
    size = len(memoryview(call.body).cast("B")) if call.body is not None else 0
    patience = _Patience(idle_s, limits.CONTROL_TOTAL_S + limits.body_total_s(size + call.limit))
    headers = {version.HEADER: str(protocol)}
    if call.byte_range is not None:
        headers["Range"] = call.byte_range
    try:
        async with (
            patience.timeout,
            session.request(
                call.method,
                endpoint + call.path,
                params=call.params,
                data=_Body(call, patience, traffic) if call.body is not None else None,
                headers=headers,
                expect100=call.invited,
                ssl=context,
                allow_redirects=False,
            ) as response,
        ):
            patience.renew()
            if response.status in (200, 206):
                pace = call.pace if call.body is None else full_speed
                return await _read(response, call.limit, member, patience, traffic, pace)
            refusal = _refusal(
                member, response.status, await _read(response, ERROR_MAX_BYTES, member, patience, traffic)
            )
            if isinstance(refusal, PeerRefused) and refusal.code == RefusalCode.UNKNOWN_VERSION:
                raise NoCommonVersion(str(refusal), member, response.headers.get(version.OFFER_HEADER))
            raise refusal
    except TimeoutError:
        raise PeerUnavailable(f"member {member} did not answer in time", member) from None
    except aiohttp.ClientConnectorCertificateError as error:
        raise PeerFault(f"the node of member {member} shows another certificate than on chain", member) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise _unreachable(member, error) from error


async def _read(
    response: aiohttp.ClientResponse,
    limit: int,
    member: MemberId,
    patience: _Patience,
    traffic: Traffic,
    pace: Pace = full_speed,
) -> bytes:
    declared = response.content_length
    if declared is None or declared > limit:
        response.close()
        raise PeerFault(f"member {member} answers with {declared} bytes where at most {limit} are allowed", member)
    pieces: list[bytes] = []
    while piece := await response.content.readany():
        pieces.append(piece)
        traffic.received += len(piece)
        patience.renew()
        await pace(len(piece))
        patience.renew()
    return b"".join(pieces)


def _refusal(member: MemberId, status: int, body: bytes) -> PeerRefused | PeerFault:
    try:
        error = decode(ErrorBody, body)
    except Refusal:
        return PeerFault(f"member {member} answers with status {status} and no reason", member)
    message = "".join(c if c.isprintable() else "?" for c in error.message)
    return PeerRefused(f"member {member} refused: {message}", member, error.code)


def _unreachable(member: MemberId, error: Exception) -> PeerUnavailable | PeerRefused | PeerFault:
    if isinstance(error, aiohttp.ClientSSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return PeerFault(f"the node of member {member} shows another certificate than on chain", member)
    if "ALERT_UNKNOWN_CA" in str(error) or "ALERT_CERTIFICATE" in str(error) or "ALERT_BAD_CERTIFICATE" in str(error):
        # In TLS 1.3 a provider judges our certificate after our side has finished, so its no arrives as an alert.
        message = f"the node of member {member} does not know this node's certificate (yet)"
        return PeerRefused(message, member, RefusalCode.NOT_A_MEMBER.value)
    if isinstance(error, ValueError):
        return PeerFault(f"the endpoint of member {member} on chain is not a usable URL", member)
    silent = isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError)
    return PeerUnavailable(f"member {member} cannot be reached: {type(error).__name__}", member, silent)
