"""Probes of real listeners: whom they are about, what they measure, what they leave behind, and when it is reported."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import DOMAIN, Network, Peer

from peerage.deal.policy import Policy
from peerage.deal.ranking import UNKNOWN
from peerage.errors import PeerRefused
from peerage.flow.agree import agree
from peerage.flow.context import NodeContext, silent
from peerage.flow.probe import Prober
from peerage.flow.quality import judge, quality, quality_of, refresh_quality
from peerage.keys.onion import Onion
from peerage.model import KIB, AgreementId, Epoch, MemberId, ObjectKind
from peerage.net.throttle import Throttle
from peerage.seal.keys import KeyRing
from peerage.shard.tree import object_tree
from peerage.store.catalogue import Catalogue
from peerage.store.home import Home
from peerage.store.measures import Measured, Measures, Rates
from peerage_chain.errors import ChainUnavailable
from peerage_chain.quality import NO_ANSWER_MS, Clause, Drawing, Figures, QualityRecord
from peerage_chain.types import ChainTime

ONION = Onion(b"\x07" * 32, length=64)
SEED = b"\x05" * 32


class Stage:
    """A prober, and providers with which it has agreements; everybody is drawn unless the test says otherwise."""

    def __init__(self, network: Network, client: Peer, home: Home, workers: ThreadPoolExecutor) -> None:
        self.network, self.ledger, self.client = network, network.ledger, client
        self.home = home
        self.limited = self.busy = False
        self.said: list[dict[str, Any]] = []
        assert client.client is not None
        self.context = NodeContext(
            member=client.member,
            node_key=client.node_key,
            domain=DOMAIN,
            catalogue=Catalogue(home.catalogue),
            ledger=self.ledger,  # type: ignore[arg-type]
            peers=client.client,
            ring=KeyRing({0: b"\x07" * 32}),
            wrapped_keys={},
            policy=Policy,
            workers=workers,
            entropy=os.urandom,
            clock_ns=lambda: 0,
        )
        self.ledger.tip = ONION.tip
        self.draw()
        self.begin()

    def begin(self) -> None:
        """A node that starts: all that it remembers is in its home."""
        self.measures = Measures(self.home)
        self.prober = Prober(
            self.context, ONION, self.measures, lambda: self.limited, lambda: self.busy, sleep=self._no_sleep
        )

    @staticmethod
    async def _no_sleep(_seconds: float) -> None:
        return None

    def draw(self, active: int = 1, committee: int = 1) -> None:
        epoch = Epoch(self.ledger.epoch)
        self.ledger.drawings[epoch] = Drawing(epoch, SEED, active, committee)

    def agree(self, provider: Peer, capacity: int = 1 << 28) -> AgreementId:
        id = self.network.agree(self.client, provider, capacity)
        self.context.catalogue.set_agreement(id, provider.member, capacity, 10_000, True, 0, bytes(32))
        return id

    def now(self, beats_open: bool = True) -> ChainTime:
        e = self.ledger.epoch
        return ChainTime(e, 1000 * e + (0 if beats_open else 6), Epoch(e), 1000 * e, 10)

    async def probe(self) -> bool:
        return await self.prober.probe(self.now(), self.said.append)

    def due(self) -> dict[MemberId, Measured]:
        return dict(self.measures.due(Epoch(self.ledger.epoch)))


@pytest.fixture
async def stage(network: Network, tmp_path: Path) -> AsyncIterator[Stage]:
    client = await network.add(listen=False)
    with ThreadPoolExecutor(2) as workers:
        stage = Stage(network, client, Home.create(tmp_path / "home"), workers)
        yield stage
        stage.context.catalogue.close()


async def test_a_probe_measures_and_leaves_nothing_behind(stage: Stage) -> None:
    provider = await stage.network.add()
    agreement = stage.agree(provider)
    assert await stage.probe()
    (measured,) = stage.due().values()
    assert measured.down_kib_s > 0
    assert measured.up_kib_s > 0
    assert measured.latency_ms < 1000
    assert measured.availability_percent == 100
    assert provider.store is not None
    assert provider.store.usage(agreement=agreement).used_bytes == 0
    assert provider.store.objects_of(agreement) == []
    assert stage.context.catalogue.objects(agreement) == []


async def test_a_slowed_provider_is_measured_within_a_fifth(stage: Stage) -> None:
    up, down = 512 * KIB, 384 * KIB
    provider = await stage.network.add(throttle=Throttle(lambda: up, lambda: down))
    stage.agree(provider)
    assert await stage.probe()
    (measured,) = stage.due().values()
    assert 0.8 * 512 < measured.down_kib_s < 1.2 * 512, "what it sends is what we read"
    assert 0.8 * 384 < measured.up_kib_s < 1.2 * 384
    assert measured.availability_percent == 100


async def test_what_is_stored_already_is_read_like_a_restore(stage: Stage) -> None:
    provider = await stage.network.add()
    agreement = stage.agree(provider)
    data = os.urandom(400 * KIB)
    root = object_tree(data).root
    await stage.context.peers.put_object(provider.member, agreement, root, data)
    stage.context.catalogue.add_objects([(agreement, root, 400, ObjectKind.SHARD)])
    read: list[tuple[bytes, int]] = []
    original = stage.context.peers.get_object

    async def spied(member: MemberId, root: Any, offset: int = 0, length: int | None = None) -> bytes:
        read.append((root, length or 0))
        return await original(member, root, offset, length)

    stage.context.peers.get_object = spied  # type: ignore[method-assign]
    assert await stage.probe()
    assert root not in {r for r, _ in read}, "not co-signed: nothing that a restore would read"
    with stage.context.catalogue._write() as db:
        db.execute("UPDATE objects SET sequence = 1, position = 0")
    stage.ledger.epoch += 1
    stage.draw()
    read.clear()
    assert await stage.probe()
    assert {r for r, _ in read} == {root}
    assert max(length for _, length in read) == 160 * KIB, "no more than a probe of these epochs"


async def test_who_is_probed(stage: Stage) -> None:
    first, second, third = [await stage.network.add() for _ in range(3)]
    for peer in (first, second):
        stage.agree(peer)
    kin = replace(second.info, legal_entity=stage.client.info.legal_entity)
    stage.ledger.set_member(kin)
    assert await stage.prober.drawn(stage.now()) == [(first.member, stage.context.catalogue.agreements()[0].id)]
    assert third.member not in stage.due(), "no agreement, no probe"
    # Only the link that our next beat reveals decides, which nobody else knows yet.
    link = ONION.predecessor(ONION.tip)
    for epoch in range(101, 160):
        stage.ledger.epoch = epoch
        drawing = Drawing(Epoch(epoch), epoch.to_bytes(32, "big"), 4, 2)
        stage.ledger.drawings[Epoch(epoch)] = drawing
        drawn = await stage.prober.drawn(stage.now())
        assert [m for m, _ in drawn or []] == ([first.member] if drawing.draws(link, first.member) else [])
    stage.ledger.drawings.clear()
    assert await stage.prober.drawn(stage.now()) == [], "without a seed nobody is"


async def test_nobody_is_probed_before_our_beat_or_without_an_onion(stage: Stage) -> None:
    stage.agree(await stage.network.add())
    stage.ledger.beaten = stage.ledger.epoch - 1
    assert not await stage.probe(), "later in the same epoch"
    assert await stage.prober.probe(stage.now(beats_open=False), silent), "there will be no beat any more"
    stage.ledger.beaten = None
    stage.ledger.tip = bytes(20)
    assert await stage.probe()
    assert not stage.due()


async def test_our_own_limits_and_backups_are_not_measured(stage: Stage) -> None:
    stage.agree(await stage.network.add())
    stage.limited = True
    assert await stage.probe()
    stage.limited, stage.busy = False, True
    assert await stage.probe()
    assert not stage.due()


async def test_a_provider_that_is_away_has_answered_nothing(stage: Stage) -> None:
    silent_one, other = await stage.network.add(), await stage.network.add()
    for peer in (silent_one, other):
        stage.agree(peer)
    assert silent_one.server is not None
    await silent_one.server.close(grace_s=0)
    silent_one.server = None
    assert await stage.probe()
    assert stage.due()[silent_one.member] == Measured(0, 0, NO_ANSWER_MS, 0)
    assert stage.due()[other.member].availability_percent == 100


async def test_if_nobody_answers_the_fault_may_be_ours(stage: Stage) -> None:
    for peer in [await stage.network.add() for _ in range(2)]:
        stage.agree(peer)
        assert peer.server is not None
        await peer.server.close(grace_s=0)
        peer.server = None
    assert await stage.probe()
    assert not stage.due()
    assert [e["event"] for e in stage.said] == ["warning"]


async def test_a_full_agreement_says_nothing_about_its_provider(stage: Stage) -> None:
    provider = await stage.network.add()
    stage.agree(provider, capacity=64 * KIB)
    assert await stage.probe()
    assert not stage.due()


async def test_a_report_outlasts_a_restart_and_is_sent_once(stage: Stage) -> None:
    provider = await stage.network.add()
    stage.agree(provider)
    await stage.probe()
    measured = stage.due()[provider.member]
    stage.begin()
    assert await stage.probe(), "probed already: not again"
    assert stage.due() == {provider.member: measured}
    probed = Epoch(stage.ledger.epoch)
    stage.ledger.epoch += 1
    stage.ledger.beaten = probed
    assert not await stage.prober.send(stage.now(), silent), "our beat comes first"
    stage.ledger.beaten = None
    stage.ledger.away = True
    with pytest.raises(ChainUnavailable):
        await stage.prober.send(stage.now(), silent)
    stage.ledger.away = False
    stage.begin()
    assert await stage.prober.send(stage.now(), silent)
    figures = Figures(measured.down_kib_s, measured.up_kib_s, measured.latency_ms, measured.availability_percent)
    assert stage.ledger.reports == [(probed, {provider.member: figures})]
    assert not await stage.prober.send(stage.now(), silent), "a probe may end late: it looks again"
    assert await stage.prober.send(stage.now(beats_open=False), silent)
    assert len(stage.ledger.reports) == 1


async def test_a_refused_report_is_given_up(stage: Stage) -> None:
    stage.agree(await stage.network.add())
    await stage.probe()
    stage.ledger.epoch += 1
    stage.ledger.refuses_reports = True
    assert await stage.prober.send(stage.now(), stage.said.append)
    assert "refused" in stage.said[-1]["message"]
    assert not stage.measures.due(Epoch(stage.ledger.epoch - 1))


# -- what comes of it ------------------------------------------------------------------------------------------------


def record(down: int, up: int, answered: int = 100) -> QualityRecord:
    return QualityRecord(Figures(down, up, 10, answered), 3)


def test_quality_is_speed_as_part_of_the_usual_one() -> None:
    one, two, three, four, five = map(MemberId, range(1, 6))
    usual = [record(1000, 1000), None, record(1000, 1000)]
    found = judge(
        {
            one: usual,
            two: usual,
            three: [record(100, 100), record(100, 100)],
            four: [record(9000, 9000, answered=50)],
            five: [None],
        },
        {},
    )
    assert found == {one: 1.0, two: 1.0, three: pytest.approx(0.1), four: 0.5}
    ours = {one: Rates(2000, 2000), three: Rates(2000, 2000), four: Rates(500, 500), five: Rates(None, 5)}
    both = judge({one: usual, two: usual, three: usual}, ours)
    assert both == {one: 1.0, two: 1.0, three: 1.0, four: 0.25}, "what we saw ourselves counts as much"
    assert judge({one: [record(0, 0, answered=0)], two: usual, three: usual}, {})[one] == 0.01
    assert judge({}, {}) == {}


async def test_qualities_are_kept_for_placement(stage: Stage) -> None:
    peers = [await stage.network.add(listen=False) for _ in range(3)]
    catalogue = stage.context.catalogue
    assert quality_of(catalogue, peers[0].member) == UNKNOWN
    for peer, rate in zip(peers, (1000, 1000, 100), strict=True):
        for epoch in range(90, 100):
            stage.ledger.records[peer.member, Epoch(epoch)] = record(rate, rate)
    await refresh_quality(stage.context, stage.measures)
    assert [quality_of(catalogue, p.member) for p in peers] == [1.0, 1.0, 0.1]
    shown = await quality(stage.context, stage.measures)
    assert [p["quality"] for p in shown["providers"]] == [1.0, 1.0, 0.1]
    assert [r["epoch"] for r in shown["providers"][2]["records"]] == list(range(90, 100))
    stage.ledger.records.clear()
    await refresh_quality(stage.context, stage.measures)
    assert quality_of(catalogue, peers[2].member) == UNKNOWN, "what is long past is forgotten"


def test_rates_fade_and_the_file_is_bounded(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home")
    measures = Measures(home)
    measures.saw({MemberId(1): (1024 * KIB, 2.0, 0, 0.0)})
    assert measures.rates() == {MemberId(1): Rates(512, None)}
    for _ in range(5):
        measures.saw({MemberId(1): (2048 * KIB, 1.0, 256 * KIB, 1.0)})
    newer = Measures(home).rates()[MemberId(1)]
    assert newer.down_kib_s is not None
    assert 1500 < newer.down_kib_s < 2048
    assert newer.up_kib_s == 256
    for _ in range(60):
        measures.saw({})
    assert measures.rates() == {}
    for epoch in range(20):
        measures.add(Epoch(epoch), MemberId(1), Measured(1, 1, 1, 1))
    assert [e for e in range(20) if measures.due(Epoch(e))] == [16, 17, 18, 19]
    home.measures.write_bytes(b'{"due": {"1": {"2": {"down_kib_s": -1}}}}')
    assert not Measures(home).due(Epoch(1)), "a damaged file is begun anew"


async def test_a_policys_floor_keeps_slow_providers_out_of_new_agreements(stage: Stage) -> None:
    slow, new = await stage.network.add(), await stage.network.add()
    stage.context.policy = lambda: Policy().set("take.min_quality_percent", "40").set("take.withheld_percent", "25")
    stage.context.catalogue.set_counter(f"quality:{slow.member}", 1000)
    with pytest.raises(PeerRefused, match="its quality 10 is below 40"):
        await agree(stage.context, slow.info, 1 << 30, silent)
    opened = await agree(stage.context, new.info, 1 << 30, silent)
    clause = Clause.unpack(stage.ledger.infos[opened.id].terms.quality_clause)
    assert clause is not None
    assert clause.withheld_percent == 25
