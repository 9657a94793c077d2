"""A provider that is slowed down, and a friend that praises it: what the chain records, and where new data goes."""

from __future__ import annotations

import asyncio
import random
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.devnet.conftest import Devnet

from peerage.keys.keystore import Keystore
from peerage.keys.onion import Onion
from peerage.store.home import Home
from peerage_chain.client import Chain
from peerage_chain.errors import ChainFault
from peerage_chain.quality import Figures
from peerage_chain.types import Epoch, MemberId

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(600)]

EPOCH_S = 6
SLOW, FRIEND, OWNER = 8, 7, 1
SLOWED_KIB_S = 512
PRAISE = Figures(5_000_000, 5_000_000, 1, 100)


@contextmanager
def friend(devnet: Devnet) -> Iterator[list[Epoch]]:
    """Software of the friend's own, in place of its node: it beats, and praises SLOW whenever it is drawn for it.

    Gives the epochs of the reports that the chain took.
    """
    praised: list[Epoch] = []
    over = threading.Event()
    home = Home(devnet.directory / f"node{FRIEND}")
    keystore = Keystore.open(home.read_file(home.keystore), "")
    onion, config = Onion(keystore.onion_seed), home.config()

    async def one_epoch(chain: Chain) -> None:
        now = await chain.now()
        if not now.beats_open or await chain.last_beat(MemberId(FRIEND)) == now.epoch:
            return
        tip, _ = await chain.beacon_tip(MemberId(FRIEND))
        link = onion.predecessor(tip)
        drawing = await chain.drawing(Epoch(now.epoch - 1))
        await chain.beat(MemberId(FRIEND), link)
        if drawing is not None and drawing.draws(link, MemberId(SLOW)):
            await chain.report_probes(drawing.epoch, [(MemberId(SLOW), PRAISE)])
            praised.append(drawing.epoch)

    async def play() -> None:
        async with await Chain.connect(devnet.rpc, config.directory, node_key=keystore.node_key) as chain:
            while not over.is_set():
                with suppress(ChainFault):  # a beat or a report that came too late
                    await one_epoch(chain)
                await asyncio.sleep(0.3)

    thread = threading.Thread(target=lambda: asyncio.run(play()))
    thread.start()
    try:
        yield praised
    finally:
        over.set()
        thread.join()


def records_of(devnet: Devnet, member: int) -> list[dict[str, Any]]:
    (found,) = [p for p in devnet.node(OWNER, "quality")["providers"] if p["member"] == member]
    records: list[dict[str, Any]] = found["records"]
    return records


def quality_of(devnet: Devnet, member: int) -> float:
    (found,) = [p for p in devnet.node(OWNER, "quality")["providers"] if p["member"] == member]
    return float(found["quality"]) if found["known"] else -1.0


def leaves_at(devnet: Devnet) -> dict[int, int]:
    """What the owner keeps with each provider."""
    held: dict[int, int] = {}
    for a in devnet.node(OWNER, "agreements")["agreements"]:
        if a["client"] == OWNER:
            held[a["provider"]] = held.get(a["provider"], 0) + a["leaves"]
    return held


def test_attack_a_slow_provider_is_praised_by_a_friend(make_devnet: Callable[..., Devnet], tmp_path: Path) -> None:
    devnet = make_devnet(8, EPOCH_S)
    slow = Home(devnet.directory / f"node{SLOW}")
    rate = f"{SLOWED_KIB_S}KiB/s"
    text = slow.read_text(slow.config_path)
    slow.write_file(slow.config_path, f'limits = [{{ up = "{rate}", down = "{rate}" }}]\n{text}'.encode())
    devnet.ok("devnet", "kill", f"node{FRIEND}", "--home", devnet.directory)
    source = tmp_path / "source"
    source.mkdir()
    (source / "first").write_bytes(random.Random(0).randbytes(400_000))

    for key, value in (("take.min_bandwidth_kib_s", 2 * SLOWED_KIB_S), ("take.withheld_percent", 30)):
        devnet.node(OWNER, "policy", "set", key, str(value))

    with friend(devnet) as praised:
        for number in (1, 2, 3, 4, 5, 6):  # so that each has an agreement with the slow one
            devnet.node(number, "backup", source)

        def too_few() -> list[Epoch]:
            recorded = {r["epoch"] for r in records_of(devnet, SLOW)}
            both = [epoch for epoch in praised if epoch in recorded]
            return [] if len(both) >= 4 else [*both, Epoch(0)]

        devnet.until(too_few, epochs=40)
        recorded = {r["epoch"]: r for r in records_of(devnet, SLOW)}

        # The median on chain is the truth within a fifth, though the friend praised.
        lied = [recorded[epoch] for epoch in praised if epoch in recorded]
        for figure in ("down_kib_s", "up_kib_s"):
            found = statistics.median(record[figure] for record in lied)
            assert 0.8 * SLOWED_KIB_S <= found <= 1.2 * SLOWED_KIB_S, (figure, lied)
        others = [r["down_kib_s"] for m in (2, 3, 4, 5, 6) for r in records_of(devnet, m)]
        assert statistics.median(others) >= 10 * SLOWED_KIB_S, "slowed to a tenth, or less"
        audited = devnet.audit("quality", "--member", str(SLOW))
        assert audited["verified"]
        told = {row["epoch"]: row for row in audited["records"] if row["median"] is not None}
        for epoch in set(praised) & told.keys():
            assert [r["disputed"] for r in told[epoch]["reports"] if r["member"] == FRIEND] == [True]

        # The owner's terms withhold pay for it, and the auditor derives the same amounts.
        def nothing_withheld() -> bool:
            audited = devnet.audit("quality")
            assert audited["verified"]
            return SLOW not in [row["provider"] for row in audited["withheld"]]

        devnet.until(nothing_withheld, epochs=20)

        # Placement moves away from it: less than half of what any other provider gets.
        devnet.until(lambda: not 0 <= quality_of(devnet, SLOW) < 0.3, epochs=10)
        before = leaves_at(devnet)
        for number in range(10):
            (source / f"more {number}").write_bytes(random.Random(number).randbytes(600_000))
            devnet.node(OWNER, "backup", source)
        devnet.until(lambda: devnet.node(OWNER, "status")["records_waiting"], epochs=10)
        got = {m: leaves - before.get(m, 0) for m, leaves in leaves_at(devnet).items() if m != FRIEND}
        assert got[SLOW] < min(leaves for m, leaves in got.items() if m != SLOW) / 2, got
