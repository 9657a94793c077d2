"""The settlement vectors are what the script makes; Settlement.t.sol holds the contract against them."""

from __future__ import annotations

from tests.contracts.make_settlement_vectors import CASES, TARGET, document


def test_the_vectors_are_what_the_auditor_says() -> None:
    assert CASES >= 3000
    assert TARGET.read_text(encoding="utf-8") == document()
