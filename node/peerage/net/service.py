"""What the peer listener needs from the node behind it; flow/provide.py implements it. It says no with a Refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from peerage.model import AgreementId, ObjectKind, Receipt, ShardRoot
from peerage.ports import Buffer
from peerage_chain.types import Amendment, MemberInfo, Revision, Terms


class Reception(Protocol):
    """One object on its way in. The methods block and run in a worker thread, one at a time."""

    def absorb(self, pieces: Sequence[Buffer]) -> None:
        """Take the next pieces of the body, in order."""
        ...

    def commit(self) -> Receipt:
        """Make the object durable and sign for it."""
        ...

    def abort(self) -> None:
        """Forget it; harmless after commit."""
        ...


class Reading(Protocol):
    """One open object. read and close block and run in a worker thread."""

    @property
    def size(self) -> int: ...

    @property
    def agreement(self) -> AgreementId: ...

    def read(self, offset: int, length: int) -> bytes: ...

    def close(self) -> None: ...


class Service(Protocol):
    """caller: the member that the connection's certificate belongs to; it may be suspended."""

    async def propose(self, caller: MemberInfo, terms: Terms) -> tuple[Terms, bytes | None, str]:
        """(terms, signature or None for a counter-proposal, reason)."""
        ...

    async def amend(self, caller: MemberInfo, amendment: Amendment) -> tuple[Amendment, bytes | None, str]:
        """(amendment, signature or None for a counter-proposal, reason)."""
        ...

    async def receive(
        self,
        caller: MemberInfo,
        agreement: AgreementId,
        root: ShardRoot,
        size: int,
        kind: ObjectKind,
        repository: int,
        number: int,
    ) -> Reception:
        """Check everything that can be checked before a byte is taken, and reserve the room."""
        ...

    async def drop_object(self, caller: MemberInfo, agreement: AgreementId, root: ShardRoot) -> None:
        """Drop an object of the caller's that no revision lists."""
        ...

    async def cosign(
        self,
        caller: MemberInfo,
        revision: Revision,
        appended: Sequence[ShardRoot],
        client_signature: bytes,
        removed: Sequence[ShardRoot] = (),
    ) -> bytes: ...

    async def open_object(self, caller: MemberInfo, root: ShardRoot) -> Reading: ...

    def served(self, reading: Reading, n_bytes: int) -> None:
        """So much of it has gone out."""
        ...

    async def list_objects(
        self, caller: MemberInfo, agreement: AgreementId, start: int, count: int
    ) -> tuple[Sequence[tuple[ShardRoot, int]], int]:
        """(one page of (root, leaves), length of the whole listing)."""
        ...

    async def list_heads(self, caller: MemberInfo, repository: int) -> Sequence[tuple[int, ShardRoot, int]]: ...

    async def free_bytes(self) -> int: ...
