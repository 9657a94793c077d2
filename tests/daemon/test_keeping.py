"""What the keeping verbs understand of their parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.flow.network import network

from peerage.daemon import keeping
from peerage.errors import UserError
from peerage.flow.context import silent
from peerage.model.calendar import Span
from peerage.snapshot.retention import UNLIMITED, Rules, Stage


def test_rules_are_read() -> None:
    params = {
        "keep_last": 3,
        "keep_daily": UNLIMITED,
        "keep_within": "14d",
        "policy": "1d:15m,1y:1w",
        "keep_tags": ["golden"],
    }
    counts = {"hourly": 0, "daily": -1, "weekly": 0, "monthly": 0, "yearly": 0}
    stages = Stage.parse_all("1d:15m,1y:1w")
    assert keeping.rules_of(params) == Rules(3, counts, Span(days=14), stages, frozenset(["golden"]))
    assert not keeping.rules_of({})


@pytest.mark.parametrize(
    "params",
    [
        {"keep_last": -2},
        {"keep_last": "3"},
        {"keep_daily": True},
        {"keep_within": "soon"},
        {"policy": "1d"},
        {"keep_tags": "golden"},
        {"snapshots": ["latest"], "keep_last": 1},
        {"snapshots": ["latest"], "hosts": ["nas"]},
        {"snapshots": "latest"},
        {"dry_run": 1, "keep_last": 1},
        {},
    ],
)
async def test_what_is_not_understood_is_refused(tmp_path: Path, params: dict[str, Any]) -> None:
    with network(tmp_path) as (context, _, _), pytest.raises(UserError):
        await keeping.forget(context, params, silent)
