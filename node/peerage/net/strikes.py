"""Addresses that keep failing to say who they are: hung up on before a handshake costs anything. Pure, bounded.

Only who completed a TCP handshake is counted, so nobody has another address struck. From an address that a member was
heard from lately nobody is refused: a stranger behind the same router does not lock the member out.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Any

STRIKES = 60
"""So many failures at once; a network that starts, each node still unknown to the others, stays below it."""
FORGIVEN_EVERY_S = 2.0
"""One failure is forgotten in so many seconds: who mends its clock or its key gets in again by itself."""
TRUSTED_S = 86_400.0
"""After a member was heard from an address."""
ADDRESSES = 4096
"""Remembered at most, of each kind; the one not heard of for longest is forgotten first."""


class Strikes:
    """now_s: any clock that does not go back."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[float, float]] = OrderedDict()  # failures, as of a time
        self._heard: OrderedDict[str, float] = OrderedDict()

    def fail(self, address: str, now_s: float) -> None:
        """A handshake failed, or its certificate is nobody's."""
        key = _site(address)
        self._failed[key] = (min(STRIKES, self._count(key, now_s) + 1), now_s)
        _keep(self._failed, key)

    def hear(self, address: str, now_s: float) -> None:
        """A member asked for something."""
        key = _site(address)
        self._heard[key] = now_s
        _keep(self._heard, key)

    def refuses(self, address: str, now_s: float) -> bool:
        key = _site(address)
        trusted = key in self._heard and now_s - self._heard[key] < TRUSTED_S
        return not trusted and self._count(key, now_s) > STRIKES - 1

    def _count(self, key: str, now_s: float) -> float:
        failures, at_s = self._failed.get(key, (0.0, now_s))
        return max(0.0, failures - (now_s - at_s) / FORGIVEN_EVERY_S)


def _keep(table: OrderedDict[str, Any], key: str) -> None:
    table.move_to_end(key)
    if len(table) > ADDRESSES:
        table.popitem(last=False)


def _site(address: str) -> str:
    """An IPv6 host has a /64 to itself: one address of it is as good as another."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.packed[:8].hex()
