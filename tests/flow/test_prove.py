"""The provider's side of time: what is sent when, and what is not sent twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from peerage.errors import IntegrityError
from peerage.flow.prove import answer_demands, beat, prove, settle
from peerage.keys.onion import Onion
from peerage.model import AgreementId, Epoch, MemberId
from peerage_chain.errors import Reverted
from peerage_chain.types import (
    AgreementInfo,
    AgreementState,
    ChainTime,
    Challenge,
    Deal,
    Demand,
    DemandState,
    Loss,
    Sample,
)

ME, OTHER = MemberId(2), MemberId(1)
ONION = Onion(b"\x05" * 32)
TIME = ChainTime(100, 1000, Epoch(20), 999, 10)


def agreement(n: int, client: MemberId = OTHER, provider: MemberId = ME, **changes: Any) -> AgreementInfo:
    terms = Deal(client, provider, 1 << 30, 1, 0, 0, 0, Epoch(1), Epoch(1000))
    info = AgreementInfo(
        AgreementId(bytes([n]) * 32), terms, AgreementState.ACTIVE, 3, bytes(32), b"r" * 32, 64, Epoch(4),
        Epoch(18), 10, 10, 0,
    )  # fmt: skip
    return replace(info, **changes)


@dataclass
class Journal:
    """A ledger that notes what it is sent. refuse: agreements whose proofs it does not take."""

    agreements: list[AgreementInfo] = field(default_factory=list)
    tip: bytes = bytes(20)
    effective: int = 0
    beaten: int = 20
    copied: bool = False
    not_due: set[AgreementId] = field(default_factory=set)
    refuse: set[AgreementId] = field(default_factory=set)
    sent: list[tuple[str, Any]] = field(default_factory=list)
    demands: list[Demand] = field(default_factory=list)
    closed: set[int] = field(default_factory=set)
    loss: Loss | None = None

    async def loss_of(self, id: AgreementId) -> Loss | None:
        return self.loss

    async def beacon_tip(self, member: MemberId) -> tuple[bytes, Epoch]:
        return self.tip, Epoch(self.effective)

    async def commit_tip(self, tip: bytes) -> None:
        self.sent.append(("commit", tip))

    async def beat(self, member: MemberId, link: bytes) -> None:
        assert member == ME
        if self.copied:
            raise Reverted("AlreadyBeat", {})
        self.sent.append(("beat", link))

    async def last_beat(self, member: MemberId) -> Epoch:
        return Epoch(self.beaten)

    async def agreements_of(self, member: MemberId) -> list[AgreementInfo]:
        return self.agreements

    async def open_challenges(self, ids: list[AgreementId], epoch: Epoch) -> list[Challenge]:
        return [Challenge(id, epoch, True, b"s" * 32, 3, b"r" * 32, 64, (1, 2)) for id in ids if id not in self.not_due]

    async def prove(self, proofs: list[tuple[AgreementId, Any]]) -> None:
        if any(id in self.refuse for id, _ in proofs):
            raise Reverted("WrongLeaf", {})
        self.sent.append(("prove", [id for id, _ in proofs]))

    async def open_demands(self, provider: MemberId) -> list[Demand]:
        return self.demands

    async def answer_demand(self, number: int, samples: tuple[Sample, ...]) -> None:
        if number in self.closed:
            raise Reverted("NotOpen", {})
        self.sent.append(("answer", (number, len(samples))))

    async def settle(self, ids: list[AgreementId]) -> None:
        self.sent.append(("settle", list(ids)))


class Disk:
    def __init__(self, damaged: set[AgreementId] | None = None) -> None:
        self.damaged = damaged or set()

    def samples_for(self, challenge: Challenge) -> tuple[Sample, ...]:
        if challenge.agreement in self.damaged:
            raise IntegrityError("a leaf is not what was stored")
        return tuple(Sample(bytes(1024), ()) for _ in challenge.indices)


async def direct(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def silent(_: object) -> None: ...


async def test_a_node_commits_first_and_beats_with_the_predecessor_once_it_is_in_effect() -> None:
    ledger: Any = Journal()
    assert not await beat(ledger, ME, ONION, TIME)
    assert ledger.sent == [("commit", ONION.tip)]
    ledger.tip, ledger.effective, ledger.sent = ONION.tip, 21, []
    assert not await beat(ledger, ME, ONION, TIME)
    assert ledger.sent == []
    ledger.effective = 20
    assert await beat(ledger, ME, ONION, TIME)
    assert ledger.sent == [("beat", ONION.predecessor(ONION.tip))]


async def test_a_link_that_another_sent_first_is_our_beat() -> None:
    ledger: Any = Journal(tip=ONION.tip, copied=True)
    assert await beat(ledger, ME, ONION, TIME)


async def test_no_beat_is_sent_after_half_of_the_epoch() -> None:
    ledger: Any = Journal(tip=ONION.tip)
    assert not await beat(ledger, ME, ONION, replace(TIME, timestamp_s=1004))
    assert ledger.sent == []


async def test_a_recovered_node_replaces_a_tip_that_its_onion_does_not_hold() -> None:
    ledger: Any = Journal(tip=b"\x77" * 20)
    await beat(ledger, ME, ONION, TIME)
    assert ledger.sent == [("commit", ONION.tip)]


async def test_many_agreements_are_proven_together_and_none_twice() -> None:
    ledger: Any = Journal([agreement(n) for n in range(1, 11)])
    done: set[tuple[AgreementId, Epoch]] = set()
    assert await prove(ledger, ME, Disk(), Epoch(20), done, direct, silent) == 10
    assert [len(ids) for _, ids in ledger.sent] == [8, 2]
    assert await prove(ledger, ME, Disk(), Epoch(20), done, direct, silent) == 0
    assert len(ledger.sent) == 2


async def test_nothing_is_proven_before_the_beat_of_the_epoch() -> None:
    ledger: Any = Journal([agreement(1)], beaten=19)
    done: set[tuple[AgreementId, Epoch]] = set()
    assert await prove(ledger, ME, Disk(), Epoch(20), done, direct, silent) == 0
    assert (ledger.sent, done) == ([], set())
    ledger.beaten = 20
    assert await prove(ledger, ME, Disk(), Epoch(20), done, direct, silent) == 1


async def test_what_is_not_ours_or_not_live_or_empty_or_not_due_is_not_proven() -> None:
    ledger: Any = Journal(
        [
            agreement(1, client=ME, provider=OTHER),
            agreement(2, state=AgreementState.FAILED),
            agreement(3, leaves=0),
            agreement(4),
        ],
        not_due={AgreementId(bytes([4]) * 32)},
    )
    assert await prove(ledger, ME, Disk(), Epoch(20), set(), direct, silent) == 0
    assert ledger.sent == []


async def test_damage_is_said_and_costs_only_its_own_agreement() -> None:
    bad = AgreementId(bytes([2]) * 32)
    said: list[dict[str, Any]] = []
    ledger: Any = Journal([agreement(n) for n in (1, 2, 3)])
    assert await prove(ledger, ME, Disk({bad}), Epoch(20), set(), direct, said.append) == 2
    assert bad not in ledger.sent[0][1]
    assert "cannot be proven" in said[0]["message"]


async def test_a_refused_proof_costs_only_itself() -> None:
    bad = AgreementId(bytes([2]) * 32)
    ledger: Any = Journal([agreement(n) for n in (1, 2, 3)], refuse={bad})
    assert await prove(ledger, ME, Disk(), Epoch(20), set(), direct, silent) == 2
    assert [ids for _, ids in ledger.sent] == [[bytes([1]) * 32], [bytes([3]) * 32]]


async def test_providers_settle_now_and_then_and_clients_when_a_proof_was_missed() -> None:
    ours = agreement(1, client=ME, provider=OTHER, settled_through=Epoch(17))
    ledger: Any = Journal([agreement(2, settled_through=Epoch(15)), agreement(3, settled_through=Epoch(17)), ours])
    assert await settle(ledger, ME, Epoch(20), set(), silent) == 1
    assert ledger.sent == [("settle", [bytes([2]) * 32])]
    assert await settle(ledger, ME, Epoch(20), {ours.id}, silent) == 2


def demand(number: int) -> Demand:
    id = AgreementId(bytes([number]) * 32)
    return Demand(
        number, id, b"r" * 32, 3, 64, OTHER, ME, Epoch(18), Epoch(22), DemandState.OPEN, 2000, (4, 9)
    )  # fmt: skip


async def test_what_is_demanded_is_published_and_what_cannot_be_is_said() -> None:
    said: list[Any] = []
    ledger: Any = Journal(demands=[demand(1), demand(2), demand(3)], closed={3})
    damaged = Disk({AgreementId(bytes([2]) * 32)})
    assert await answer_demands(ledger, ME, damaged, direct, said.append) == 1
    assert ledger.sent == [("answer", (1, 2))]
    assert [event["message"] for event in said if "cannot" in event["message"]] == [
        "demand 2 cannot be answered: a leaf is not what was stored",
        "demand 3 cannot be answered: the contracts refused: NotOpen",
    ]
