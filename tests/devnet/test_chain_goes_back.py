"""The chain comes back from an older state: real nodes record again what it forgot, without a hand."""

from __future__ import annotations

import json
import random
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.devnet.conftest import Devnet
from tests.devnet.test_chain_away import wait_for
from tests.trees.compare import difference

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(300)]


def test_what_the_chain_forgot_is_recorded_again(make_devnet: Callable[..., Devnet], tmp_path: Path) -> None:
    devnet = make_devnet(6, 4)
    url = devnet.ok("devnet", "status", "--home", devnet.directory)["rpc"]

    def call(method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)["result"]

    def revisions() -> dict[str, int]:
        rows = devnet.node(1, "agreements")["agreements"]
        return {row["id"]: row["sequence"] for row in rows if row["client"] == 1}

    source = tmp_path / "source"
    source.mkdir()
    (source / "before").write_bytes(random.Random(1).randbytes(2_000_000))
    state = call("evm_snapshot")
    devnet.node(1, "backup", source)
    (source / "after").write_bytes(random.Random(2).randbytes(2_000_000))
    devnet.node(1, "backup", source)
    known = revisions()
    assert devnet.node(1, "status")["anchored"]

    assert call("evm_revert", state)
    assert revisions() == {}, "the agreements themselves are gone"
    wait_for(lambda: revisions() == known, 90)

    def whole() -> bool:
        status = devnet.node(1, "status")
        proven = status["shards"]["proven"] == status["shards"]["total"]
        return bool(proven and status["anchored"] and not status["records_waiting"] and status["health"] == 1)

    wait_for(whole, 90)
    devnet.node(1, "restore", "latest", "--target", tmp_path / "back")
    assert difference(source, tmp_path / "back" / "source") == ""
    assert all(row["verified"] for row in devnet.audit("agreements")["agreements"])
