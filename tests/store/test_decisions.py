"""What was decided stays, once for each thing decided, bounded, and over restarts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from peerage.deal.decision import Decision
from peerage.model import Epoch, MemberId
from peerage.store.decisions import KEPT_OF_MEMBER, Decisions

NO = Decision("client", MemberId(3), "ask", False, "take.max_price_per_gib_epoch", "its price 5 is above 4", Epoch(7))


def test_what_repeats_is_counted(tmp_path: Path) -> None:
    kept = Decisions(tmp_path / "decisions.sqlite")
    assert [kept.add(NO, 1), kept.add(replace(NO, epoch=Epoch(8)), 2), kept.add(replace(NO, ok=True), 3)] == [
        True,
        False,
        True,
    ]
    kept.close()
    again = Decisions(tmp_path / "decisions.sqlite")
    newest, first = again.newest()
    again.close()
    assert (newest["ok"], newest["times"]) == (True, 1)
    assert (first["ok"], first["times"], first["epoch"], first["time_ns"]) == (False, 2, 8, "2")
    assert first["reason"] == NO.reason


def test_a_damaged_file_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "decisions.sqlite"
    path.write_bytes(b"no database at all" * 100)
    kept = Decisions(path)
    assert kept.add(NO, 1)
    kept.close()


def test_attack_a_flood_of_proposals_pushes_out_nothing_that_others_were_told(tmp_path: Path) -> None:
    kept = Decisions(tmp_path / "decisions.sqlite")
    kept.add(NO, 0)
    flood = Decision("provider", MemberId(9), "propose", False, "terms", "x" * 5_000, Epoch(7))
    for n in range(5 * KEPT_OF_MEMBER):
        kept.add(replace(flood, capacity=n), n)
    rows = kept.newest(10**6)
    kept.close()
    assert sum(r["member"] == 9 for r in rows) == KEPT_OF_MEMBER
    assert rows[-1]["member"] == 3
    assert len(rows[0]["reason"]) == 400
