"""Trees: one directory's entries, in blobs of about a megabyte. Normative: node/spec/snapshots.md."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Annotated

import msgspec

from peerage.errors import IntegrityError
from peerage.model import MIB, ChunkId
from peerage.snapshot.codec import I64, ID_SIZE, U32, U63, decode, prefix

MAGIC = b"PTRE"
VERSION = 1
BLOB_SIZE = 1 * MIB
"""Bytes of a tree blob at most, unless one entry alone is larger."""
DIRECT_LIMIT = 4096
"""A file of more chunks names blobs that list its chunks (depth 1) instead of the chunks themselves (depth 0)."""
IDS_PER_LIST = BLOB_SIZE // ID_SIZE
MAX_IDS = 1 << 16
MAX_EXTENTS = 1 << 19
MAX_XATTRS = 1 << 12
_FORBIDDEN = frozenset((b".", b".."))


class EntryType(IntEnum):
    """What an entry is. Sockets are never stored: they mean nothing without the process behind them."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2
    FIFO = 3
    CHAR = 4
    BLOCK = 5
    SOCKET = 6

    @property
    def file_type(self) -> int:
        """As st_mode has it."""
        return _FILE_TYPES[self]


_FILE_TYPES = {
    EntryType.FILE: stat.S_IFREG,
    EntryType.DIRECTORY: stat.S_IFDIR,
    EntryType.SYMLINK: stat.S_IFLNK,
    EntryType.FIFO: stat.S_IFIFO,
    EntryType.CHAR: stat.S_IFCHR,
    EntryType.BLOCK: stat.S_IFBLK,
    EntryType.SOCKET: stat.S_IFSOCK,
}

Name = Annotated[bytes, msgspec.Meta(max_length=255)]
Ids = Annotated[bytes, msgspec.Meta(max_length=MAX_IDS * ID_SIZE)]
Text = Annotated[str, msgspec.Meta(max_length=256)]
XattrName = Annotated[bytes, msgspec.Meta(min_length=1, max_length=255)]
XattrValue = Annotated[bytes, msgspec.Meta(max_length=1 << 16)]
_FIELDS = {
    "name": "n",
    "type": "t",
    "mode": "m",
    "uid": "u",
    "gid": "g",
    "user": "un",
    "group": "gn",
    "mtime_ns": "mt",
    "size": "s",
    "content": "c",
    "depth": "d",
    "target": "l",
    "rdev": "r",
    "links": "h",
    "xattrs": "x",
    "subtree": "b",
    "extents": "e",
}


class Entry(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False, rename=_FIELDS):
    """One name in a directory.

    name: any bytes but "/" and NUL. mode: permission bits (st_mode's file type may be kept). mtime_ns: since 1970.
    size: bytes of a file, holes counted. content: 32-byte ids, of the file's chunks (depth 0) or of blobs that list
    them (depth 1). extents: (offset, length) of a sparse file's data, whose concatenation the chunks are; none means
    that the file is dense, or all hole when there is no content either. target: where a symlink leads. rdev: a
    device's number. links: equal and not 0 for names of one file. xattrs: POSIX ACLs among them. subtree: ids of a
    directory's tree blobs, none if it is empty.
    """

    name: Name
    type: EntryType
    mode: Annotated[int, msgspec.Meta(ge=0, le=0o177777)] = 0
    uid: U32 = 0
    gid: U32 = 0
    user: Text = ""
    group: Text = ""
    mtime_ns: I64 = 0
    size: U63 = 0
    content: Ids = b""
    depth: Annotated[int, msgspec.Meta(ge=0, le=1)] = 0
    target: Annotated[bytes, msgspec.Meta(max_length=4096)] = b""
    rdev: U63 = 0
    links: U63 = 0
    xattrs: Annotated[dict[XattrName, XattrValue], msgspec.Meta(max_length=MAX_XATTRS)] = {}
    subtree: Ids = b""
    extents: Annotated[list[tuple[U63, U63]], msgspec.Meta(max_length=MAX_EXTENTS)] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Entry])
_PREFIX = prefix(MAGIC, VERSION)


def encode_tree(entries: Iterable[Entry]) -> list[bytes]:
    """The tree blobs of one directory; none when it is empty.

    entries: sorted by name, each name once. Raises ValueError for what decode_tree would refuse, so that nothing is
    written that could not be read again.
    """
    blobs: list[bytes] = []
    rows: list[bytes] = []
    size, previous = 0, b""
    for entry in entries:
        reason = _fault(entry, previous)
        if reason:
            raise ValueError(f"{entry.name!r}: {reason}")
        if len(entry.xattrs) > 1:
            entry.xattrs = dict(sorted(entry.xattrs.items()))
        previous = entry.name
        row = _encoder.encode(entry)
        if rows and size + len(row) > BLOB_SIZE:
            blobs.append(_blob(rows))
            rows, size = [], 0
        rows.append(row)
        size += len(row)
    if rows:
        blobs.append(_blob(rows))
    return blobs


def decode_tree(blobs: Iterable[bytes]) -> list[Entry]:
    """One directory's entries from its tree blobs, in order. Raises IntegrityError, UnknownVersion."""
    entries: list[Entry] = []
    previous = b""
    for blob in blobs:
        for entry in decode(blob, MAGIC, VERSION, _decoder, "a tree"):
            reason = _fault(entry, previous)
            if reason:
                raise IntegrityError(f"a tree is malformed: {reason}")
            previous = entry.name
            entries.append(entry)
    return entries


def encode_content(ids: Sequence[ChunkId]) -> list[bytes]:
    """The list blobs (kind TREE) of a file of more than DIRECT_LIMIT chunks: the ids, concatenated."""
    return [b"".join(ids[i : i + IDS_PER_LIST]) for i in range(0, len(ids), IDS_PER_LIST)]


def split_ids(concatenated: bytes) -> list[ChunkId]:
    """Chunk ids from their concatenation (content, subtree, list blobs). Raises IntegrityError."""
    if len(concatenated) % ID_SIZE:
        raise IntegrityError(f"{len(concatenated)} bytes are no list of chunk ids")
    return [ChunkId(concatenated[i : i + ID_SIZE]) for i in range(0, len(concatenated), ID_SIZE)]


def _blob(rows: list[bytes]) -> bytes:
    return _PREFIX + b"\xdd" + len(rows).to_bytes(4, "big") + b"".join(rows)


def _fault(entry: Entry, previous: bytes) -> str:
    """Why an entry cannot follow `previous` in a tree; empty when it can. Runs for every file: keep it short."""
    name = entry.name
    if name <= previous:
        return "names are not sorted, or one comes twice or is empty"
    if name in _FORBIDDEN or b"/" in name or b"\x00" in name:
        return "a name that no file can have"
    if len(name) > 255:
        return "a name of more than 255 bytes"
    if len(entry.content) % ID_SIZE or len(entry.subtree) % ID_SIZE:
        return "ids are cut short"
    if b"\x00" in entry.target:
        return "a symlink's target with a NUL"
    return _extents_fault(entry) if entry.extents else ""


def _extents_fault(entry: Entry) -> str:
    if len(entry.extents) > MAX_EXTENTS:
        return f"more than {MAX_EXTENTS} extents"
    end = 0
    for offset, length in entry.extents:
        if offset < end or length <= 0:
            return "extents overlap, or one is empty"
        end = offset + length
    return "extents reach beyond the file" if end > entry.size else ""
