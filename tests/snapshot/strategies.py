"""Records drawn at random, for the property tests of this folder."""

from __future__ import annotations

from hypothesis import strategies as st

from peerage.model import (
    LEAF_SIZE,
    AgreementId,
    BlobEntry,
    BlobKind,
    ChunkId,
    Code,
    MemberId,
    PackId,
    PackKind,
    PackRecord,
    ShardLocation,
    ShardRoot,
)
from peerage.pack.layout import FAMILY, HEADER
from peerage.snapshot.snapshot import SnapshotSummary
from peerage.snapshot.tree import Entry, EntryType

ids = st.binary(min_size=32, max_size=32)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.binary(min_size=1, max_size=40).filter(
    lambda name: name not in (b".", b"..") and b"/" not in name and b"\x00" not in name
)
times = st.integers(-(2**63), 2**63 - 1)
U32 = 2**32 - 1


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    size = draw(st.integers(0, 2**63 - 1))
    bounds = sorted(draw(st.sets(st.integers(0, min(size, 2**40)), max_size=6)))
    extents = [(low, high - low) for low, high in zip(bounds[::2], bounds[1::2], strict=False)]
    return Entry(
        name=draw(names),
        type=draw(st.sampled_from(EntryType)),
        mode=draw(st.integers(0, 0o177777)),
        uid=draw(st.integers(0, U32)),
        gid=draw(st.integers(0, U32)),
        user=draw(texts),
        group=draw(texts),
        mtime_ns=draw(times),
        size=size,
        content=b"".join(draw(st.lists(ids, max_size=3))),
        depth=draw(st.integers(0, 1)),
        target=draw(st.binary(max_size=30).filter(lambda t: b"\x00" not in t)),
        rdev=draw(st.integers(0, 2**32)),
        links=draw(st.integers(0, 9)),
        xattrs=draw(st.dictionaries(st.binary(min_size=1, max_size=9), st.binary(max_size=9), max_size=3)),
        subtree=b"".join(draw(st.lists(ids, max_size=2))),
        extents=extents,
    )


directories = st.lists(entries(), max_size=8, unique_by=lambda entry: entry.name).map(
    lambda drawn: sorted(drawn, key=lambda entry: entry.name)
)


@st.composite
def pack_records(draw: st.DrawFn, with_blobs: bool = True) -> PackRecord:
    kind = draw(st.sampled_from(PackKind))
    family = [blob for blob in BlobKind if FAMILY[blob] == kind]
    blobs: list[BlobEntry] = []
    offset = HEADER.size
    for ordinal in range(draw(st.integers(0, 4)) if with_blobs else 0):
        raw = draw(st.integers(0, 4096))
        length = draw(st.integers(0, raw)) + 16
        blobs.append(BlobEntry(ChunkId(draw(ids)), draw(st.sampled_from(family)), ordinal, offset, length, raw))
        offset += length
    code = Code(draw(st.integers(1, 32)), draw(st.integers(1, 16)))
    length = offset + draw(st.integers(0, 5000))
    shard_length = max(1, -(-length // (code.k * LEAF_SIZE))) * LEAF_SIZE
    shards = tuple(
        ShardLocation(i, ShardRoot(draw(ids)), MemberId(draw(st.integers(0, U32))), AgreementId(draw(ids)))
        for i in range(code.n)
    )
    generation = draw(st.integers(0, U32))
    return PackRecord(PackId(draw(ids)), kind, generation, length, code, shard_length, shards, tuple(blobs))


summaries = st.builds(
    SnapshotSummary,
    id=ids,
    time_ns=times,
    host=texts,
    user=texts,
    paths=st.lists(st.binary(max_size=20), max_size=3),
    files=st.integers(0, 2**63 - 1),
    bytes=st.integers(0, 2**63 - 1),
    tags=st.lists(texts, max_size=2),
    hold=st.none() | texts,
)
