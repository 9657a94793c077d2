from __future__ import annotations

import pytest

from peerage.deal.jurisdictions import EEA, EU, covers


@pytest.mark.parametrize(
    ("listed", "at", "held"),
    [
        (("FR",), "FR", True),
        (("EEA",), "NO", True),
        (("EU",), "NO", False),
        (("EU", "CH"), "CH", True),
        ((), "FR", False),
    ],
)
def test_groups_and_codes(listed: tuple[str, ...], at: str, held: bool) -> None:
    assert covers(listed, at) is held


def test_the_groups_have_their_members() -> None:
    assert (len(EU), len(EEA)) == (27, 30)
    assert "GB" not in EEA
