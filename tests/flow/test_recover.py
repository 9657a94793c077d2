"""What recovery does before it has anything: it waits for those that are there, and believes no head unchecked."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.flow.network import CLIENT, DOMAIN, BookLedger, ShelfPeers, member, network

from peerage.errors import PeerUnavailable
from peerage.flow import recover
from peerage.flow.backup import backup
from peerage.flow.context import silent
from peerage.keys.words import new_words, wrap_key
from peerage.model import MemberId
from peerage.seal.keys import wrap

WORDS = new_words(bytes(range(32)))


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recover, "_ASK_AGAIN_S", 0.01)
    monkeypatch.setattr(recover, "KNOWN_WAIT_S", 0.5)
    monkeypatch.setattr(recover, "HEADS_WAIT_S", 0.3)


async def backed_up(tmp_path: Path, context: Any, times: int = 1) -> None:
    (tmp_path / "data").mkdir(exist_ok=True)
    context.wrapped_keys = {0: wrap(b"\x07" * 32, wrap_key(WORDS), 0, os.urandom(12))}
    for n in range(times):
        (tmp_path / "data" / f"{n}.txt").write_text(f"file {n}")
        await backup(context, [os.fsencode(tmp_path / "data")], silent)


async def found(ledger: BookLedger, peers: ShelfPeers, **changes: Any) -> recover.Found:
    anchor = replace(ledger.anchors[(CLIENT, 0)], **changes)
    agreements = list(ledger.agreements.values())
    ring_of = recover.by_words(WORDS)
    return await recover.find_head(
        peers, agreements, member(CLIENT), DOMAIN, anchor.number, anchor.head, ring_of, silent
    )


async def test_the_anchored_head_opens_with_the_words_alone(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        await backed_up(tmp_path, context, 2)
        head = await found(ledger, peers)
        assert (head.head.number, len(head.head.snapshots)) == (2, 2)
        assert head.ring[0].raw == b"\x07" * 32


async def test_a_provider_that_shows_only_the_old_head_is_not_believed(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        await backed_up(tmp_path, context, 2)
        for shelf in peers.shelves.values():
            shelf.heads = [h for h in shelf.heads if h[0] == 1]
        with pytest.raises(PeerUnavailable, match="no head could be had"):
            await found(ledger, peers)
        peers.shelves[MemberId(9)].heads.insert(0, (2, peers.shelves[MemberId(9)].heads[0][1], 2048))
        with pytest.raises(PeerUnavailable, match="no head could be had"):
            await found(ledger, peers)


async def test_a_head_that_is_not_the_anchored_one_is_not_believed(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        await backed_up(tmp_path, context)
        with pytest.raises(PeerUnavailable, match="not the head that the chain anchors"):
            await found(ledger, peers, head=bytes(32))


async def test_a_newer_head_than_the_anchor_is_taken_when_it_is_signed(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        await backed_up(tmp_path, context)
        first = ledger.anchors[(CLIENT, 0)]
        await backed_up(tmp_path, context, 2)
        head = await found(ledger, peers, number=first.number, head=first.head)
        assert head.head.number == 3


async def test_damaged_heads_are_passed_over_for_a_good_one(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        await backed_up(tmp_path, context)
        for id in range(2, 9):
            peers.shelves[MemberId(id)].rotten = True
        assert (await found(ledger, peers)).head.number == 1


async def test_providers_that_do_not_know_the_key_yet_are_waited_for_and_dead_ones_are_not(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        await backed_up(tmp_path, context)
        peers.shelves[MemberId(2)].unknown = 5
        peers.shelves[MemberId(3)].away = 3
        peers.shelves[MemberId(4)].down = True
        said: list[dict[str, Any]] = []
        await recover.until_known(peers, list(ledger.agreements.values()), said.append)
        assert (peers.shelves[MemberId(2)].unknown, peers.shelves[MemberId(3)].away) == (0, 0)
        assert [e["event"] for e in said] == ["note"]


async def test_one_that_never_learns_is_left_behind_in_the_end(tmp_path: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        await backed_up(tmp_path, context)
        peers.shelves[MemberId(2)].unknown = 10**9
        said: list[dict[str, Any]] = []
        await recover.until_known(peers, list(ledger.agreements.values()), said.append)
        assert "members 2 do not answer" in said[-1]["message"]
