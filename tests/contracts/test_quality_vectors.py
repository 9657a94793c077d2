"""The quality vectors are what the script makes; QualityVectors.t.sol holds the contract's libraries against them."""

from __future__ import annotations

from tests.contracts.make_quality_vectors import CASES, TARGET, document


def test_the_vectors_are_what_the_auditor_says() -> None:
    assert CASES >= 3000
    assert TARGET.read_text(encoding="utf-8") == document()
