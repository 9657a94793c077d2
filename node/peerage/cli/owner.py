"""Asks this member's daemon, and shows what it reports meanwhile."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from peerage.cli.progress import Events
from peerage.cli.session import Session
from peerage.errors import exit_code_of

__all__ = ["ask", "ask_rows", "exit_code_of", "feed"]


def ask(session: Session, verb: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call on the owner's socket in the session's home; raises PeerageError as the daemon said it."""
    from peerage.net import owner_client

    with Events() as events:
        return owner_client.call(session.home, verb, params or {}, events.show)


def feed(session: Session, verb: str, params: dict[str, Any], pieces: AsyncIterator[bytes]) -> dict[str, Any]:
    """As ask, for a verb that takes data. What `pieces` raises ends the work, and is raised here."""
    from peerage.net import owner_client

    with Events() as events:
        return owner_client.call_stream(session.home, verb, params, pieces, events.show)


def ask_rows(
    session: Session, verb: str, params: dict[str, Any], name: str, show: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """A call whose answer is rows: each is shown as it comes; for --json all go into the result as `name`."""
    from peerage.net import owner_client

    rows: list[dict[str, Any]] = []
    rest = bytearray()

    def take(data: bytes) -> None:
        rest.extend(data)
        end = rest.rfind(b"\n") + 1
        for line in bytes(rest[:end]).splitlines():
            row = json.loads(line)
            if session.json:
                rows.append(row)
            else:
                show(row)
        del rest[:end]

    result = owner_client.call_data(session.home, verb, params, take)
    return {**result, name: rows} if session.json else result
