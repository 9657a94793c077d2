"""A chain that came back from an older state, seen by a provider with its store, and by a client with its heads."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.flow import network as flows
from tests.flow.test_backup_restore import make_tree
from tests.flow.test_provide import Pair, cosign, digest, pair, put, record, revision_over, roots
from tests.flow.test_repair import agreement_with, fullest, shards_at

from peerage.flow.backup import backup
from peerage.flow.context import NodeContext, silent
from peerage.flow.publish import REVISION_LIFE_EPOCHS
from peerage.flow.publish import record as publish_record
from peerage.flow.repair import repair
from peerage.flow.returned import look_for_anchor, open_again, record_again
from peerage.flow.room import Room
from peerage.flow.watch import watch
from peerage.model import AgreementId
from peerage_chain.errors import Reverted
from peerage_chain.types import ZERO32, Epoch

__all__ = ["pair"]  # fixtures


async def test_a_provider_records_again_what_the_chain_forgot_and_the_client_goes_on(pair: Pair) -> None:
    client, provider, agreement = pair
    ledger, book = client.ledger, provider.store.revisions
    first = await put(pair, 2)
    one = revision_over(pair, first)
    await cosign(pair, one, roots(first))
    await record(pair, one)
    second = await put(pair, 1)
    two = revision_over(pair, first + second, 2, digest(one))
    await cosign(pair, two, roots(second))
    await record(pair, two)
    infos = await provider.provider.refresh()
    assert await record_again(ledger, book.all_of, infos, Epoch(ledger.epoch), silent) == 0

    ledger.change(agreement, sequence=0, revision=ZERO32, root=ZERO32, leaves=0)
    infos = await provider.provider.refresh()
    assert [r.recorded for r in book.all_of(agreement)] == [True, True], "signed is signed, whatever the chain shows"
    assert await record_again(ledger, book.all_of, infos, Epoch(ledger.epoch), silent) == 2
    assert (ledger.infos[agreement].sequence, ledger.infos[agreement].revision) == (2, digest(two))

    third = await put(pair, 1)
    three = revision_over(pair, first + second + third, 3, digest(two))
    await cosign(pair, three, roots(third))
    await record(pair, three)
    infos = await provider.provider.refresh()
    assert await record_again(ledger, book.all_of, infos, Epoch(ledger.epoch), silent) == 0


async def test_what_the_chain_forgot_before_we_saw_it_there_is_recorded_when_it_is_overdue(pair: Pair) -> None:
    client, provider, agreement = pair
    ledger, book = client.ledger, provider.store.revisions
    first = await put(pair, 2)
    one = revision_over(pair, first)
    await cosign(pair, one, roots(first))  # and the client's recording is in the blocks that are gone
    infos = await provider.provider.refresh()
    assert [r.recorded for r in book.all_of(agreement)] == [False]
    young = Epoch(one.expires - REVISION_LIFE_EPOCHS + 1)
    assert await record_again(ledger, book.all_of, infos, young, silent) == 0
    assert await record_again(ledger, book.all_of, infos, Epoch(one.expires + 1), silent) == 0
    assert await record_again(ledger, book.all_of, infos, Epoch(young + 1), silent) == 1
    assert (ledger.infos[agreement].sequence, ledger.infos[agreement].revision) == (1, digest(one))


async def test_of_two_signed_rivals_neither_is_recorded_by_the_provider(pair: Pair) -> None:
    client, provider, _ = pair
    first, second = await put(pair, 2), await put(pair, 1)
    one, other = revision_over(pair, first), revision_over(pair, first + second)
    await cosign(pair, one, roots(first))
    await cosign(pair, other, roots(first + second))
    infos = await provider.provider.refresh()
    overdue = Epoch(one.expires - REVISION_LIFE_EPOCHS + 2)
    assert await record_again(client.ledger, provider.store.revisions.all_of, infos, overdue, silent) == 0


async def test_a_lost_anchor_is_made_again_once(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"kept")
    with flows.network(tmp_path) as (context, ledger, _):
        assert not await look_for_anchor(context, silent), "there is none yet"
        await backup(context, [os.fsencode(source)], silent)
        anchor = ledger.anchors[(1, 0)]
        assert not await look_for_anchor(context, silent)
        ledger.anchors.clear()
        assert await look_for_anchor(context, silent)
        assert not await look_for_anchor(context, silent), "it waits already"
        assert await publish_record(context, silent) == []
        assert (ledger.anchors[(1, 0)].number, ledger.anchors[(1, 0)].head) == (anchor.number, anchor.head)
        assert not await look_for_anchor(context, silent)


async def look(context: NodeContext) -> int:
    """The node's look, once an epoch, for agreements that the chain shows no more."""
    return await open_again(context, await context.ledger.agreements_of(context.member), silent)


async def test_an_agreement_that_the_chain_forgot_is_opened_again_by_the_same_signatures(tmp_path: Path) -> None:
    with flows.network(tmp_path) as (context, ledger, _):
        await Room(context, silent).open(1 << 20)
        known = dict(ledger.agreements)
        assert await look(context) == 0
        forgotten = next(iter(known))
        del ledger.agreements[forgotten]
        assert await look(context) == 0, "an endpoint may lag"
        assert await look(context) == 0
        ledger.epoch += 1
        assert await look(context) == 1
        assert ledger.agreements[forgotten].terms == replace(known[forgotten].terms, start_epoch=Epoch(ledger.epoch))
        ledger.epoch += 1
        assert await look(context) == 0, "once"


async def test_an_endpoint_that_lags_loses_no_agreement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with flows.network(tmp_path) as (context, ledger, _):
        await Room(context, silent).open(1 << 20)
        forgotten, info = ledger.agreements.popitem()

        async def refuse(*_: object) -> AgreementId:
            raise Reverted("AlreadyOpened")

        monkeypatch.setattr(ledger, "open_agreement", refuse)
        for _ in range(4):
            ledger.epoch += 1
            assert await look(context) == 0
        ledger.agreements[forgotten] = info
        assert await look(context) == 0
        assert all(a.live for a in context.catalogue.agreements())


async def test_an_agreement_that_can_no_longer_be_opened_is_over_and_its_shards_go_elsewhere(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    with flows.network(tmp_path) as (context, ledger, _):
        await backup(context, [os.fsencode(source)], silent)
        victim = fullest(context)
        forgotten, held = agreement_with(ledger, victim), shards_at(context, victim)
        info = ledger.agreements.pop(forgotten)
        ledger.epoch += 20
        assert await look(context) == 0
        ledger.epoch += 1
        assert await look(context) == 0
        assert [a.id for a in context.catalogue.agreements() if not a.live] == [forgotten]
        assert await repair(context, silent) == held
        assert await look(context) == 0, "nothing more to say of it"
        ledger.agreements[forgotten] = info
        await watch(context)
        assert all(a.live for a in context.catalogue.agreements()), "it is back after all"
