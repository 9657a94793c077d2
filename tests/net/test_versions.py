"""Two nodes speak the newest version of the protocol that both know, or none at all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.fakes import DOMAIN, Network, Peer

from peerage.errors import NoCommonVersion
from peerage.net.client import PeerClient
from peerage.net.server import PeerServer
from peerage.wire import version
from peerage.wire.version import newest_common


class Newer:
    """A provider that answers these versions, and a client that knows others."""

    def __init__(self, network: Network, provider: Peer, client: Peer) -> None:
        self.network, self.provider, self.client = network, provider, client

    async def serve(self, versions: Sequence[int]) -> None:
        assert self.provider.server is not None
        assert self.provider.provider is not None
        await self.provider.server.close(0.1)
        ledger = self.network.ledger
        self.provider.server = PeerServer(
            self.provider.provider,
            self.provider.identity,
            self.provider.member,
            ledger.newest_roster,
            ledger.now_s,
            versions=versions,
        )
        self.provider.port = await self.provider.server.start("127.0.0.1", 0)
        self.network.enlist(self.provider)

    def ask(self, versions: Sequence[int]) -> PeerClient:
        ledger = self.network.ledger
        return PeerClient(self.client.identity, ledger.newest_roster, ledger.now_s, DOMAIN, versions=versions)


@pytest.fixture
async def newer(network: Network) -> Newer:
    return Newer(network, await network.add(), await network.add(listen=False))


@pytest.mark.parametrize(
    ("served", "known"), [((1,), (1,)), ((1,), (1, 2, 3)), ((1, 2, 3), (1,)), ((2, 3), (1, 2)), ((3, 4, 5), (4, 3, 2))]
)
async def test_the_newest_common_one_is_spoken(newer: Newer, served: Sequence[int], known: Sequence[int]) -> None:
    await newer.serve(served)
    async with newer.ask(known) as client:
        for _ in range(2):
            assert (await client.hello(newer.provider.member)).protocols == list(served)
        (spoken,) = client.spoken.values()
        assert spoken == max(set(served) & set(known))


async def test_none_in_common_is_said_with_both_sides_versions(newer: Newer) -> None:
    await newer.serve((3, 4))
    async with newer.ask((1, 2)) as client:
        with pytest.raises(NoCommonVersion, match=r"this node speaks 1, 2.*this node speaks 3, 4.*updated"):
            await client.hello(newer.provider.member)


async def test_an_update_and_a_step_back_are_noticed(newer: Newer) -> None:
    async with newer.ask((1, 2)) as client:
        for served, expected in (((1,), 1), ((2,), 2), ((1,), 1)):
            await newer.serve(served)
            await client.hello(newer.provider.member)
            assert list(client.spoken.values()) == [expected]


@pytest.mark.parametrize(
    "offered", [None, "", "1,", "01", "-1", "1;2", "2, 3", "x", "1" * 6, "٣", ", ".join(["1"] * 17), "1 , 1"]
)
def test_what_is_no_offer_or_has_nothing_in_common(offered: str | None) -> None:
    assert newest_common(offered, (1,)) is None


def test_offers() -> None:
    assert newest_common(version.offer((1, 2, 9)), (1, 2, 3)) == 2
    assert newest_common("9,2,1", (1, 2, 3)) == 2
