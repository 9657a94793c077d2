"""Who is who, by certificate and by node key, from the newest roster. A revoked or expired key is nobody's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from peerage.net.tls import fingerprint
from peerage_chain.types import MemberId, MemberInfo, NodeInfo

Roster = Callable[[], Sequence[MemberInfo]]
"""The newest roster known; a new object whenever it changed."""
NowSeconds = Callable[[], int]
"""The chain's time as far as known, Unix seconds."""


class Membership:
    """Look-ups in a roster, indexed again only when the accessor returns another object. One thread."""

    def __init__(self, roster: Roster, now_s: NowSeconds) -> None:
        self._roster = roster
        self._now_s = now_s
        self._seen: Sequence[MemberInfo] | None = None
        self.generation = 0
        """Grows with each other roster that was taken in."""
        self._by_certificate: dict[bytes, tuple[MemberInfo, NodeInfo]] = {}
        self._by_id: dict[MemberId, MemberInfo] = {}

    def refresh(self) -> None:
        """Take in the newest roster."""
        roster = self._roster()
        if roster is self._seen:
            return
        self._by_id = {member.id: member for member in roster}
        self._by_certificate = {
            fingerprint(node.certificate): (member, node)
            for member in roster
            for node in member.nodes
            if not node.revoked
        }
        self._seen = roster
        self.generation += 1

    def by_certificate(self, certificate: bytes) -> MemberInfo | None:
        """The member whose live node shows this certificate, whatever its status."""
        self.refresh()
        found = self._by_certificate.get(fingerprint(certificate))
        return found[0] if found and found[1].expires_at > self._now_s() else None

    def member(self, id: MemberId) -> MemberInfo | None:
        self.refresh()
        return self._by_id.get(id)

    def live_nodes(self, id: MemberId) -> tuple[NodeInfo, ...]:
        """Newest last; none for a stranger."""
        member = self.member(id)
        return member.live_nodes(self._now_s()) if member else ()

    def acts_for(self, key: str, id: MemberId) -> bool:
        """Whether a signature by this address binds the member: it is a live node key, or the member's account."""
        member = self.member(id)
        if member is None:
            return False
        return key == member.account or any(node.key == key for node in member.live_nodes(self._now_s()))

    def certificates(self) -> Iterable[bytes]:
        """Of every node key that is not revoked."""
        self.refresh()
        return [node.certificate for _, node in self._by_certificate.values()]
