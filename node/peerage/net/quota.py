"""How much of this node one member may use at a time: requests in flight, and requests a second. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from peerage.wire.limits import REQUESTS_BURST_PER_MEMBER, REQUESTS_IN_FLIGHT_PER_MEMBER, REQUESTS_PER_S_PER_MEMBER
from peerage_chain.types import MemberId


@dataclass(slots=True)
class _Use:
    tokens: float
    at_s: float
    in_flight: int = 0


class Quota:
    """A token bucket and a counter for each member. Members are bounded by the roster, so nothing is forgotten."""

    def __init__(
        self,
        per_s: float = REQUESTS_PER_S_PER_MEMBER,
        burst: float = REQUESTS_BURST_PER_MEMBER,
        in_flight: int = REQUESTS_IN_FLIGHT_PER_MEMBER,
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._in_flight = in_flight
        self._uses: dict[MemberId, _Use] = {}

    def enter(self, member: MemberId, now_s: float) -> bool:
        """Begin a request; False if the member has to wait. Every True is followed by one leave()."""
        use = self._uses.setdefault(member, _Use(self._burst, now_s))
        use.tokens = min(self._burst, use.tokens + max(0.0, now_s - use.at_s) * self._per_s)
        use.at_s = now_s
        if use.in_flight >= self._in_flight or use.tokens < 1:
            return False
        use.tokens -= 1
        use.in_flight += 1
        return True

    def leave(self, member: MemberId) -> None:
        self._uses[member].in_flight -= 1
