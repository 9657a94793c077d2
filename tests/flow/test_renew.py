"""Agreements go on before they end, grow when they are full, or run out and are left in time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes import Network as Wired
from tests.fakes import terms_between
from tests.flow.network import NODE_KEY, BookLedger, Shelf, ShelfPeers, member, network
from tests.flow.test_backup_restore import make_tree
from tests.flow.test_repair import agreement_with, fullest, shards_at

from peerage.deal.decision import Decision
from peerage.deal.policy import Policy, offer_of
from peerage.errors import PeerFault, PeerRefused
from peerage.flow.backup import backup
from peerage.flow.context import NodeContext, silent
from peerage.flow.health import health_of
from peerage.flow.losses import find_losses
from peerage.flow.renew import renew
from peerage.flow.repair import repair
from peerage.flow.room import Room
from peerage.flow.watch import watch
from peerage.model import AgreementId, MemberId
from peerage_chain import typed
from peerage_chain.types import GIB, Amendment, Epoch

Net = tuple[NodeContext, BookLedger, ShelfPeers, list[Decision]]


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Net]:
    with network(tmp_path, 5) as (context, ledger, peers):
        told: list[Decision] = []
        context = replace(context, decided=told.append)
        await Room(context, silent).open(1 << 20)
        told.clear()
        yield context, ledger, peers, told


def priced(ledger: BookLedger, member: MemberId, price: int) -> None:
    """What a member offers from now on."""
    ledger.change_member(member, offer=offer_of(Policy().set("give.price_per_gib_epoch", str(price))))


def join(ledger: BookLedger, peers: ShelfPeers, price: int) -> MemberId:
    """Another member, with an offer at that price."""
    ledger.members.append(new := member(len(ledger.members) + 1))
    peers.shelves[new.id] = Shelf()
    priced(ledger, new.id, price)
    return new.id


def last_epoch(ledger: BookLedger) -> int:
    return max(a.terms.end_epoch for a in ledger.agreements.values())


async def test_all_are_renewed_before_their_end(net: Net) -> None:
    context, ledger, _, told = net
    end = last_epoch(ledger)
    assert await renew(context, silent) == 0
    ledger.epoch = end - 168
    assert await renew(context, silent) == 4
    assert {a.terms.end_epoch for a in ledger.agreements.values()} == {end - 168 + 8_760}
    assert {a.end_epoch for a in context.catalogue.agreements()} == {end - 168 + 8_760}
    assert [(d.action, d.ok) for d in told] == [("amend", True)] * 4
    assert await renew(context, silent) == 0


async def test_who_is_measured_below_the_floor_is_not_renewed_nor_asked_again(net: Net) -> None:
    context, ledger, _, told = net
    slow = min(a.terms.provider for a in ledger.agreements.values())
    context.catalogue.set_counter(f"below-floor-since:{slow}", 7)
    ledger.epoch = last_epoch(ledger) - 168
    assert await renew(context, silent) == 3
    assert [(d.member, d.rule) for d in told if not d.ok] == [(slow, "take.replace_after_epochs")]
    ledger.agreements.clear()
    for agreement in context.catalogue.agreements():
        context.catalogue.set_agreement(
            agreement.id, agreement.provider, agreement.capacity, agreement.end_epoch, False, 0, bytes(32)
        )
    await Room(context, silent).open(1 << 20, least=3)
    assert sorted(a.terms.provider for a in ledger.agreements.values()) == [m for m in range(2, 6) if m != slow]


async def test_whom_the_policy_no_longer_wants_runs_out_and_is_left_in_time(tmp_path: Path) -> None:
    with network(tmp_path) as (quiet, ledger, _):
        told: list[Decision] = []
        context = replace(quiet, decided=told.append)
        await backup(context, [os.fsencode(make_tree(tmp_path / "source"))], silent)
        left = fullest(context)
        priced(ledger, left, 20_000)
        held, end = shards_at(context, left), last_epoch(ledger)
        ledger.epoch = end - 100
        assert await renew(context, silent) == 7
        (no,) = [d for d in told if not d.ok]
        assert (no.member, no.rule, no.reason) == (
            left,
            "take.max_price_per_gib_epoch",
            "its price 20000 is above 10000",
        )
        await watch(context)
        assert await repair(context, silent) == 0, "there is time yet"
        ledger.epoch = end - 83
        await watch(context)
        assert (await find_losses(context, silent)).leaving == {
            agreement_with(ledger, left): f"it ends in epoch {end} and was not renewed"
        }
        assert await repair(context, silent) == held
        assert shards_at(context, left) == 0
        assert health_of(context.catalogue).repair_bytes == health_of(context.catalogue).repair_bytes_least
        await backup(context, [os.fsencode(tmp_path / "source")], silent)
        assert shards_at(context, left) == 0, "nothing new goes there either"


@pytest.mark.parametrize("error", [PeerRefused("no", MemberId(2), "policy_refused"), PeerFault("odd", MemberId(2))])
async def test_a_provider_that_says_no_is_asked_again(net: Net, error: Exception) -> None:
    context, ledger, peers, told = net
    ledger.epoch = last_epoch(ledger) - 10

    async def refuse(_id: MemberId, _amendment: Amendment) -> tuple[Amendment, bytes | None]:
        raise error

    usual, peers.amend = peers.amend, refuse  # type: ignore[method-assign]
    assert await renew(context, silent) == 0
    assert {(d.ok, d.rule) for d in told} == {(False, "its answer")}
    peers.amend = usual  # type: ignore[method-assign]
    assert await renew(context, silent) == 4


async def test_attack_an_amendment_changed_before_the_signature_is_never_recorded(net: Net) -> None:
    context, ledger, peers, told = net
    ledger.epoch = last_epoch(ledger) - 10

    async def swindle(_id: MemberId, amendment: Amendment) -> tuple[Amendment, bytes | None]:
        other = replace(amendment, price_per_gib_epoch=9_999)
        return other, typed.sign(NODE_KEY, typed.amendment_digest(other, context.domain))

    peers.amend = swindle  # type: ignore[method-assign]
    assert await renew(context, silent) == 0
    assert {a.amendments for a in ledger.agreements.values()} == {0}
    assert {d.rule for d in told} == {"its answer"}


# --- at the provider, over the wire -----------------------------------------------------------------------------------


async def test_growth_is_signed_over_the_wire_and_reserved_once(tmp_path: Path) -> None:
    wired = Wired(tmp_path)
    try:
        provider = await wired.add(Policy().set("give.capacity_bytes", "10GiB"))
        client, other = await wired.add(listen=False), await wired.add(listen=False)
        id = wired.ledger.open_now(terms := terms_between(client, provider, 2 * GIB))
        wanted = Amendment(
            id, 1, 8 * GIB, terms.price_per_gib_epoch, terms.egress_price_per_gib, terms.collateral,
            terms.min_retention_epochs, terms.end_epoch, Epoch(wired.ledger.epoch + 8),
        )  # fmt: skip
        price = provider.policy.give.price_per_gib_epoch
        counter, signature = await client.client.amend(provider.member, replace(wanted, price_per_gib_epoch=0))
        assert (counter.price_per_gib_epoch, signature) == (price, None)
        wanted = replace(wanted, price_per_gib_epoch=price, egress_price_per_gib=counter.egress_price_per_gib)
        same, signature = await client.client.amend(provider.member, wanted)
        assert same == wanted
        assert signature is not None
        offered, none, _ = await provider.provider.propose(other.info, terms_between(other, provider, 4 * GIB))
        assert (offered.capacity, none) == (2 * GIB, None), "what was signed is not promised again"
        await wired.ledger.amend(wanted, client.sign(typed.amendment_digest(wanted, client.client._domain)), signature)
        offered, none, _ = await provider.provider.propose(other.info, terms_between(other, provider, 4 * GIB))
        assert (offered.capacity, none) == (2 * GIB, None), "what was recorded is counted once"
        with pytest.raises(PeerRefused, match="the next amendment has number 2"):
            await client.client.amend(provider.member, wanted)
        with pytest.raises(PeerRefused, match="no such agreement"):
            await other.client.amend(provider.member, replace(wanted, number=2))
        with pytest.raises(PeerRefused, match="no such agreement"):
            await client.client.amend(provider.member, replace(wanted, agreement=AgreementId(b"x" * 32)))
    finally:
        await wired.close()


async def test_at_its_end_the_worst_provider_makes_room_for_a_clearly_better_one(net: Net) -> None:
    context, ledger, peers, told = net
    newcomer = join(ledger, peers, price=950)
    priced(ledger, MemberId(4), 1_300)
    old = {a.terms.provider: id for id, a in ledger.agreements.items()}
    end = last_epoch(ledger)
    ledger.epoch = end - 168
    assert await renew(context, silent) == 4, "five percent are not worth a move, nor are 27"
    end = last_epoch(ledger)
    ledger.epoch = end - 168
    told.clear()
    priced(ledger, newcomer, 900)
    assert await renew(context, silent) == 3
    assert [(d.action, d.ok, d.member, d.rule) for d in told if d.action == "open" or not d.ok] == [
        ("open", True, newcomer, ""),
        ("amend", False, 4, "take.switch_percent"),
    ]
    assert ledger.agreements[old[MemberId(4)]].terms.end_epoch == end
    ledger.epoch += 1
    assert await renew(context, silent) == 0, "it stays that way, and nobody else goes for the same one"
    room = Room(context, silent)
    await room.open(1 << 20)
    assert sorted(slot.provider for slot in room.heads()) == [2, 3, 5, newcomer], "nothing is added to it"


async def test_without_an_answer_from_the_better_one_the_agreement_is_renewed(net: Net) -> None:
    context, ledger, peers, _ = net
    newcomer = join(ledger, peers, price=100)
    peers.shelves[newcomer].down = True
    ledger.epoch = last_epoch(ledger) - 168
    assert await renew(context, silent) == 4
    peers.shelves[newcomer].down = False
    policy = context.policy().set("take.switch_percent", "0")
    ledger.epoch = last_epoch(ledger) - 168
    assert await renew(replace(context, policy=lambda: policy), silent) == 4, "the policy does not want that"
