"""A policy between real processes: refused with the numbers, obeyed, and edited while the node runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.devnet.conftest import Devnet

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def devnet(make_devnet: Callable[..., Devnet]) -> Devnet:
    return make_devnet(6, 4)


def at(devnet: Devnet, *jurisdictions: str) -> set[int]:
    return {m["member"] for m in devnet.audit("members")["members"] if m["jurisdiction"] in jurisdictions}


def providers(devnet: Devnet, number: int, member: int) -> set[int]:
    rows = devnet.node(number, "agreements")["agreements"]
    return {a["provider"] for a in rows if a["client"] == member}


def back_up(devnet: Devnet, number: int, source: Path) -> int:
    source.mkdir()
    (source / "file").write_bytes(b"x" * 100_000)
    devnet.node(number, "backup", source)
    return int(devnet.node(number, "status")["member"])


def test_who_the_policy_leaves_out_holds_nothing(devnet: Devnet, tmp_path: Path) -> None:
    home = devnet.directory / "node1"
    refused = devnet.run("--home", home, "--json", "policy", "set", "take.jurisdictions_allow", "DE, CH")
    assert refused.code != 0
    assert "1 of 5 other members suit the policy (4 by take.jurisdictions_allow)" in refused.err + refused.out
    assert devnet.node(1, "policy", "show")["take"]["jurisdictions_allow"] == [], "nothing was loosened or set"
    devnet.node(1, "policy", "set", "take.jurisdictions_allow", "DE, NL, ES")
    checked = devnet.node(1, "policy", "check")
    assert "3 of 5" in checked["numbers"]
    assert (checked["hours"]["now"]["up_kib_s"], checked["hours"]["next"], checked["warnings"]) == (None, None, [])
    devnet.node(1, "policy", "set", "give.hours", "00:00-12:00 up=900, 12:00-00:00 up=800 down=700")
    hours = devnet.node(1, "policy", "check")["hours"]
    assert {hours["now"]["up_kib_s"], hours["next"]["up_kib_s"]} == {900, 800}
    assert hours["promised_kib_s"] == 700
    shown = devnet.run("--home", home, "policy", "show").out
    assert "00:00-12:00 up=900, 12:00-00:00 up=800 down=700" in shown, "as it can be set again"
    assert devnet.node(1, "policy", "set", "give.hours", "")["give"]["hours"] == []
    member = back_up(devnet, 1, tmp_path / "source")
    assert providers(devnet, 1, member) == at(devnet, "DE", "NL", "ES")
    assert len(providers(devnet, 1, member)) == 3


def test_an_edited_price_ceiling_and_a_new_offer_count_at_once(devnet: Devnet, tmp_path: Path) -> None:
    devnet.node(5, "policy", "set", "give.price_per_gib_epoch", "5000")
    (dear,) = at(devnet, "IT")
    file = devnet.directory / "node2" / "policy.toml"
    text = file.read_text()

    def status() -> dict[str, Any]:
        return devnet.node(2, "status")

    file.write_text(text.replace("max_price_per_gib_epoch = 10000", "max_price_per_gib_epoch = dear"))
    devnet.until(lambda: not status()["policy_trouble"], 6)
    assert "line" in status()["policy_trouble"]
    file.write_text(text.replace("max_price_per_gib_epoch = 10000", "max_price_per_gib_epoch = 4000"))
    devnet.until(lambda: devnet.node(2, "policy", "show")["take"]["max_price_per_gib_epoch"] != 4000, 6)
    assert status()["policy_trouble"] == ""
    devnet.until(lambda: "4 of 5" not in devnet.node(2, "policy", "check")["numbers"], 6)
    member = back_up(devnet, 2, tmp_path / "other")
    assert dear not in providers(devnet, 2, member)
    assert len(providers(devnet, 2, member)) == 4
    told = devnet.node(2, "agreements", "--why")["decisions"]
    no = next(d for d in told if d["member"] == dear and d["side"] == "client")
    assert (no["ok"], no["rule"]) == (False, "take.max_price_per_gib_epoch")
    assert no["reason"] == "its price 5000 is above 4000"
    asked = devnet.node(3, "agreements", "--why")["decisions"]
    assert any((d["side"], d["member"], d["ok"]) == ("provider", member, True) for d in asked)


def test_short_agreements_are_renewed_on_chain_without_a_hand(devnet: Devnet, tmp_path: Path) -> None:
    devnet.node(3, "policy", "set", "take.min_term_epochs", "2")
    devnet.node(3, "policy", "set", "take.term_epochs", "14")
    member = back_up(devnet, 3, tmp_path / "third")

    def ends() -> list[int]:
        return [a["end_epoch"] for a in devnet.node(3, "agreements")["agreements"] if a["client"] == member]

    first = max(ends())
    devnet.until(lambda: [end for end in ends() if end <= first], 16)
    told = devnet.node(3, "agreements", "--why")["decisions"]
    assert any((d["action"], d["side"], d["ok"]) == ("amend", "client", True) for d in told)
