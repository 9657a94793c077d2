"""What a client may try when it asks for a signature: the provider believes what it holds, and nothing else."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from tests.fakes import DOMAIN, Network, Peer

from peerage.errors import PeerRefused
from peerage.model import KIB, AgreementId, ShardRoot
from peerage.shard.tree import AgreementTree, object_tree
from peerage_chain import typed
from peerage_chain.types import ZERO32, Epoch, Revision

Objects = list[tuple[ShardRoot, int]]


class Pair:
    """A client and its provider, over the wire."""

    def __init__(self, network: Network, client: Peer, provider: Peer) -> None:
        self.client, self.provider, self.ledger = client, provider, network.ledger
        self.agreement: AgreementId = network.agree(client, provider)

    async def put(self, count: int) -> Objects:
        objects: Objects = []
        for _ in range(count):
            data = os.urandom(3 * KIB)
            root = object_tree(data).root
            await self.client.client.put_object(self.provider.member, self.agreement, root, data)
            objects.append((root, 3))
        return objects

    def revision(self, objects: Objects, before: Revision | None = None, traffic: int = 0) -> Revision:
        root = AgreementTree(objects).root
        sequence, previous = (before.sequence + 1, digest(before)) if before else (1, ZERO32)
        expires = Epoch(self.ledger.epoch + 8)
        return Revision(self.agreement, sequence, previous, root.hash, root.leaves, traffic, traffic, expires)

    async def sign(self, revision: Revision, appended: Objects) -> bytes:
        own = self.client.sign(digest(revision))
        roots = [root for root, _ in appended]
        return await self.client.client.cosign(self.provider.member, revision, roots, own)

    async def refuse(self, revision: Revision, appended: Objects, code: str, match: str | None = None) -> None:
        held = self.held()
        with pytest.raises(PeerRefused, match=match) as caught:
            await self.sign(revision, appended)
        assert caught.value.code == code
        assert self.held() == held, "nothing was kept either"

    def held(self) -> list[bytes]:
        return [r.digest for r in self.provider.store.revisions.all_of(self.agreement)]


def digest(revision: Revision) -> bytes:
    return typed.revision_digest(revision, DOMAIN)


@pytest.fixture
async def pair(network: Network) -> Pair:
    provider = await network.add()
    return Pair(network, await network.add(listen=False), provider)


@pytest.mark.parametrize("recorded", [True, False])
async def test_attack_a_revision_that_rewrites_what_is_held_is_signed(pair: Pair, recorded: bool) -> None:
    first, new = await pair.put(3), await pair.put(1)
    one = pair.revision(first)
    await pair.sign(one, first)
    if recorded:
        await pair.ledger.revise(one, b"", b"")
    other = (ShardRoot(b"o" * 32), 3)
    for rewritten in (first[::-1], first[:2], [first[0], other, first[2]], [*first, *new], []):
        await pair.refuse(pair.revision([*rewritten, *new], one), new, "bad_root")
    await pair.refuse(pair.revision([*first, *new], replace(one, leaves=one.leaves + 1)), new, "stale_revision")
    await pair.refuse(pair.revision([*first, *first], one), first, "stale_revision", "listed already")
    await pair.sign(pair.revision([*first, *new], one), new)


async def test_attack_a_revision_over_objects_that_were_only_announced_is_signed(pair: Pair) -> None:
    stored = await pair.put(1)
    ghost = [(ShardRoot(object_tree(os.urandom(3 * KIB)).root), 3)]
    await pair.refuse(pair.revision(stored + ghost), stored + ghost, "no_such_object", "not stored here")


async def test_attack_a_revision_over_what_has_left_the_disk_is_signed(pair: Pair) -> None:
    """A receipt was given; what counts is what is there when it comes to signing for it."""
    objects = await pair.put(3)
    store = pair.provider.store
    store._files.path(pair.agreement, objects[0][0]).unlink()
    os.truncate(store._files.path(pair.agreement, objects[1][0]), KIB)
    for gone in (objects[0], objects[1]):
        await pair.refuse(pair.revision([gone]), [gone], "no_such_object", "put it again")
    assert {root for _, root in store.damaged()} == {objects[0][0], objects[1][0]}
    await pair.sign(pair.revision([objects[2]]), [objects[2]])


async def test_attack_less_traffic_is_signed_for_than_before(pair: Pair) -> None:
    """Traffic is billed from what is recorded: a later signature must not undo an earlier one."""
    first, second = await pair.put(1), await pair.put(1)
    one = pair.revision(first, traffic=1000)
    await pair.sign(one, first)
    for up, down in ((999, 1000), (1000, 999)):
        less = replace(pair.revision(first + second), bytes_up=up, bytes_down=down)
        await pair.refuse(less, first + second, "bad_revision", "traffic counters shrink")  # in its place
        after = replace(pair.revision(first + second, one), bytes_up=up, bytes_down=down)
        await pair.refuse(after, second, "bad_revision", "traffic counters shrink")  # on top of it
    await pair.sign(pair.revision(first + second, one, 1000), second)


async def test_trees_that_are_remembered_are_those_of_the_disk(pair: Pair) -> None:
    """Many revisions, read back by a provider that remembers nothing."""
    objects: Objects = []
    before: Revision | None = None
    for _ in range(6):
        new = await pair.put(2)
        objects += new
        before = pair.revision(objects, before)
        await pair.sign(before, new)
        await pair.ledger.revise(before, b"", b"")
    assert before is not None
    held = pair.provider.store.objects_at(pair.agreement, before.sequence, before.root)
    assert [tuple(o) for o in held] == objects
    assert AgreementTree(held).root.hash == before.root
