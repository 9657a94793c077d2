"""Room that a provider keeps for what it has signed and the chain does not show yet: terms, and amendments.

Whatever was signed may be recorded until its time is over, so each counts until then, over restarts too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from peerage.model import AgreementId, Epoch, MemberId
from peerage.store.object_index import ObjectIndex

__all__ = ["Reservation", "Reservations"]


@dataclass(frozen=True, slots=True)
class Reservation:
    """agreement: the one that the terms would open (number 0), or that the amendment of that number would change.
    capacity: bytes that it adds. open_by: the last epoch in which it may be recorded."""

    agreement: AgreementId
    number: int
    client: MemberId
    capacity: int
    open_by: Epoch


class Reservations:
    def __init__(self, index: ObjectIndex) -> None:
        self._index = index

    def all(self) -> list[Reservation]:
        rows = self._index.all("SELECT agreement, number, client, capacity, open_by FROM reservations")
        return [Reservation(*row) for row in rows]

    def keep(self, kept: Reservation) -> None:
        """Durably; to be called before the signature leaves the machine. Of several amendments with one number only one
        can be recorded: the largest counts."""
        with self._index.transaction() as db:
            db.execute(
                "INSERT INTO reservations VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " capacity = max(capacity, excluded.capacity), open_by = max(open_by, excluded.open_by)",
                astuple(kept),
            )

    def drop(self, kept: Iterable[Reservation]) -> None:
        with self._index.transaction() as db:
            db.executemany(
                "DELETE FROM reservations WHERE agreement = ? AND number = ?", [(r.agreement, r.number) for r in kept]
            )
