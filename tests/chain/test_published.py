"""On a real chain: providers that serve nothing are made to publish, and what they published is restored and repaired
from."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from tests.chain.network import Network, Player
from tests.chain.test_life import populated
from tests.flow.network import CLIENT, BookLedger, Shelf, ShelfPeers
from tests.flow.network import network as flows

from peerage.errors import TooFewShards, UserError
from peerage.flow import fetch
from peerage.flow.backup import backup
from peerage.flow.context import NodeContext, silent
from peerage.flow.demand import LEAVES_AT_ONCE, demand, open_demands
from peerage.flow.fetch import Fetcher
from peerage.flow.prove import answer_demands
from peerage.flow.restore import restore
from peerage.model import LEAF_SIZE, AgreementId, Epoch, MemberId, PackKind, PackRecord
from peerage.shard.tree import AgreementTree, object_path, object_tree
from peerage_chain.types import CREDIT, ChainTime, Challenge, Demand, Sample

Answer = tuple[Demand, tuple[bytes, ...]]


class Tree:
    """An agreement's tree over the objects of a shelf, as its provider makes it: what the chain is told, and proofs."""

    def __init__(self, shelf: Shelf, id: AgreementId) -> None:
        self._data = [shelf.objects[root] for root in shelf.order[id]]
        self._trees = [object_tree(data) for data in self._data]
        self._tree = AgreementTree([(tree.root, tree.leaves) for tree in self._trees])
        self.root = self._tree.root.hash
        joined = b"".join(self._data)
        self.leaves = [joined[i : i + LEAF_SIZE] for i in range(0, len(joined), LEAF_SIZE)]

    def samples_for(self, challenge: Challenge) -> tuple[Sample, ...]:
        return tuple(self._sample(index) for index in challenge.indices)

    def _sample(self, index: int) -> Sample:
        position, within = self._tree.locate(index)
        data, tree = self._data[position], self._trees[position]
        leaf, steps = object_path(lambda at, n: data[at : at + n], tree.subroots, tree.leaves, within)
        return Sample(leaf, steps + self._tree.path(position))


class OnChain:
    """The flows' ledger, but all about demands under one agreement is Alice's and Bob's on a real chain."""

    def __init__(self, book: BookLedger, alice: Player, bob: Player, ids: tuple[AgreementId, AgreementId]) -> None:
        self._book, self._alice, self._bob = book, alice, bob
        self._ours, self._chains = ids

    def __getattr__(self, name: str) -> Any:
        return getattr(self._book, name)

    async def now(self) -> ChainTime:
        return await self._alice.chain.now()

    async def challenge(self, id: AgreementId, epoch: Epoch) -> Challenge:
        assert id == self._ours
        return await self._alice.chain.challenge(self._chains, epoch)

    async def make_demand(self, id: AgreementId, indices: Sequence[int]) -> None:
        assert id == self._ours
        await self._alice.chain.make_demand(self._chains, indices)

    async def open_demands(self, provider: MemberId) -> list[Demand]:
        if provider != self._book.agreements[self._ours].terms.provider:
            return []
        found = await self._alice.chain.open_demands(self._bob.id)
        return [replace(row, agreement=self._ours, provider=provider) for row in found]

    async def answered_demands(self, id: AgreementId) -> Sequence[Answer]:
        return await self._alice.chain.answered_demands(self._chains) if id == self._ours else ()


def silence(context: NodeContext, peers: ShelfPeers) -> MemberId:
    """Let providers serve nothing, so that the files' pack is one shard short, and others at most; returns one that
    holds what is missing."""
    packs = [context.catalogue.pack(no) for no in context.catalogue.pack_numbers()]
    short = {pack.id for pack in packs if pack.kind is PackKind.DATA}
    for count in range(1, len(peers.shelves)):
        for down in combinations(sorted(peers.shelves), count):
            for publisher in down:
                if all(_missing(pack, down, publisher) in ((1,) if pack.id in short else (0, 1)) for pack in packs):
                    for id in down:
                        peers.shelves[id].down = True
                    return publisher
    raise AssertionError("no choice leaves the files' pack one shard short")


def _missing(pack: PackRecord, down: Sequence[MemberId], publisher: MemberId) -> int:
    """Shards that are missing for the pack to be read; 99 if the publisher could not help."""
    held = {shard.provider for shard in pack.shards}
    missing = max(0, pack.code.k - len(held - set(down)))
    return missing if not missing or publisher in held else 99


async def direct(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


async def publish_all(chain: Network, bob: Player, ours: NodeContext, name: str, tree: Tree) -> int:
    """Demand and answer until nothing is left; returns the demands made."""
    made = 0
    while True:
        try:
            shown = await demand(ours, name, (), silent)
        except UserError as error:
            if "nothing is left" in str(error):
                return made
            raise
        made += 1
        (row,) = shown["demands"]
        assert (row["client"], len(row["leaves"]) <= LEAVES_AT_ONCE) == (CLIENT, True)
        assert row["epochs_left"] == row["until_epoch"] - shown["epoch"] + 1
        assert await answer_demands(bob.chain, bob.id, tree, direct, silent) == 1
        assert (await open_demands(ours))["demands"] == []
        await chain.epoch()


async def test_attack_providers_that_answer_only_on_chain_cannot_hold_a_backup_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_PAUSE_S", 0.0)
    chain = await populated(tmp_path / "chain", 1000 * CREDIT)
    try:
        alice, bob, *_ = chain.players
        source = tmp_path / "source"
        source.mkdir()
        (source / "letter.bin").write_bytes(os.urandom(100_000))
        with flows(tmp_path) as (context, book, peers):
            await backup(context, [os.fsencode(source)], silent)
            publisher = silence(context, peers)
            (info,) = [a for a in book.agreements.values() if a.terms.provider == publisher]
            tree = Tree(peers.shelves[publisher], info.id)
            assert tree.root == info.root
            id, _ = await chain.open(alice, bob)
            for _ in range(info.sequence):
                await chain.revise(alice, bob, id, tree)  # type: ignore[arg-type]
            await chain.epoch()
            await chain.epoch()
            ledger: Any = OnChain(book, alice, bob, (info.id, id))
            ours = replace(context, ledger=ledger)

            lost = await attempt(ours, tmp_path / "before")
            assert lost, "what remains is not enough"
            made = await publish_all(chain, bob, ours, info.id.hex()[:8], tree)
            assert made >= 2, f"{LEAVES_AT_ONCE} leaves at once"
            assert await attempt(ours, tmp_path / "after") == []
            back = tmp_path / "after" / "source" / "letter.bin"
            assert back.read_bytes() == (source / "letter.bin").read_bytes()
            for no in context.catalogue.pack_numbers():  # what repair reads from
                pack = context.catalogue.pack(no)
                assert len(await Fetcher(ours).good_shards(pack, pack.code.k)) == pack.code.k

            with pytest.raises(UserError, match="leaves on record"):
                await demand(ours, info.id.hex(), (len(tree.leaves),), silent)
            with pytest.raises(UserError, match="none of ours"):
                await demand(ours, "ffffffff" * 8, (), silent)
            with pytest.raises(UserError, match="refused"):
                await demand(ours, info.id.hex(), range(LEAVES_AT_ONCE + 1), silent)
    finally:
        await chain.close()


async def attempt(ours: NodeContext, target: Path) -> list[dict[str, str]]:
    try:
        return list((await restore(ours, "latest", target, [], silent)).failed)
    except TooFewShards as error:
        return [{"path": "", "reason": str(error)}]
