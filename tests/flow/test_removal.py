"""The provider's side of deleting: nothing goes that was not announced on chain, nor before its time, whoever asks."""

from __future__ import annotations

import asyncio
from hashlib import sha256

from tests.flow.test_provide import (
    Objects,
    Pair,
    cosign,
    digest,
    pair,
    put,
    record,
    refused,
    revision_over,
    roots,
)

from peerage.model import AgreementId, Epoch
from peerage.store.revisions import DEAD
from peerage.wire.refusals import RefusalCode
from peerage_chain.types import Challenge, Revision

__all__ = ["pair"]  # fixtures


def without(objects: Objects, removed: Objects) -> Objects:
    return [DEAD if o in removed else o for o in objects]


async def announce(pair: Pair, removed: Objects) -> None:
    client, _, agreement = pair
    commitment = sha256(b"".join(sorted(roots(removed)))).digest()
    await client.ledger.announce_removal(agreement, commitment, sum(leaves for _, leaves in removed))


async def ask(pair: Pair, revision: Revision, removed: Objects) -> bytes:
    """Over the wire."""
    client, provider, _ = pair
    own = client.sign(digest(revision))
    return await client.client.cosign(provider.member, revision, [], own, sorted(roots(removed)))


async def recorded(pair: Pair, count: int) -> tuple[Objects, Revision]:
    objects = await put(pair, count)
    one = revision_over(pair, objects)
    await cosign(pair, one, roots(objects))
    await record(pair, one)
    await pair[1].provider.refresh()
    return objects, one


async def test_a_stolen_node_key_deletes_nothing_before_the_retention_has_passed(pair: Pair) -> None:
    client, provider, agreement = pair
    objects, one = await recorded(pair, 3)
    gone = objects[1:2]
    two = revision_over(pair, without(objects, gone), 2, digest(one), life=60)
    direct = provider.provider.cosign(client.info, two, [], client.sign(digest(two)), roots(gone))
    assert "not announced" in await refused(direct, RefusalCode.BAD_REVISION)
    await announce(pair, gone)
    ready = client.ledger.removals[agreement].ready
    direct = provider.provider.cosign(client.info, two, [], client.sign(digest(two)), roots(gone))
    assert f"kept until epoch {ready}" in await refused(direct, RefusalCode.BAD_REVISION)
    await client.ledger.cancel_removal(agreement)  # the account revoked the key, and its new one says no
    client.ledger.epoch = ready
    await asyncio.sleep(0.6)
    two = revision_over(pair, without(objects, gone), 2, digest(one))
    direct = provider.provider.cosign(client.info, two, [], client.sign(digest(two)), roots(gone))
    assert "not announced" in await refused(direct, RefusalCode.BAD_REVISION)
    assert await client.client.get_object(provider.member, gone[0][0])


async def test_an_announced_removal_is_done_when_its_time_has_come(pair: Pair) -> None:
    client, provider, agreement = pair
    objects, one = await recorded(pair, 4)
    gone = [objects[0], objects[3]]
    await announce(pair, gone)
    client.ledger.epoch = client.ledger.removals[agreement].ready
    await asyncio.sleep(0.6)  # so long the provider believes its clock
    left = without(objects, gone)
    two = revision_over(pair, left, 2, digest(one))
    other = provider.provider.cosign(client.info, two, [], client.sign(digest(two)), roots(objects[:2]))
    await refused(other, RefusalCode.BAD_REVISION)
    both = provider.provider.cosign(client.info, two, roots(gone), client.sign(digest(two)), roots(gone))
    await refused(both, RefusalCode.BAD_REVISION)
    signature = await ask(pair, two, gone)
    assert await ask(pair, two, gone) == signature
    await record(pair, two)
    for _ in range(5):
        await provider.provider.refresh()
        client.ledger.epoch = Epoch(client.ledger.epoch + 1)
    assert provider.store.usage().objects == 2
    assert await client.client.list_objects(provider.member, agreement) == left
    leaves = tuple(range(two.leaves))
    challenge = Challenge(agreement, Epoch(1), True, bytes(32), 2, two.root, two.leaves, leaves)
    assert len(provider.provider.samples_for(challenge)) == two.leaves
    more = await put(pair, 1)
    three = revision_over(pair, left + more, 3, digest(two))
    await cosign(pair, three, roots(more))
    assert AgreementId(agreement) in provider.store.agreements()
