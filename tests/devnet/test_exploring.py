"""The short form of scripts/conformance's second half: schemathesis against both interfaces of a running node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.devnet.conftest import Devnet
from tests.net.exploring import explore_both

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(400)]


def test_both_interfaces_answer_as_their_documents_say(make_devnet: Callable[..., Devnet], tmp_path: Path) -> None:
    devnet = make_devnet(4, 10)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(bytes(1000))
    devnet.node(1, "backup", tmp_path / "source")
    tried = dict(explore_both(devnet.directory, tmp_path, examples=5, seed=7))
    assert tried.keys() == {"owner", "peer"}
    for found in tried.values():
        assert found.ok, found.output
        assert found.requests > 500
