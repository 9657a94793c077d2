"""The negotiation's table of states in node/spec/wire.md: every row happens between a real client and a real provider,
and there is no other."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.fakes import DOMAIN, Network, Peer, terms_between

from peerage.deal.decision import Decision
from peerage.deal.negotiate import START_AHEAD_EPOCHS
from peerage.deal.policy import Policy
from peerage.errors import PeerRefused
from peerage.flow.agree import agree
from peerage.flow.context import NodeContext, silent
from peerage.model import MIB
from peerage.seal.keys import KeyRing
from peerage.store.catalogue import Catalogue
from peerage.wire.refusals import RefusalCode
from peerage_chain.types import GIB, Terms

WIRE = Path(__file__).parents[2] / "node" / "spec" / "wire.md"
Row = tuple[str, str]


@dataclass
class Talk:
    network: Network
    client: Peer
    provider: Peer
    context: NodeContext
    told: list[Decision]
    sent: list[Terms]

    async def agree(self, **policy: str) -> None:
        wanted = Policy()
        for key, value in policy.items():
            wanted = wanted.set(f"take.{key}", value)
        self.context = replace(self.context, policy=lambda: wanted)
        await agree(self.context, self.provider.info, 2 * GIB, silent)

    async def ask(self, capacity: int, salt: int = 1) -> bytes | None:
        terms = terms_between(self.client, self.provider, capacity, salt=salt)
        return (await self.client.client.propose(self.provider.member, terms))[1]


@pytest.fixture
async def talk(network: Network, tmp_path: Path) -> AsyncIterator[Talk]:
    provider, client = await network.add(Policy().set("give.capacity_bytes", "4GiB")), await network.add(listen=False)
    told: list[Decision] = []
    sent: list[Terms] = []
    assert client.client is not None
    usual = client.client.propose

    async def propose(member: int, terms: Terms) -> tuple[Terms, bytes | None]:
        sent.append(terms)
        return await usual(member, terms)  # type: ignore[arg-type]

    client.client.propose = propose  # type: ignore[method-assign,assignment]
    with ThreadPoolExecutor(1) as workers:
        context = NodeContext(
            client.member, client.node_key, DOMAIN, Catalogue(tmp_path / "c.sqlite"), network.ledger, client.client,
            KeyRing({0: bytes(32)}), {}, Policy, workers, os.urandom, lambda: 0, decided=told.append,
        )  # fmt: skip
        yield Talk(network, client, provider, context, told, sent)
        context.catalogue.close()


async def finds_and_proposes(talk: Talk) -> None:
    await talk.agree()
    offer = talk.provider.info.offer
    assert [t.price_per_gib_epoch for t in talk.sent] == [offer.price_per_gib_epoch]
    with pytest.raises(PeerRefused, match="our policy refuses it"):
        await talk.agree(max_price_per_gib_epoch=str(offer.price_per_gib_epoch - 1))
    assert len(talk.sent) == 1, "who does not suit is not asked"


async def is_refused(talk: Talk) -> None:
    with pytest.raises(PeerRefused, match="capacity is below") as caught:
        await talk.ask(MIB // 2)
    assert caught.value.code == RefusalCode.BAD_TERMS.value


async def is_countered(talk: Talk) -> None:
    assert await talk.ask(8 * GIB) is None


async def is_signed_and_reserved(talk: Talk) -> None:
    assert await talk.ask(3 * GIB)
    other = await talk.network.add(listen=False)
    answer, signature, _ = await talk.provider.provider.propose(
        other.info, terms_between(other, talk.provider, 3 * GIB)
    )
    assert (answer.capacity, signature) == (GIB, None)


async def takes_the_counter_once(talk: Talk) -> None:
    other = await talk.network.add(listen=False)
    talk.network.ledger.open_now(terms_between(other, talk.provider, 3 * GIB))
    await talk.agree()
    assert [t.capacity for t in talk.sent] == [2 * GIB, GIB]
    assert [(d.action, d.ok) for d in talk.told] == [("counter", True), ("open", True)]


async def leaves_the_counter(talk: Talk) -> None:
    other = await talk.network.add(listen=False)
    talk.network.ledger.open_now(terms_between(other, talk.provider, 3 * GIB))
    with pytest.raises(PeerRefused, match="capacity 1073741824 is below 2147483648"):
        await talk.agree(min_agreement_bytes="2GiB")
    assert len(talk.sent) == 1
    assert [(d.action, d.ok, d.rule) for d in talk.told] == [("counter", False, "take.min_agreement_bytes")]


async def opens_on_chain(talk: Talk) -> None:
    await talk.agree()
    (info,) = talk.network.ledger.infos.values()
    assert info.terms.capacity == 2 * GIB
    assert await talk.ask(2 * GIB), "the reservation has become the agreement: it is not counted twice"


async def expires(talk: Talk) -> None:
    assert await talk.ask(4 * GIB)
    talk.network.ledger.epoch += START_AHEAD_EPOCHS + 1
    await asyncio.sleep(0.6)
    other = await talk.network.add(listen=False)
    signed = await talk.provider.provider.propose(other.info, terms_between(other, talk.provider, 4 * GIB))
    assert signed[1]


ROWS: dict[Row, Callable[[Talk], Awaitable[None]]] = {
    ("–", "proposed"): finds_and_proposes,
    ("proposed", "refused"): is_refused,
    ("proposed", "countered"): is_countered,
    ("proposed", "signed"): is_signed_and_reserved,
    ("countered", "proposed"): takes_the_counter_once,
    ("countered", "refused"): leaves_the_counter,
    ("signed", "open"): opens_on_chain,
    ("signed", "expired"): expires,
}


def test_the_page_has_these_rows_and_no_other() -> None:
    section = WIRE.read_text(encoding="utf-8").split("## Negotiation", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (\S+) \| [^|]+ \| (\w+) \| ", section, re.MULTILINE)
    assert [row for row in rows if row != ("state", "next")] == list(ROWS)


@pytest.mark.parametrize("row", list(ROWS), ids=lambda row: f"{row[0]}-{row[1]}")
async def test_each_row_happens(talk: Talk, row: Row) -> None:
    await ROWS[row](talk)


async def test_attack_floods_of_tiny_agreements_are_refused_before_any_room_is_kept(talk: Talk) -> None:
    for salt in range(50):
        with pytest.raises(PeerRefused, match="capacity is below"):
            await talk.ask(1024, salt)
    assert await talk.ask(4 * GIB)


async def test_attack_two_clients_at_once_are_not_promised_the_same_room(talk: Talk) -> None:
    clients = [await talk.network.add(listen=False) for _ in range(8)]
    answers = await asyncio.gather(
        *(talk.provider.provider.propose(c.info, terms_between(c, talk.provider, 3 * GIB)) for c in clients)
    )
    assert sum(terms.capacity for terms, signature, _ in answers if signature) == 3 * GIB
