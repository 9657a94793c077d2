from __future__ import annotations

import pytest
from tests.fakes import Network, Peer

from peerage.model import AgreementId


@pytest.fixture
async def pair(network: Network) -> tuple[Peer, Peer, AgreementId]:
    """A client that does not listen, a provider, and their agreement."""
    return await network.pair(idle_s=1.0)
