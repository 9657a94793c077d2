"""locate -> get -> decode -> open: blobs come back from the providers, by ranges where that is less.

The code is systematic, so a range of a pack is a range of one or two data shards. AES-GCM tags vouch for what is read
that way. When the provider of a range fails, the same range of k other shards gives it (the code works byte by byte);
when that fails too, or a tag does not match, whole shards are read, checked against their Merkle roots, and the pack is
rebuilt from any k good ones. What nobody serves is looked for on the chain: providers may have had to publish it there.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

from peerage.errors import IntegrityError, PeerError, TooFewShards
from peerage.flow.context import NodeContext
from peerage.flow.published import Published
from peerage.model import KIB, LEAF_SIZE, MIB, BlobEntry, ChunkId, MemberId, PackRecord, ShardLocation
from peerage.pack.reader import BlobOpener
from peerage.ports import Buffer
from peerage.shard.code import coder
from peerage.shard.tree import object_tree
from peerage.snapshot.tree import split_ids
from peerage_chain.errors import ChainFault

RANGE_ALIGN = 64 * KIB  # ranges are aligned so that a provider learns less of what is read
_GAP = 128 * KIB  # ranges closer than this are read as one
_WHOLE = 0.85  # from this share of a pack on, read all of it
_PARALLEL_RANGES = 8
_PAUSE_S = 2.0
_PAUSES = 5  # in the life of a Fetcher, or since it was renewed
_SMALL_PACK = 2 * MIB  # of meta packs, fetched whole at once
_RANGES_BEFORE_WHOLE = 4  # so many blobs of a larger one are fetched by themselves: who looks up one path needs no more
_LOOSE_BYTES = 8 * MIB  # of those kept

Sink = Callable[[BlobEntry, bytes], None]


class Fetcher:
    """Reads blobs of one member. Counts bytes fetched. Safe for concurrent use."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._opener = BlobOpener(context.ring)
        self._bad: set[tuple[bytes, int]] = set()
        self._down: set[MemberId] = set()
        self._pauses = _PAUSES
        self._published = Published(context.ledger, context.catalogue)
        self.bytes_fetched = 0

    def renew(self) -> None:
        """Forget which providers failed: for one that lives on while they may come back."""
        self._bad.clear()
        self._down.clear()
        self._pauses = _PAUSES
        self._published = Published(self._context.ledger, self._context.catalogue)

    async def read(self, pack: PackRecord, entries: Sequence[BlobEntry], sink: Sink) -> None:
        """Fetch some blobs of one pack and give each plaintext to `sink`, in a worker thread and in no fixed order.

        After a failure on the way all are fetched again, so `sink` may see a blob twice. Raises TooFewShards,
        IntegrityError, and what `sink` raises.
        """
        if not entries:
            return
        first, last = min(e.offset for e in entries), max(e.offset + e.length for e in entries)
        try:
            if sum(e.length for e in entries) >= _WHOLE * pack.length:
                data = await self._systematic(pack)
                await self._context.in_worker(self._open, pack, entries, data, 0, sink)
            elif last - first <= 2 * MIB:
                piece = await self._range(pack, first, last)
                await self._context.in_worker(self._open, pack, entries, piece, first, sink)
            else:
                await self._scattered(pack, entries, sink)
        except (PeerError, IntegrityError):
            data = await self.whole(pack)
            await self._context.in_worker(self._open, pack, entries, data, 0, sink)

    def _open(self, pack: PackRecord, entries: Sequence[BlobEntry], data: Buffer, base: int, sink: Sink) -> None:
        view = memoryview(data)
        for e in entries:
            sealed = view[e.offset - base : e.offset - base + e.length]
            sink(e, self._opener.open(pack.generation, pack.id, e, sealed))

    async def _scattered(self, pack: PackRecord, entries: Sequence[BlobEntry], sink: Sink) -> None:
        runs: list[list[BlobEntry]] = []
        for entry in sorted(entries, key=lambda e: e.offset):
            if runs and entry.offset - (runs[-1][-1].offset + runs[-1][-1].length) <= _GAP:
                runs[-1].append(entry)
            else:
                runs.append([entry])
        limit = asyncio.Semaphore(_PARALLEL_RANGES)

        async def one(run: list[BlobEntry]) -> None:
            async with limit:
                first = run[0].offset
                piece = await self._range(pack, first, run[-1].offset + run[-1].length)
                await self._context.in_worker(self._open, pack, run, piece, first, sink)

        await gather_all(one(run) for run in runs)

    # -- bytes of a pack -----------------------------------------------------------------------------------------------

    async def _range(self, pack: PackRecord, start: int, stop: int) -> bytearray:
        """Bytes [start, stop) of a pack, from the data shards that hold them."""
        length = pack.shard_length
        out = bytearray(stop - start)

        async def part(index: int) -> None:
            low, high = max(start, index * length), min(stop, (index + 1) * length)
            shard_low = (low - index * length) // RANGE_ALIGN * RANGE_ALIGN
            shard_high = min(length, -(-(high - index * length) // RANGE_ALIGN) * RANGE_ALIGN)
            data: Buffer
            try:
                data = await self._get(pack, index, shard_low, shard_high - shard_low)
            except PeerError:
                data = await self._rebuilt_range(pack, index, shard_low, shard_high - shard_low)
            skip = low - index * length - shard_low
            out[low - start : high - start] = memoryview(data)[skip : skip + high - low]

        await gather_all(part(i) for i in range(start // length, -(-stop // length)))
        return out

    async def _rebuilt_range(self, pack: PackRecord, index: int, offset: int, length: int) -> bytearray:
        """A range of one shard from the same range of k others, unchecked. Raises PeerError when fewer answer."""
        queue = [s.index for s in pack.shards if s.index != index and s.provider and s.provider not in self._down]
        have: dict[int, Buffer] = {}

        async def one(other: int) -> None:
            with suppress(PeerError):  # the next one is asked instead
                have[other] = await self._get(pack, other, offset, length)

        while len(have) < pack.code.k and queue:
            missing = pack.code.k - len(have)
            batch, queue = queue[:missing], queue[missing:]
            await gather_all(one(other) for other in batch)
        if len(have) < pack.code.k:
            raise PeerError(f"only {len(have)} of the {pack.code.k} providers needed answered")
        return (await self._context.in_worker(coder(pack.code).rebuild, have, [index]))[index]

    async def _systematic(self, pack: PackRecord) -> bytearray:
        """The whole pack from its k data shards, unchecked: the caller opens blobs, whose tags vouch for them."""
        if any(s.provider in self._down or not s.provider for s in pack.shards[: pack.code.k]):
            raise PeerError("a provider of a data shard is down")
        out = bytearray(pack.code.k * pack.shard_length)

        async def part(index: int) -> None:
            data = await self._get(pack, index, 0, pack.shard_length)
            out[index * pack.shard_length : (index + 1) * pack.shard_length] = data

        await gather_all(part(i) for i in range(pack.code.k))
        return out

    async def whole(self, pack: PackRecord) -> bytearray:
        """The whole pack from any k shards whose roots are right. Raises TooFewShards."""
        have = await self.good_shards(pack, pack.code.k)
        out = bytearray(pack.code.k * pack.shard_length)
        missing = [i for i in range(pack.code.k) if i not in have]
        rebuilt: dict[int, bytearray] = {}
        if missing:
            rebuilt = await self._context.in_worker(coder(pack.code).rebuild, have, missing)
        for index in range(pack.code.k):
            source: Buffer = have[index] if index in have else rebuilt[index]
            out[index * pack.shard_length : (index + 1) * pack.shard_length] = source
        return out

    async def good_shards(self, pack: PackRecord, count: int, skip: Iterable[int] = ()) -> dict[int, Buffer]:
        """`count` shards of a pack, each checked against its root: index -> payload.

        Shards whose provider failed before are tried last. Raises TooFewShards when fewer can be had.
        """
        unwanted = set(skip)
        order = sorted(
            (s for s in pack.shards if s.provider and s.index not in unwanted),
            key=lambda s: ((s.root, s.provider) in self._bad, s.provider in self._down, s.index),
        )
        have: dict[int, Buffer] = {}
        queue = list(order)
        failures: dict[int, str] = {}
        while len(have) < count and queue:
            batch, queue = queue[: count - len(have)], queue[count - len(have) :]
            results = await asyncio.gather(*(self._checked(pack, s) for s in batch))
            for shard, result in zip(batch, results, strict=True):
                if isinstance(result, str):
                    failures[shard.index] = f"member {shard.provider}: {result}"
                else:
                    have[shard.index] = result
            if not queue and len(have) < count and self._pauses:
                # A provider that restarts, or is late to learn of our key, is worth a pause; not one for every pack.
                self._pauses -= 1
                await asyncio.sleep(_PAUSE_S)
                queue = [s for s in order if s.index not in have and (s.root, s.provider) not in self._bad]
        for shard in order:
            if len(have) < count and shard.index not in have:
                found = await self._from_chain(pack, shard)
                if found is not None:
                    have[shard.index] = found
        if len(have) < count:
            raise TooFewShards(
                f"pack {pack.id.hex()[:16]} has {len(have)} good shards of the {count} needed"
                f" ({'; '.join(failures.values()) or 'no provider has more'}): try again when more members are up"
            )
        return have

    async def shard(self, pack: PackRecord, index: int) -> Buffer | None:
        """One shard whole, from its own provider and checked against its root; None if it is not to be had there."""
        found = await self._checked(pack, pack.shards[index])
        return None if isinstance(found, str) else found

    async def _checked(self, pack: PackRecord, shard: ShardLocation) -> Buffer | str:
        try:
            data = await self._get(pack, shard.index, 0, pack.shard_length, again=True)
        except PeerError as error:
            return str(error)
        tree = await self._context.in_worker(object_tree, data)
        if tree.root != shard.root:
            self._bad.add((shard.root, shard.provider))
            return "its bytes are not those that it signed for"
        return data

    async def _from_chain(self, pack: PackRecord, shard: ShardLocation) -> Buffer | None:
        """A shard whose leaves its provider had to publish, checked against its root."""
        try:
            data = await self._published.shard(shard.agreement, shard.root, pack.shard_length // LEAF_SIZE)
        except ChainFault:
            return None
        if data is None:
            return None
        tree = await self._context.in_worker(object_tree, data)
        return data if tree.root == shard.root else None

    async def _get(self, pack: PackRecord, index: int, offset: int, length: int, again: bool = False) -> bytes:
        shard = pack.shards[index]
        if not shard.provider:
            raise PeerError(f"shard {index} of pack {pack.id.hex()[:16]} is with nobody yet")
        if shard.provider in self._down and not again:
            raise PeerError("it did not answer before", shard.provider)
        try:
            data = await self._context.peers.get_object(shard.provider, shard.root, offset, length)
        except PeerError:
            self._down.add(shard.provider)
            raise
        self._down.discard(shard.provider)
        if len(data) != length:
            raise PeerError(f"it sent {len(data)} bytes of {length}", shard.provider)
        self.bytes_fetched += length
        return data


async def gather_all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all at once; the first error cancels the rest and is raised itself."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


class BlobCache:
    """Blobs of meta packs by chunk id, each pack fetched about once. Safe for concurrent use.

    The first blobs of a larger pack are fetched by themselves, and then the pack as a whole: who looks up one path
    needs a few, who walks a tree needs them all. Keeps the `packs` used last, and 8 MiB of single blobs.
    """

    def __init__(self, context: NodeContext, fetcher: Fetcher, packs: int = 2) -> None:
        self._context = context
        self._fetcher = fetcher
        self._packs: OrderedDict[int, tuple[PackRecord, bytearray]] = OrderedDict()
        self._limit = packs
        self._loose: OrderedDict[ChunkId, bytes] = OrderedDict()
        self._loose_bytes = 0
        self._ranges: Counter[int] = Counter()
        self._flights: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._opener = BlobOpener(context.ring)

    async def get(self, id: ChunkId) -> bytes:
        """One blob's plaintext. Raises IntegrityError when the catalogue does not know it, TooFewShards."""
        kept = self._loose.get(id)
        if kept is not None:
            self._loose.move_to_end(id)
            return kept
        found = self._context.catalogue.locate(id)
        if found is None:
            raise IntegrityError(f"chunk {id.hex()[:16]} is named by a tree but is in no pack")
        no, entry = found
        if no not in self._packs:
            # One fetch of a pack at a time: whoever waited finds what the first one got.
            async with self._flights.setdefault(no, asyncio.Lock()):
                if id in self._loose:
                    return self._loose[id]
                if no not in self._packs:
                    record = self._context.catalogue.pack(no)
                    if record.length > _SMALL_PACK and self._ranges[no] < _RANGES_BEFORE_WHOLE:
                        self._ranges[no] += 1
                        return await self._fetch_one(record, entry)
                    self._packs[no] = record, await self._fetcher.whole(record)
                    while len(self._packs) > self._limit:
                        self._packs.popitem(last=False)
        record, data = self._packs[no]
        self._packs.move_to_end(no)
        sealed = memoryview(data)[entry.offset : entry.offset + entry.length]
        return self._opener.open(record.generation, record.id, entry, sealed)

    async def _fetch_one(self, record: PackRecord, entry: BlobEntry) -> bytes:
        read: list[bytes] = []
        await self._fetcher.read(record, [entry], lambda _, raw: read.append(raw))
        raw = self._loose[entry.id] = read[-1]
        self._loose_bytes += len(raw)
        while self._loose_bytes > _LOOSE_BYTES:
            self._loose_bytes -= len(self._loose.popitem(last=False)[1])
        return raw

    async def ids(self, concatenated: bytes) -> bytes:
        """The blobs of a list of concatenated ids, joined."""
        return b"".join([await self.get(id) for id in split_ids(concatenated)])
