"""Who proves must serve: what is demanded, when, and when not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.flow.network import BookLedger, ShelfPeers, network
from tests.flow.test_backup_restore import make_tree

from peerage.flow.backup import backup
from peerage.flow.context import NodeContext, silent
from peerage.flow.unserved import DEMAND_EVERY_EPOCHS, demand_unserved
from peerage.flow.watch import watch
from peerage.model import MemberId

SILENT = MemberId(3)
AFTER = 6


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "source")


async def pass_to(context: NodeContext, ledger: BookLedger, epoch: int, proven: bool = True) -> int:
    """To an epoch, with all proofs of the one before it made, or none."""
    ledger.epoch = epoch
    ledger.due |= {(id, epoch - 1) for id in ledger.agreements}
    if proven:
        ledger.proofs |= {(id, epoch - 1) for id in ledger.agreements}
    return await demand_unserved(context, await watch(context), silent)


def mute(peers: ShelfPeers, *members: int) -> None:
    """They prove, and serve nothing."""
    for id in members:
        peers.shelves[MemberId(id)].down = True


async def test_attack_a_provider_proves_and_serves_nothing(tmp_path: Path, source: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        assert await pass_to(context, ledger, 20) == 0
        mute(peers, SILENT)
        for epoch in range(21, 21 + AFTER):
            assert await pass_to(context, ledger, epoch) == 0, "a reboot is no offence"
        assert await pass_to(context, ledger, 21 + AFTER) == 1
        ((id, (index,)),) = ledger.demands
        info = ledger.agreements[id]
        assert info.terms.provider == SILENT
        assert 0 <= index < info.leaves
        for epoch in range(22 + AFTER, 21 + AFTER + DEMAND_EVERY_EPOCHS):
            assert await pass_to(context, ledger, epoch) == 0
        assert await pass_to(context, ledger, 21 + AFTER + DEMAND_EVERY_EPOCHS) == 1, "and again"


async def test_who_serves_again_starts_anew(tmp_path: Path, source: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        mute(peers, SILENT)
        for epoch in range(20, 20 + AFTER):
            await pass_to(context, ledger, epoch)
        peers.shelves[SILENT].down = False
        await pass_to(context, ledger, 20 + AFTER)
        mute(peers, SILENT)
        for epoch in range(21 + AFTER, 21 + 2 * AFTER):
            assert await pass_to(context, ledger, epoch) == 0


async def test_our_own_line_is_nobodys_fault(tmp_path: Path, source: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        mute(peers, *peers.shelves)
        for epoch in range(20, 40):
            assert await pass_to(context, ledger, epoch) == 0


async def test_who_does_not_prove_is_left_to_the_penalties(tmp_path: Path, source: Path) -> None:
    with network(tmp_path) as (context, ledger, peers):
        await backup(context, [os.fsencode(source)], silent)
        mute(peers, SILENT)
        for epoch in range(20, 40):
            assert await pass_to(context, ledger, epoch, proven=False) == 0
