"""The provider reads what it stores, finds what is damaged, says so on chain, and proves the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.flow.test_prove import ME, Journal, agreement

from peerage.errors import IntegrityError
from peerage.flow.prove import prove
from peerage.flow.scrub import Scrubber, first_run, report_damage
from peerage.model import AgreementId, Epoch, MemberId, ObjectKind, ShardRoot
from peerage.shard.tree import object_tree
from peerage.store.objects import ObjectStore
from peerage_chain.types import AgreementInfo, Challenge, Loss, Sample

A = AgreementId(b"\xa1" * 32)
ROOTS = [ShardRoot(bytes([n]) * 32) for n in range(6)]
OBJECTS = [(ROOTS[0], 10), (ROOTS[1], 10), (ShardRoot(bytes(32)), 0), (ROOTS[2], 5), (ROOTS[3], 10), (ROOTS[4], 1)]


async def inline(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def put(store: ObjectStore, n: int) -> ShardRoot:
    data = bytes([n]) * 3072
    tree = object_tree(data)
    with store.begin(MemberId(1), A, tree.root, len(data)) as upload:
        upload.write(data)
        upload.commit(tree.root, 3, tree.subroots, ObjectKind.SHARD, 0, 0)
    return tree.root


async def test_a_rotten_object_is_found_and_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    store = ObjectStore.open(tmp_path / "objects", tmp_path / "index", reserve_bytes=0)
    store.set_agreement(A, MemberId(1), 1 << 20)
    roots = [put(store, n) for n in range(1, 5)]
    rotten = next(p for p in (tmp_path / "objects").rglob("*") if p.is_file() and roots[2].hex() in str(p))
    data = bytearray(rotten.read_bytes())
    data[2000] ^= 1
    rotten.write_bytes(data)
    said: list[dict[str, Any]] = []

    def scrubber() -> Scrubber:
        return Scrubber(store, tmp_path / "scrub", lambda: 1 << 30, inline, said.append)

    first = scrubber()
    assert await first.look(1 << 30)
    assert await first.look(1 << 30)
    assert store.damaged() == []
    second = scrubber()
    assert await second.look(1 << 30)
    assert store.damaged() == [(A, roots[2])], "the third, read right after the restart"
    assert await second.look(1 << 30)
    assert not await second.look(1 << 30), "the round is over"
    assert await second.look(1 << 30), "and the next begins"
    assert len(said) == 1
    (tmp_path / "scrub").write_text("rubbish")
    assert await scrubber().look(1 << 30)
    store.close()


async def test_a_rate_of_zero_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peerage.flow.scrub.PAUSE_S", 0.01)
    store = ObjectStore.open(tmp_path / "objects", tmp_path / "index", reserve_bytes=0)
    running = asyncio.create_task(Scrubber(store, tmp_path / "scrub", lambda: 0, inline, print).run())
    await asyncio.sleep(0.05)
    running.cancel()
    assert not (tmp_path / "scrub").exists()
    store.close()


def test_neighbours_are_reported_together() -> None:
    assert first_run(OBJECTS, set()) is None
    assert first_run(OBJECTS, {ROOTS[1], ROOTS[2], ROOTS[4]}) == (10, 15), "what is removed lies between them"
    assert first_run(OBJECTS, {ROOTS[4]}) == (35, 1)
    assert first_run(OBJECTS, {ROOTS[5]}) is None
    assert first_run(OBJECTS, {ROOTS[0], ROOTS[3]}, after=10) == (25, 10)
    assert first_run(OBJECTS, {ROOTS[0]}, after=10) is None


@dataclass
class Damaged:
    """A store with these objects, of which some are damaged."""

    roots: set[ShardRoot] = field(default_factory=set)

    def damaged(self) -> list[tuple[AgreementId, ShardRoot]]:
        return [(agreement(1).id, root) for root in self.roots]

    def objects_at(self, *_: Any) -> list[tuple[ShardRoot, int]]:
        return OBJECTS


@dataclass
class LossLedger(Journal):
    async def report_loss(self, id: AgreementId, start: int, leaves: int) -> None:
        self.sent.append(("loss", (start, leaves)))

    async def report_restored(self, id: AgreementId) -> None:
        self.sent.append(("restored", id))


async def told(ledger: LossLedger, store: Damaged, epoch: int = 20) -> int:
    return await report_damage(ledger, ME, store, Epoch(epoch), inline, lambda _: None)  # type: ignore[arg-type]


async def test_damage_is_reported_once_and_so_is_its_end() -> None:
    ledger, store = LossLedger([agreement(1)]), Damaged({ROOTS[1]})
    assert await told(ledger, store) == 1
    assert ledger.sent == [("loss", (10, 10))]
    ledger.loss = Loss(10, 10, Epoch(22), Epoch(38), restored=False)
    assert await told(ledger, store) == 0, "it stands"
    store.roots = {ROOTS[4]}
    assert await told(ledger, store) == 1
    assert ledger.sent[-1] == ("restored", agreement(1).id)
    ledger.loss = replace(ledger.loss, until=Epoch(24), restored=True)
    assert await told(ledger, store, 23) == 0, "one at a time: the old one is not over yet"
    assert await told(ledger, store, 24) == 1
    assert ledger.sent[-1] == ("loss", (35, 1))
    store.roots = set()
    assert await told(LossLedger([agreement(1)]), store) == 0


async def test_each_of_two_damaged_places_has_its_turn() -> None:
    ledger, store = LossLedger([agreement(1)]), Damaged({ROOTS[1], ROOTS[3]})
    for epoch, expected in ((20, (10, 10)), (40, (25, 10)), (60, (10, 10))):
        assert await told(ledger, store, epoch) == 1
        assert ledger.sent[-1] == ("loss", expected), "nobody restored anything: the other one next"
        ledger.loss = Loss(*expected, Epoch(epoch + 2), Epoch(epoch + 18), restored=False)


class Hollow:
    """Opens every leaf but those from 10 to 19."""

    def samples_for(self, challenge: Challenge) -> tuple[Sample, ...]:
        if any(10 <= index < 20 for index in challenge.indices):
            raise IntegrityError("damaged")
        return tuple(Sample(bytes(1024), ()) for _ in challenge.indices)


async def proven(loss: Loss | None, indices: tuple[int, ...]) -> list[tuple[str, Any]]:
    class Asked(LossLedger):
        async def open_challenges(self, ids: Any, epoch: Epoch) -> list[Challenge]:
            return [Challenge(id, epoch, True, bytes(32), 3, b"r" * 32, 64, indices) for id in ids]

        async def prove(self, proofs: list[tuple[AgreementId, Any]]) -> None:
            self.sent += [("prove", len(samples)) for _, samples in proofs]

    info: AgreementInfo = agreement(1)
    ledger = Asked([info], loss=loss)
    await prove(ledger, ME, Hollow(), Epoch(20), set(), inline, lambda _: None)  # type: ignore[arg-type]
    return ledger.sent


async def test_what_was_reported_lost_is_left_out_of_proofs_while_it_stands() -> None:
    standing = Loss(10, 10, Epoch(18), Epoch(34), restored=False)
    for loss in (None, replace(standing, since=Epoch(21)), replace(standing, until=Epoch(20))):
        assert await proven(loss, (3, 12, 30)) == []
    assert await proven(standing, (3, 12, 30)) == [("prove", 2)]
    assert await proven(standing, (12, 13)) == [("prove", 0)]
