"""What `policy check` says of the hours, and a served body that keeps to them."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import datetime

from tests.fakes import Network, terms_between

from peerage.daemon.limits import Sharing
from peerage.deal.policy import Policy
from peerage.flow.sharing import below_promise, shared
from peerage.model import MIB
from peerage.net.throttle import Throttle
from peerage.shard.tree import object_tree
from peerage_chain.quality import Clause


def test_the_rate_of_now_and_the_next_change_are_told() -> None:
    policy = Policy().set("give.time_zone", "Europe/Paris").set("give.hours", "08:00-18:00 up=512")
    told = shared(policy.give, int(datetime.fromisoformat("2026-01-15T12:00+01:00").timestamp()))
    assert told == {
        "time_zone": "Europe/Paris",
        "now": {"at": "2026-01-15T12:00+01:00", "up_kib_s": 512, "down_kib_s": None},
        "next": {"at": "2026-01-15T18:00+01:00", "up_kib_s": None, "down_kib_s": None},
        "promised_kib_s": 512,
    }
    assert shared(Policy().give, 0)["next"] is None


async def test_hours_below_what_an_agreement_promises_are_warned_of(network: Network) -> None:
    client, provider = await network.add(listen=False), await network.add(listen=False)
    clause = Clause(min_down_kib_s=1000, min_up_kib_s=200, max_latency_ms=0, withheld_percent=30).pack()
    network.ledger.open_now(replace(terms_between(client, provider, 1 << 28), quality_clause=clause))
    network.ledger.open_now(terms_between(client, provider, 1 << 28, 1))
    infos = await network.ledger.agreements_of(provider.member)

    def warned(hours: str) -> list[str]:
        return below_promise(Policy().set("give.hours", hours).give, infos, provider.member)

    assert warned("") == warned("08:00-18:00 up=1000 down=200") == []
    (line,) = warned("08:00-18:00 up=999 down=500, 20:00-22:00 up=64")
    assert "promises up 1000 KiB/s, down 200 KiB/s" in line
    assert "08:00-18:00 lets it have up 999 KiB/s" in line
    assert len(warned("08:00-18:00 down=199")) == 1
    assert below_promise(Policy().set("give.hours", "08:00-18:00 up=64").give, infos, client.member) == []


async def test_what_is_served_keeps_to_the_hours_and_what_is_fetched_does_not(network: Network) -> None:
    policy = Policy().set("give.hours", "00:00-12:00 up=2048, 12:00-00:00 up=2048")
    sharing = Sharing(lambda: policy.give)
    line = Throttle()
    client, provider, agreement = await network.pair(throttle=line.beside(sharing.up, sharing.down))
    assert client.client is not None
    data = os.urandom(2 * MIB)
    root = object_tree(data).root
    await client.client.put_object(provider.member, agreement, root, data)

    async def seconds() -> float:
        begun_s = time.monotonic()
        assert await client.client.get_object(provider.member, root) == data
        return time.monotonic() - begun_s

    assert 0.95 < await seconds() < 4
    policy = policy.set("give.hours", "")
    assert await seconds() < 0.9, "an edit of the policy counts at once"
