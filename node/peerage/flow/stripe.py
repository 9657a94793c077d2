"""encode -> place -> put: one sealed pack becomes a stripe of shards at other members."""

from __future__ import annotations

import asyncio

from peerage.errors import PeerError, PeerRefused, TooFewProviders
from peerage.flow.context import NodeContext, Report, warn
from peerage.flow.room import Room, Slot
from peerage.model import (
    AgreementId,
    Code,
    MemberId,
    PackId,
    PackKind,
    PackRecord,
    ShardLocation,
    ShardRoot,
)
from peerage.pack.writer import PackWriter, SealedPack, padded_for
from peerage.place import commit_threshold
from peerage.shard.code import coder
from peerage.shard.tree import object_tree
from peerage.wire.refusals import RefusalCode
from peerage_chain.errors import ChainUnavailable

NOWHERE = AgreementId(bytes(32))


class StripeWriter:
    """Puts packs as stripes into `room`; counts what was sent. Safe for several packs at once."""

    def __init__(
        self, context: NodeContext, room: Room, report: Report, opening: asyncio.Future[None] | None = None
    ) -> None:
        """opening: when `room` will be open; None if it is."""
        self._context = context
        self._room = room
        self._report = report
        self._opening = opening
        self.bytes_sent = 0
        self.stripes = 0

    async def put(self, writer: PackWriter) -> PackRecord:
        """Store a full pack; returns once enough providers have given receipts and the catalogue knows it.

        A provider that fails is replaced by another in the same run. Enough is k + ceil(m/2): what is still missing
        then is a debt (provider 0 in the record) that repair pays. When too few providers are left for the code, the
        pack is encoded anew by a smaller one, if the policy leaves the code open. Raises TooFewProviders;
        ChainUnavailable when the chain is away and the agreements that are there do not suffice.
        """
        if self._opening is not None:
            await asyncio.shield(self._opening)
        code = self._room.code
        pack: SealedPack = await self._context.in_worker(writer.finish, code)
        while True:
            try:
                return await self._put(pack, code)
            except (TooFewProviders, ChainUnavailable):
                if self._room.code == code and not self._room.step_down(pack.shard_length):
                    raise
                code = self._room.code
                pack = await self._context.in_worker(padded_for, pack, code)

    async def _put(self, pack: SealedPack, code: Code) -> PackRecord:
        length = pack.shard_length
        slots = await self._room.assign(pack.id, length, code)
        shards, roots = await self._context.in_worker(encode, pack, code)
        taken: dict[int, MemberId] = {index: slot.provider for index, slot in slots.items()}
        done = await asyncio.gather(
            *(self._put_shard(pack.id, code, i, shards[i], roots[i], slot, taken) for i, slot in slots.items())
        )
        stored_at = {i: slot for i, slot in zip(slots, done, strict=True) if slot is not None}
        locations = tuple(_location(i, roots[i], stored_at.get(i)) for i in range(code.n))
        stored = [s for s in locations if s.provider]
        if len(stored) < commit_threshold(code):
            raise TooFewProviders(
                f"only {len(stored)} of {code.n} shards of a stripe found a provider: wait until more members are up"
            )
        record = PackRecord(
            pack.id, pack.kind, pack.generation, pack.length, code, length, locations, tuple(pack.entries)
        )
        await self._context.in_worker(self._context.catalogue.add_stripe, record, record.kind is PackKind.INDEX)
        self.stripes += 1
        return record

    async def _put_shard(
        self,
        pack: PackId,
        code: Code,
        index: int,
        data: memoryview,
        root: ShardRoot,
        slot: Slot,
        taken: dict[int, MemberId],
    ) -> Slot | None:
        current: Slot | None = slot
        while current is not None:
            try:
                await self._context.peers.put_object(current.provider, current.agreement, root, data)
            except PeerError as error:
                warn(self._report, f"member {current.provider} did not take a shard ({error}): trying another")
                if isinstance(error, PeerRefused) and error.code == RefusalCode.OVER_CAPACITY:
                    # It holds what no revision names, of runs that were cut short, until it drops that by itself.
                    self._room.full(current)
                else:
                    self._room.avoid(current.provider)
                    self._room.giveback(current, len(data))
                kept = {i: m for i, m in taken.items() if i != index}
                current = (await self._room.replace(pack, code, len(data), kept)).get(index)
                if current is not None:
                    taken[index] = current.provider
            else:
                self.bytes_sent += len(data)
                return current
        return None


def _location(index: int, root: ShardRoot, slot: Slot | None) -> ShardLocation:
    if slot is None:
        return ShardLocation(index, root, MemberId(0), NOWHERE)
    return ShardLocation(index, root, slot.provider, slot.agreement)


def encode(pack: SealedPack, code: Code) -> tuple[list[memoryview], list[ShardRoot]]:
    """The n shards of a pack (data shards are slices of it) and their Merkle sum roots."""
    view = memoryview(pack.data)
    length = pack.shard_length
    parity = coder(code).encode(pack.data, length)
    shards = [view[i * length : (i + 1) * length] for i in range(code.k)] + [memoryview(p) for p in parity]
    return shards, [ShardRoot(object_tree(s).root) for s in shards]
