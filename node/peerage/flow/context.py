"""What every flow of one node works with: its keys, its catalogue, the chain and the peers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from peerage.deal.decision import Decision
from peerage.deal.policy import Policy
from peerage.model import MemberId
from peerage.ports import Ledger, Peers
from peerage.seal.keys import KeyRing, RepositoryKey
from peerage.store.catalogue import Catalogue
from peerage_chain.typed import Domain

T = TypeVar("T")

Decide = Callable[[Decision], None]
"""Takes down a decision about an agreement."""

Report = Callable[[dict[str, Any]], None]
"""Receives events (node/spec/owner-interface.md): progress, notes, warnings."""


def silent(_event: dict[str, Any]) -> None:
    """A Report for callers that watch nothing."""


def forget_decision(_decision: Decision) -> None:
    """A Decide for those who keep none."""


def warn(report: Report, message: str) -> None:
    report({"event": "warning", "message": message})


def note(report: Report, message: str) -> None:
    report({"event": "note", "message": message})


@dataclass(slots=True)
class NodeContext:
    """One node of one member at work.

    workers: threads for hashing, coding and sealing. entropy(n): n random bytes. clock_ns: Unix time in nanoseconds,
    only ever shown to people. wrapped_keys: generation -> repository key wrapped by the words, for the head.
    """

    member: MemberId
    node_key: bytes
    domain: Domain
    catalogue: Catalogue
    ledger: Ledger
    peers: Peers
    ring: KeyRing
    wrapped_keys: dict[int, bytes]
    policy: Callable[[], Policy]
    workers: Executor
    entropy: Callable[[int], bytes]
    clock_ns: Callable[[], int]
    repository: int = 0
    decided: Decide = forget_decision
    publishing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def key(self) -> RepositoryKey:
        """The repository key that new data is sealed under."""
        return self.ring.current

    async def in_worker(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run CPU or disk work in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self.workers, function, *arguments)
