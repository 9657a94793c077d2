"""A policy in force: who it leaves out and says so, which edits it refuses, and what nobody can talk it into."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes import Network as Wired
from tests.fakes import terms_between
from tests.flow.network import NODE_KEY, BookLedger, ShelfPeers, network

from peerage.daemon.policies import Policies
from peerage.deal.decision import Decision
from peerage.deal.negotiate import UNOPENED_MAX
from peerage.deal.policy import Policy, offer_of
from peerage.errors import TooFewProviders
from peerage.flow.context import NodeContext
from peerage.flow.feasible import feasible
from peerage.flow.room import Room
from peerage.model import AgreementId, Epoch, MemberId
from peerage.store.home import Home
from peerage.wire.refusals import Refusal
from peerage_chain import typed
from peerage_chain.types import GIB, AgreementInfo, AgreementState, Deal, Terms

Net = tuple[NodeContext, BookLedger, ShelfPeers, list[Decision]]


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    with network(tmp_path, 7) as (context, ledger, peers):
        told: list[Decision] = []
        yield replace(context, decided=told.append), ledger, peers, told


def at(ledger: BookLedger, **jurisdictions: str) -> None:
    """Move members, as m3="US"."""
    ledger.members = [replace(m, jurisdiction=jurisdictions.get(f"m{m.id}", m.jurisdiction)) for m in ledger.members]


async def opened(context: NodeContext) -> set[MemberId]:
    await Room(context, lambda _: None).open(1 << 20)
    return {a.provider for a in context.catalogue.agreements()}


async def test_agreements_are_made_only_with_whom_the_policy_allows(net: Net) -> None:
    context, ledger, _, told = net
    at(ledger, m3="US", m4="NO")
    policy = Policy().set("take.jurisdictions_allow", "EEA")
    assert await opened(replace(context, policy=lambda: policy)) == {2, 4, 5, 6, 7}
    (refused,) = [d for d in told if not d.ok]
    assert (refused.member, refused.rule) == (3, "take.jurisdictions_allow")
    assert sorted(d.member for d in told if d.action == "open") == [2, 4, 5, 6, 7]


def fill(ledger: BookLedger, member: int, capacity: int) -> None:
    """Somebody else's agreement with this member."""
    id = AgreementId(bytes([member]) * 32)
    deal = Deal(MemberId(99), MemberId(member), capacity, 1, 0, 0, 0, Epoch(1), Epoch(1000))
    ledger.agreements[id] = AgreementInfo(
        id, deal, AgreementState.ACTIVE, 0, bytes(32), bytes(32), 0, Epoch(1), Epoch(1), 0, 0, 0
    )


async def test_who_has_the_most_left_of_its_offer_is_asked_first_and_who_has_none_not_at_all(net: Net) -> None:
    context, ledger, _, told = net
    offered = ledger.members[1].offer.capacity
    for member, left in ((2, 0), (3, offered // 2), (4, offered // 4), (5, offered // 8), (6, offered // 16)):
        fill(ledger, member, offered - left)
    one_copy = Policy().set("take.code", "1+1")
    assert await opened(replace(context, policy=lambda: one_copy)) == {7, 3, 4, 5}
    (refused,) = [d for d in told if not d.ok]
    assert (refused.member, refused.rule) == (2, "its offer")
    assert "bytes left 0 is below" in refused.reason
    why = {d.member: d.reason for d in told if d.action == "open"}
    gib = offered / GIB
    assert "number 1 of 5 that suit: quality unknown" in why[MemberId(7)]
    assert f"{gib / 2:.1f} of {gib:.1f} GiB left" in why[MemberId(3)]


async def test_a_policy_that_cannot_be_met_is_refused_with_the_numbers(net: Net) -> None:
    context, ledger, _, _ = net
    at(ledger, m2="US", m3="US", m4="US", m5="CH", m6="GB")
    policy = Policy().set("take.jurisdictions_allow", "EEA")
    with pytest.raises(TooFewProviders, match=r"1 of 6 other members suit .* \(5 by take.jurisdictions_allow\)"):
        await feasible(context, policy)
    with pytest.raises(TooFewProviders, match=r"5 by take\.jurisdictions_allow"):
        await opened(replace(context, policy=lambda: policy))
    assert not context.catalogue.agreements()


async def test_what_a_small_network_cannot_meet_anyway_may_be_set(tmp_path: Path) -> None:
    with network(tmp_path, 2) as (context, _, _):
        assert "1 of 1" in await feasible(context, Policy().set("take.min_term_epochs", "48"))
        with pytest.raises(TooFewProviders):
            await feasible(context, Policy().set("take.jurisdictions_allow", "DE"))


async def test_the_quality_floor_leaves_out_who_is_measured_below(net: Net) -> None:
    context, _, _, told = net
    context.catalogue.set_counter("quality:2", 3_000)
    context.catalogue.set_counter("quality:3", 9_000)
    policy = Policy().set("take.min_quality_percent", "50")
    assert await opened(replace(context, policy=lambda: policy)) == {3, 4, 5, 6, 7}
    assert [d.reason for d in told if not d.ok] == ["its quality 30 is below 50"]


async def test_edits_count_at_once_and_wrong_ones_never(net: Net, tmp_path: Path) -> None:
    context = net[0]
    home = Home.create(tmp_path / "home")
    home.write_file(home.policy, Policy().dump().encode())
    policies = Policies(home)
    seen = replace(context, policy=policies.current)
    assert not await policies.reload(seen)

    async def edit(text: str) -> bool:
        await asyncio.sleep(0.01)
        home.policy.write_text(text)
        return await policies.reload(seen)

    assert await edit("[take]\nmax_price_per_gib_epoch = 4000\n")
    assert policies.current().take.max_price_per_gib_epoch == 4000
    for text, trouble in (
        ("[give]\n\n[take]\nmax_price_per_gib_epoch = -1\n", "at line 4"),
        ("[take]\nprice = 3\n", "at line 2"),
        ("[take]\n\nthis is no TOML\n", "line 3"),
        ('[take]\njurisdictions_allow = ["JP"]\n', "6 by take.jurisdictions_allow"),
    ):
        assert not await edit(text)
        assert trouble in policies.trouble
        assert policies.current().take.max_price_per_gib_epoch == 4000
    assert await edit("")
    assert (policies.trouble, policies.current()) == ("", Policy())
    with pytest.raises(TooFewProviders):
        await policies.change(Policy().set("take.max_price_per_gib_epoch", "1"), seen)
    assert policies.current() == Policy.parse(home.read_text(home.policy)) == Policy()


# --- attacks ----------------------------------------------------------------------------------------------------------


class Swindler:
    """Answers a proposal with other terms, signed or not."""

    def __init__(self, signs: bool, **changed: object) -> None:
        self.signs, self.changed, self.asked = signs, changed, 0

    async def propose(self, _id: MemberId, terms: Terms) -> tuple[Terms, bytes | None]:
        self.asked += 1
        other = replace(terms, **self.changed)  # type: ignore[arg-type]
        digest = typed.terms_digest(other, typed.Domain(31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3"))
        return other, typed.sign(NODE_KEY, digest) if self.signs else None


@pytest.mark.parametrize("changed", [{"price_per_gib_epoch": 9_999}, {"collateral": 0}, {"end_epoch": 11}])
async def test_attack_terms_changed_between_proposal_and_signature_are_never_opened(
    net: Net, changed: dict[str, int]
) -> None:
    context, ledger, _, told = net
    with pytest.raises(TooFewProviders, match="it answered a proposal with other terms"):
        await opened(replace(context, peers=Swindler(True, **changed)))  # type: ignore[arg-type]
    assert not ledger.agreements
    assert {(d.ok, d.rule) for d in told} == {(False, "its answer")}


@pytest.mark.parametrize("changed", [{"provider": 99}, {"renews": b"r" * 32}, {"start_epoch": 9}, {"salt": bytes(32)}])
async def test_attack_a_counter_that_changes_what_is_not_open_is_refused(net: Net, changed: dict[str, object]) -> None:
    context, ledger, _, told = net
    peers = Swindler(False, **changed)
    with pytest.raises(TooFewProviders, match="not open to change"):
        await opened(replace(context, peers=peers))  # type: ignore[arg-type]
    assert not ledger.agreements
    assert peers.asked == 6, "nobody is asked twice"
    assert {(d.action, d.ok) for d in told} == {("counter", False)}


async def test_attack_a_provider_that_haggles_for_ever_is_asked_twice(net: Net) -> None:
    context, ledger, _, told = net

    class Haggler(Swindler):
        async def propose(self, id: MemberId, terms: Terms) -> tuple[Terms, bytes | None]:
            self.changed = {"price_per_gib_epoch": terms.price_per_gib_epoch + 1}
            return await super().propose(id, terms)

    peers = Haggler(False)
    with pytest.raises(TooFewProviders):
        await opened(replace(context, peers=peers))  # type: ignore[arg-type]
    assert peers.asked == 12
    assert not ledger.agreements
    assert {d.rule for d in told if not d.ok} == {"its answer"}


async def test_attack_a_member_that_moves_to_a_refused_jurisdiction_gets_nothing_more(net: Net) -> None:
    context, ledger, _, _ = net
    policy = Policy().set("take.jurisdictions_allow", "EEA")
    strict = replace(context, policy=lambda: policy)
    assert 3 in await opened(strict)
    at(ledger, m3="US")
    room = Room(strict, lambda _: None)
    await room.open(1 << 20)
    assert 3 not in {slot.provider for slot in room.heads()}


async def test_attack_a_client_that_floods_with_proposals_piles_up_no_room(tmp_path: Path) -> None:
    wired = Wired(tmp_path)
    try:
        provider = await wired.add(Policy().set("give.capacity_bytes", "10GiB"))
        flooder, other = await wired.add(listen=False), await wired.add(listen=False)
        signed = 0
        for salt in range(200):
            with contextlib.suppress(Refusal):
                terms = terms_between(flooder, provider, GIB, salt=salt)
                signed += (await provider.provider.propose(flooder.info, terms))[1] is not None
        assert signed == UNOPENED_MAX
        _, signature, _ = await provider.provider.propose(other.info, terms_between(other, provider, 8 * GIB))
        assert signature is not None
    finally:
        await wired.close()


async def test_barter_gives_as_much_as_it_takes(tmp_path: Path) -> None:
    wired = Wired(tmp_path)
    try:
        policy = Policy().set("give.barter_percent", "100").set("give.barter_start_bytes", "1GiB")
        provider, client = await wired.add(policy), await wired.add()
        wanted = terms_between(client, provider, 4 * GIB)
        terms, signature, _ = await provider.provider.propose(client.info, wanted)
        assert (terms.capacity, signature) == (GIB, None)
        wired.ledger.open_now(terms_between(provider, client, 3 * GIB))
        assert (await provider.provider.propose(client.info, wanted))[1], "it takes 3 GiB itself now"
    finally:
        await wired.close()


def test_the_offer_follows_the_policy() -> None:
    assert offer_of(Policy().set("give.price_per_gib_epoch", "7")).price_per_gib_epoch == 7
