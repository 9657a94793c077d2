"""Is everything there that the snapshots need, and does it come back as it was?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from peerage.errors import IntegrityError, PeerError, TooFewShards, UserError
from peerage.flow.context import NodeContext, Report
from peerage.flow.fetch import BlobCache, Fetcher
from peerage.flow.health import is_good
from peerage.flow.reach import reach
from peerage.model import PackRecord
from peerage.pack.reader import BlobOpener, read_directory


@dataclass(frozen=True, slots=True)
class Subset:
    """Which packs to read: a share of them chosen at random, or part `part` of `parts` (from 1), so that `parts` checks
    in a row read all."""

    share: float = 0.0
    part: int = 0
    parts: int = 0

    @classmethod
    def parse(cls, text: str) -> Subset:
        """From "5%", "100%" or "3/10". Raises UserError."""
        try:
            if text.endswith("%"):
                share = float(text[:-1]) / 100
                if 0 < share <= 1:
                    return cls(share=share)
            part, slash, parts = text.partition("/")
            if slash and 1 <= int(part) <= int(parts):
                return cls(part=int(part), parts=int(parts))
        except ValueError:
            pass
        raise UserError(f"{text[:20]!r} says not what to read: give a share as in 5%, or a part as in 3/10")

    def choose(self, packs: list[int], seed: int) -> list[int]:
        """The chosen ones, in order. seed: for shares."""
        if self.parts:
            return [no for no in packs if no % self.parts == self.part - 1]
        return sorted(Random(seed).sample(packs, math.ceil(len(packs) * self.share)))  # noqa: S311 - a sample, no secret


@dataclass(slots=True)
class CheckResult:
    """What a check found, as --json shows it. degraded, lost: packs with fewer good shards than all, than needed.

    damage: what cannot be restored as it was, with the snapshot or pack. unread: packs that were to be read and could
    not be had now, which says nothing of their bytes.
    """

    snapshots: int
    trees: int
    packs: int
    degraded: int
    lost: int
    packs_read: int = 0
    bytes_read: int = 0
    damage: list[dict[str, str]] = field(default_factory=list)
    unread: list[dict[str, str]] = field(default_factory=list)


async def check(context: NodeContext, report: Report, subset: Subset | None = None) -> CheckResult:
    """Walk all trees, look at every stripe, and with `subset` read packs back and open all that is in them.

    Raises TooFewShards when a tree cannot be had now.
    """
    catalogue = context.catalogue
    fetcher = Fetcher(context)
    found = await reach(context, BlobCache(context, fetcher), report)
    good = {a.id for a in catalogue.agreements() if is_good(a, catalogue.checks(a.id, 1))}
    result = CheckResult(found.snapshots, found.trees, 0, 0, 0, damage=found.damage)
    for no, code, shards in catalogue.stripes():
        here = sum(1 for _, _, provider, agreement in shards if provider and agreement in good)
        result.packs += 1
        result.lost += here < code.k
        result.degraded += code.k <= here < code.n
        if here < code.k:
            name = catalogue.pack(no).id.hex()
            result.damage.append({"pack": name, "reason": f"{here} of the {code.k} shards needed are kept"})
    if subset is not None:
        packs = catalogue.pack_numbers()
        seed = int.from_bytes(context.entropy(32), "big")
        await _read(context, fetcher, subset.choose(packs, seed), result, report)
    return result


async def _read(
    context: NodeContext, fetcher: Fetcher, packs: Iterable[int], result: CheckResult, report: Report
) -> None:
    opener = BlobOpener(context.ring)
    chosen = list(packs)
    for count, no in enumerate(chosen):
        report({"event": "progress", "phase": "check", "files": count, "files_total": len(chosen)})
        record = context.catalogue.pack(no, blobs=True)
        name = record.id.hex()
        try:
            data = await fetcher.whole(record)
            await context.in_worker(_open_all, context, opener, record, data)
        except (TooFewShards, PeerError) as error:
            result.unread.append({"pack": name, "reason": str(error)})
        except IntegrityError as error:
            result.damage.append({"pack": name, "reason": str(error)})
        else:
            result.packs_read += 1
            result.bytes_read += record.length


def _open_all(context: NodeContext, opener: BlobOpener, record: PackRecord, data: bytearray) -> None:
    """Open every blob of a pack; what the catalogue says of it must be what its own directory says."""
    view = memoryview(data)
    generation, id, _, entries = read_directory(context.ring, view[: record.length])
    if (id, generation) != (record.id, record.generation):
        raise IntegrityError("it is another pack than the catalogue says")
    listed = {entry.id: entry for entry in entries}
    for entry in record.blobs:
        if listed.get(entry.id) != entry:
            raise IntegrityError(f"chunk {entry.id.hex()[:16]} is not where the catalogue says")
    for entry in entries:
        raw = opener.open(generation, id, entry, view[entry.offset : entry.offset + entry.length])
        if generation == context.key.generation and context.key.chunk_id(raw) != entry.id:
            raise IntegrityError(f"chunk {entry.id.hex()[:16]} has another content than its name says")


__all__ = ["CheckResult", "Subset", "check"]
