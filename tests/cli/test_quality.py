"""What `quality` and `audit quality` show to people."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Peerage

FIGURES = {"down_kib_s": 8000, "up_kib_s": 7000, "latency_ms": 12, "availability_percent": 98}
NOTHING = {"down_kib_s": None, "up_kib_s": None}


def test_quality_for_people(peerage: Peerage, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        "member": 2,
        "name": "Ada",
        "quality": 0.125,
        "known": True,
        "seen": {"down_kib_s": 6500, "up_kib_s": None},
    }
    new = {"member": 3, "name": "Bo", "quality": 0.5, "known": False, "seen": NOTHING, "records": []}
    answered = {"providers": [{**known, "records": [{"epoch": 41, "reports": 5, **FIGURES}]}, new]}
    monkeypatch.setattr("peerage.net.owner_client.call", lambda *_: answered)
    lines = peerage("quality").out.splitlines()
    ada, bo = (next(line.split() for line in lines if name in line) for name in ("Ada", "Bo"))
    assert ada == ["2", "Ada", "0.12", "41", "8000", "7000", "12", "98", "%", "1", "6500", "–"]
    assert bo == ["3", "Bo", "unknown", *["–"] * 5, "0", "–", "–"]


def test_audit_quality_for_people(peerage: Peerage, monkeypatch: pytest.MonkeyPatch) -> None:
    def row(epoch: int, median: dict[str, int] | None, disputed: list[bool]) -> dict[str, Any]:
        reports = [{"member": member, **FIGURES, "disputed": far} for member, far in enumerate(disputed, 4)]
        return {"provider": 2, "epoch": epoch, "median": median, "reports": reports, "verified": epoch != 42}

    report = {
        "block": 900,
        "from_epoch": 0,
        "to_epoch": 43,
        "records": [row(41, FIGURES, [False, True, False]), row(42, None, [False])],
        "withheld": [{"provider": 2, "epochs": 3, "withheld": "0.000120"}],
        "verified": False,
    }
    monkeypatch.setattr("peerage.cli.audit._read", lambda *_: report)
    out = peerage("audit", "quality", "--rpc", "http://127.0.0.1:9").out
    assert "NOT EVERYTHING FOLLOWS" in out
    first, second = (next(line.split() for line in out.splitlines() if line.split()[:1] == [e]) for e in ("41", "42"))
    assert first == ["41", "2", "8000", "7000", "12", "98", "%", "3", "5", "yes"]
    assert second == ["42", "2", "–", "–", "–", "–", "1", "NO"]
    assert "withheld from member 2: 0.000120 in 3 epochs" in out
