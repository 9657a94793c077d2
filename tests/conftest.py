"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.fakes import Network

# No deadline: a busy machine is not a failure. HYPOTHESIS_PROFILE=ci searches longer.
settings.register_profile("dev", deadline=None)
settings.register_profile(
    "ci", deadline=None, max_examples=500, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    """Members with real listeners on loopback; each joins by network.add()."""
    network = Network(tmp_path)
    yield network
    await network.close()
