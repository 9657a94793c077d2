"""Probe reports, records and withheld pay on a real chain, and what an auditor makes of them."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from tests.chain.network import Network, Player, Tree, start

from peerage_chain.audit import audit_agreements
from peerage_chain.client import Chain
from peerage_chain.deploy import Tuning
from peerage_chain.errors import Reverted
from peerage_chain.evidence import read_evidence
from peerage_chain.measured import audit_quality
from peerage_chain.quality import Clause, Figures, ProbeReport, QualityRecord, disputed, drawn, median
from peerage_chain.types import CREDIT, ZERO32, Epoch, MemberId

TREE = Tree(bytes(range(256)) * 4 * 24)
CLAUSE = Clause(min_down_kib_s=1000, min_up_kib_s=500, max_latency_ms=0, withheld_percent=40)
SLOW, QUICK = Figures(100, 60, 20, 100), Figures(40_000, 30_000, 5, 100)


async def _started(tmp_path: Path, committee: int, names: int) -> Network:
    network = await start(tmp_path / "chain", tuning=Tuning(committee=committee))
    await network.join(*(f"member {number}" for number in range(1, names + 1)))
    await network.operator.fund({player.id: 10_000 * CREDIT for player in network.players})
    await network.jump()  # commitments take two epochs
    for _ in range(3):
        await network.epoch()
    return network


async def _mine(network: Network, player: Player, epoch: Epoch) -> list[MemberId]:
    """Whom a player is drawn to probe in an epoch: it alone can know before its beat of the next."""
    drawing = await network.observer.drawing(epoch)
    assert drawing is not None
    link = player.links[player.revealed - 1]
    return [other.id for other in network.players if other is not player and drawing.draws(link, other.id)]


async def test_withheld_pay_is_derived_from_the_reports_alone(tmp_path: Path) -> None:
    network = await _started(tmp_path, committee=16, names=5)
    try:
        client, provider, *others = network.players
        observer = network.observer
        plain, _ = await network.open(client, provider, price_per_gib_epoch=CREDIT * 1000)
        strict, terms = await network.open(
            client, provider, price_per_gib_epoch=CREDIT * 1000, quality_clause=CLAUSE.pack()
        )
        assert Clause.unpack(terms.quality_clause) == CLAUSE
        for id in (plain, strict):
            await network.revise(client, provider, id, TREE)
        short: list[Epoch] = []
        for number in range(7):
            epoch = (await observer.now()).epoch
            for id in (plain, strict):
                await network.prove(provider, id, TREE)
            probed = [(p, await _mine(network, p, epoch)) for p in (client, *others)]
            await network.epoch()
            for place, (player, mine) in enumerate(probed):
                assert provider.id in mine
                figures = SLOW if number % 2 else QUICK
                # Two epochs have too few reports for a record; one prober always says something else.
                if number >= 5 and place > 1:
                    continue
                await player.chain.report_probes(epoch, [(provider.id, QUICK if place == 0 else figures)])
            if number % 2 and number < 5:
                short.append(epoch)
        await network.jump_to_second_half()
        await client.chain.settle([plain, strict])

        epoch = (await observer.now()).epoch
        records = (await observer.quality_records([provider.id, client.id], Epoch(epoch - 8), epoch))[provider.id]
        assert [r.figures if r else None for r in records[-7:]] == [QUICK, SLOW, QUICK, SLOW, QUICK, None, None]
        assert [r.reports for r in records if r] == [4] * 5
        newest, reports = await observer.probe_reports(provider.id)
        assert (newest, [r.member for r in reports]) == (epoch - 1, [client.id, others[0].id])
        report = await audit_quality(observer, member=provider.id)
        assert report["verified"]
        assert {row["epoch"] for row in report["records"] if row["median"] is None} == {epoch - 2, epoch - 1}
        assert [[r["disputed"] for r in row["reports"]] for row in report["records"] if row["epoch"] in short] == [
            [True, False, False, False]
        ] * len(short)
        rows = {row["agreement"]: row for row in await audit_agreements(observer)}
        assert all(row["verified"] for row in rows.values())
        # Pay of an epoch: 24 KiB at 1,000 credits a GiB. The first two epochs had no frozen revision yet.
        whole = -(-24 * 1024 * CREDIT * 1000 // (1 << 30))
        proven_short = sum(e >= short[0] for e in short)
        difference = _micro(rows["0x" + plain.hex()]["paid"]) - _micro(rows["0x" + strict.hex()]["paid"])
        (withheld,) = report["withheld"]
        judged = [e for e in short if e >= terms.start_epoch + 2]
        assert difference == len(judged) * (whole - whole * 60 // 100) == _micro(withheld["withheld"])
        assert 0 < len(judged) <= proven_short
        assert withheld["epochs"] == len(judged)
    finally:
        await network.close()


async def test_reports_that_were_not_due_are_refused_and_hold_nothing_up(tmp_path: Path) -> None:
    network = await _started(tmp_path, committee=1, names=6)
    try:
        epoch = (await network.observer.now()).epoch
        drawn_for = {player.id: await _mine(network, player, epoch) for player in network.players}
        await network.epoch()
        for player in network.players:
            others = [other.id for other in network.players if other is not player]
            mine = drawn_for[player.id]
            if mine == others:
                continue
            with pytest.raises(Reverted) as caught:
                await player.chain.report_probes(epoch, [(other, QUICK) for other in others])
            assert caught.value.name == "NotDrawn"
        found = {p.id: await network.observer.probe_reports(p.id) for p in network.players}
        for player in network.players:
            reported = [provider for provider, (_, reports) in found.items() if player.id in _members(reports)]
            assert reported == drawn_for[player.id], "those that were due arrived all the same"
        assert (await audit_quality(network.observer))["verified"]
        await network.jump_to_second_half()
        with pytest.raises(Reverted) as caught:
            await network.players[0].chain.report_probes(epoch, [(network.players[1].id, QUICK)])
        assert caught.value.name == "ReportsClosed"
    finally:
        await network.close()


async def test_attack_a_contract_that_records_falsely_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = await _started(tmp_path, committee=16, names=4)
    try:
        provider, *probers = network.players
        epoch = (await network.observer.now()).epoch
        await network.epoch()
        for prober in probers:
            await prober.chain.report_probes(epoch, [(provider.id, QUICK)])
        await network.jump_to_second_half()
        assert not (await read_evidence(network.observer)).false_records
        key = (provider.id, epoch)

        def forged(change: str) -> None:
            async def read(chain: Chain) -> object:
                evidence = await original(chain.contracts, (await chain.now()).block)
                past = evidence.quality
                if change == "median":
                    past.told[key] = QualityRecord(SLOW, 3)
                elif change == "missing":
                    past.reports[key].pop()
                elif change == "stranger":
                    past.reports[key][0] = ProbeReport(MemberId(99), QUICK)
                elif change == "entity":
                    evidence.entities[probers[0].id] = evidence.entities[probers[1].id]
                return evidence

            monkeypatch.setattr("peerage_chain.evidence.read_history", lambda contracts, block: read(network.observer))

        from peerage_chain.told import read_history as original

        for change in ("median", "missing", "stranger", "entity"):
            forged(change)
            assert (await read_evidence(network.observer)).false_records == {key}, change
    finally:
        await network.close()


def test_a_clause_is_a_word_and_back() -> None:
    for seed in range(2000):
        r = random.Random(seed)
        clause = Clause(r.getrandbits(32), r.getrandbits(32), r.getrandbits(r.choice((0, 8, 32))), r.randint(1, 100))
        word = clause.pack()
        assert len(word) == 32
        assert Clause.unpack(word) == clause
        broken = bytearray(word)
        broken[r.choice((0, *range(14, 32)))] ^= r.randint(1, 255)
        with pytest.raises(ValueError, match="quality clause"):
            Clause.unpack(bytes(broken))
    assert Clause.unpack(ZERO32) is None
    for percent in (0, 101):
        with pytest.raises(ValueError, match="withholds"):
            Clause(1, 1, 1, percent).pack()
    with pytest.raises(ValueError, match="out of range"):
        Figures(1, 1, 1, 101)


def test_the_draw_is_uniform_and_its_size_is_the_committees() -> None:
    """Against the binomial distribution: how often a provider has so many probers, by chi-square."""
    members, committee, epochs = 40, 5, 2500
    r = random.Random(11)
    counts = [0] * (members + 1)
    for _ in range(epochs):
        seed = r.randbytes(32)
        counts[sum(drawn(seed, r.randbytes(20), MemberId(7), members, committee) for _ in range(members))] += 1
    p = committee / members
    expected = [epochs * math.comb(members, k) * p**k * (1 - p) ** (members - k) for k in range(members + 1)]
    cells = [k for k in range(members + 1) if expected[k] >= 8]
    chi = sum((counts[k] - expected[k]) ** 2 / expected[k] for k in cells)
    assert chi < len(cells) + 5 * math.sqrt(2 * len(cells)), (chi, cells)
    assert not drawn(bytes(32), bytes(20), MemberId(1), 0, 16)


def test_attack_a_coalition_moves_the_median_as_often_as_the_table_says() -> None:
    """node/spec/quality.md: the odds that k of n members, all drawn alike, have half of a provider's reports."""
    r = random.Random(5)
    n, committee, rounds = 20, 5, 20_000
    for k in (2, 4, 6):
        moved = judged = 0
        for _ in range(rounds):
            friends = sum(r.random() < committee / n for _ in range(k))
            honest = sum(r.random() < committee / n for _ in range(n - 1 - k))
            if friends + honest < 3:
                continue
            judged += 1
            reports = [Figures(10**6, 10**6, 1, 100)] * friends + [Figures(100, 100, 20, 90)] * honest
            record = median(reports)
            assert record is not None
            moved += record.figures.down_kib_s != 100
        assert abs(moved / judged - raising_odds(n, k, committee)) < 0.01, k


def raising_odds(n: int, k: int, committee: int) -> float:
    """P(friends > honest | at least three reports), friends of k, honest of n - 1 - k, each drawn by committee / n."""
    p = committee / n

    def binomial(size: int, hits: int) -> float:
        return math.comb(size, hits) * p**hits * (1 - p) ** (size - hits)

    pairs = [(f, h) for f in range(k + 1) for h in range(n - k) if f + h >= 3]
    weights = {(f, h): binomial(k, f) * binomial(n - 1 - k, h) for f, h in pairs}
    return sum(w for (f, h), w in weights.items() if f > h) / sum(weights.values())


def test_disputes_have_the_bounds_that_the_page_says() -> None:
    record = QualityRecord(Figures(100, 100, 100, 80), 3)
    for figures, far in (
        (Figures(50, 200, 200, 55), False),
        (Figures(49, 100, 100, 80), True),
        (Figures(100, 201, 100, 80), True),
        (Figures(100, 100, 201, 80), True),
        (Figures(100, 100, 50, 80), False),
        (Figures(100, 100, 49, 80), True),
        (Figures(100, 100, 100, 54), True),
    ):
        assert disputed(figures, record) is far, figures
    assert not disputed(Figures(100, 100, 55, 80), QualityRecord(Figures(100, 100, 5, 80), 3)), "within 50 ms"


def _members(reports: tuple[ProbeReport, ...]) -> list[MemberId]:
    return [report.member for report in reports]


def _micro(text: str) -> int:
    whole, part = text.split(".")
    return int(whole) * CREDIT + int(part)
