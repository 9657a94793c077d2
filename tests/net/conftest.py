from __future__ import annotations

import pytest
from tests.fakes import Network, Peer

from peerage.model import AgreementId


@pytest.fixture
async def pair(network: Network) -> tuple[Peer, Peer, AgreementId]:
    """A client that does not listen, a provider, and their agreement."""
    provider = await network.add(idle_s=1.0)
    client = await network.add(listen=False)
    return client, provider, network.agree(client, provider)
