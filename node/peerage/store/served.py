"""Bytes that a provider has served under each agreement, to compare with what its client signs for."""

from __future__ import annotations

from collections.abc import Mapping

from peerage.model import AgreementId
from peerage.store.object_index import ObjectIndex

__all__ = ["Served"]


class Served:
    def __init__(self, index: ObjectIndex) -> None:
        self._index = index

    def add(self, served: Mapping[AgreementId, int]) -> None:
        """Of agreements that are not held any more nothing is kept."""
        with self._index.transaction() as db:
            db.executemany(
                "INSERT INTO served SELECT id, ?2 FROM agreements WHERE id = ?1"
                " ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes",
                served.items(),
            )

    def under(self, agreement: AgreementId) -> int:
        row = self._index.one("SELECT bytes FROM served WHERE agreement = ?", agreement)
        return int(row[0]) if row else 0
