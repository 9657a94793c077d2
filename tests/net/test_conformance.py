"""The short form of scripts/conformance."""

from __future__ import annotations

from pathlib import Path

from tests.net.conformance import conform


async def test_the_listener_answers_as_its_document_says(tmp_path: Path) -> None:
    tally = await conform(tmp_path, requests=600, seed=7)
    assert tally.failures == []
    assert tally.requests == 600
    assert {200, 400, 404} <= set(tally.statuses)
