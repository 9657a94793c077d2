"""Which path of the mounted file system is what: snapshots by time and id, `latest`, and tags; below them, their trees.

    latest -> snapshots/2026-11-23T15-29-04Z_ab12cd34ef56
    snapshots/2026-11-23T15-29-04Z_ab12cd34ef56/...
    tags/nightly/2026-11-23T15-29-04Z_ab12cd34ef56 -> ../../snapshots/...

A snapshot never changes, so what was read of one is kept (within bounds); their list is asked for every few seconds.
"""

from __future__ import annotations

import stat
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from threading import Lock
from typing import Any, Protocol

from peerage.flow.files import Layout
from peerage.snapshot.tree import Entry, EntryType

LIST_EVERY_S = 5.0
MAX_ENTRIES = 100_000
"""Of directories kept decoded, beyond the one read last."""
_NEAR = 4  # directories that are found by their paths, without walking there
_COUNTED = 8  # snapshots whose hard links are counted
Path = tuple[bytes, ...]


class Source(Protocol):
    """Where a view comes from: the daemon. Every method raises PeerageError."""

    def snapshots(self) -> list[dict[str, Any]]: ...
    def root(self, snapshot: str) -> bytes: ...
    def directory(self, ids: bytes) -> list[Entry]: ...
    def links(self, snapshot: str) -> dict[int, int]: ...


@dataclass(frozen=True, slots=True)
class Node:
    """One name. snapshot: its id, empty above the snapshots. directory: the ids of the tree that the name is in."""

    path: Path
    entry: Entry
    snapshot: str = ""
    directory: bytes = b""


@dataclass(slots=True)
class _Listing:
    """The snapshots at one time. top: what lies above them, by path: a directory's names, or a symlink's target."""

    until_s: float
    ids: dict[bytes, tuple[str, int]]
    top: dict[Path, list[bytes] | bytes]
    newest_ns: int


class View:
    """Thread-safe."""

    def __init__(self, source: Source, owner: tuple[int, int], clock: Callable[[], float] = time.monotonic) -> None:
        """owner: user and group of what no snapshot has. clock: seconds that only grow."""
        self._source = source
        self._owner = owner
        self._clock = clock
        self._listing: _Listing | None = None
        self._roots: dict[str, bytes] = {}
        self._links: dict[str, dict[int, int]] = {}
        self._directories: OrderedDict[bytes, dict[bytes, Entry]] = OrderedDict()
        self._near: dict[Path, tuple[bytes, dict[bytes, Entry]]] = {}
        self._lock = Lock()
        self._counting = Lock()

    def find(self, path: Path) -> Node | None:
        """What is at a path; None when nothing is. Raises PeerageError."""
        listing = self._listed()
        above = listing.top.get(path)
        if above is not None:
            return Node(path, self._made(path, above, listing.newest_ns))
        if len(path) < 2 or path[0] != b"snapshots" or path[1] not in listing.ids:
            return None
        snapshot, time_ns = listing.ids[path[1]]
        near = self._near.get(path[:-1])
        if near is not None:
            entry = near[1].get(path[-1])
            return None if entry is None else Node(path, entry, snapshot, near[0])
        found = Node(path[:2], self._directory_entry(path[1], time_ns), snapshot)
        for depth in range(2, len(path)):
            if found.entry.type is not EntryType.DIRECTORY:
                return None
            ids = self._subtree(found)
            entries = self._directory(ids)
            if depth == len(path) - 1:
                if len(self._near) >= _NEAR:
                    self._near.clear()
                self._near[path[:-1]] = ids, entries
            entry = entries.get(path[depth])
            if entry is None:
                return None
            found = Node(path[: depth + 1], entry, snapshot, ids)
        return found

    def children(self, node: Node) -> list[Node]:
        """What a directory holds. Raises PeerageError."""
        if not node.snapshot:
            listing = self._listed()
            names = listing.top.get(node.path)
            found = [self.find((*node.path, name)) for name in names] if isinstance(names, list) else []
            return [child for child in found if child is not None]
        ids = self._subtree(node)
        return [Node((*node.path, n), e, node.snapshot, ids) for n, e in self._directory(ids).items()]

    def following(self, node: Node, largest: int, count: int) -> list[bytes]:
        """The names behind a file's in its directory, of files of at most `largest` bytes. Raises PeerageError."""
        entries = self._directory(node.directory)
        names = iter(entries)
        for name in names:
            if name == node.entry.name:
                break
        small = (n for n in names if entries[n].type is EntryType.FILE and 0 < entries[n].size <= largest)
        return list(islice(small, count))

    def attributes(self, node: Node) -> dict[str, int]:
        """As stat(2) has them; times in nanoseconds. Raises PeerageError."""
        entry = node.entry
        size = len(entry.target) if entry.type is EntryType.SYMLINK else entry.size
        return {
            "st_mode": entry.type.file_type | stat.S_IMODE(entry.mode),
            "st_ino": self.inode(node),
            "st_nlink": self._names_of(node),
            "st_uid": entry.uid,
            "st_gid": entry.gid,
            "st_rdev": entry.rdev,
            "st_size": size,
            "st_blocks": -(-Layout(entry).length // 512) if entry.type is EntryType.FILE else 0,
            "st_atime": entry.mtime_ns,
            "st_mtime": entry.mtime_ns,
            "st_ctime": entry.mtime_ns,
        }

    @staticmethod
    def kind(node: Node) -> int:
        """The type of file, as the mode has it."""
        return node.entry.type.file_type

    def inode(self, node: Node) -> int:
        """The same for all names of one file, and in every mount."""
        entry = node.entry
        what = b"%d" % entry.links if entry.links else b"/" + b"/".join(node.path[2:] if node.snapshot else node.path)
        return int.from_bytes(blake2b(what, digest_size=8, key=node.snapshot.encode()[:64]).digest(), "big") | 1

    def _names_of(self, node: Node) -> int:
        """How many names a file has in its snapshot; 1 for directories, whose subdirectories would need to be read."""
        if not node.entry.links:
            return 1
        with self._counting:
            counts = self._links.get(node.snapshot)
            if counts is None:
                counts = self._links[node.snapshot] = self._source.links(node.snapshot)
                if len(self._links) > _COUNTED:
                    del self._links[next(iter(self._links))]
            return counts.get(node.entry.links, 1)

    # -- what is asked for -----------------------------------------------------------------------------------------

    def _listed(self) -> _Listing:
        listing = self._listing
        if listing is None or self._clock() >= listing.until_s:
            listing = self._listing = _list(self._source.snapshots(), self._clock() + LIST_EVERY_S)
        return listing

    def _subtree(self, node: Node) -> bytes:
        """The ids of a directory's tree blobs; those of a snapshot's root are only asked for when it is looked into."""
        if len(node.path) > 2:
            return node.entry.subtree
        ids = self._roots.get(node.snapshot)
        if ids is None:
            ids = self._roots[node.snapshot] = self._source.root(node.snapshot)
        return ids

    def _directory(self, ids: bytes) -> dict[bytes, Entry]:
        with self._lock:
            known = self._directories.get(ids)
            if known is not None:
                self._directories.move_to_end(ids)
                return known
        read = {entry.name: entry for entry in self._source.directory(ids)}
        with self._lock:
            self._directories[ids] = read
            while len(self._directories) > 1 and sum(map(len, self._directories.values())) > MAX_ENTRIES:
                self._directories.popitem(last=False)
        return read

    def _made(self, path: Path, what: list[bytes] | bytes, time_ns: int) -> Entry:
        name = path[-1] if path else b"/"
        if isinstance(what, list):
            return self._directory_entry(name, time_ns)
        uid, gid = self._owner
        return Entry(name, EntryType.SYMLINK, mode=0o777, uid=uid, gid=gid, mtime_ns=time_ns, target=what)

    def _directory_entry(self, name: bytes, time_ns: int) -> Entry:
        uid, gid = self._owner
        return Entry(name, EntryType.DIRECTORY, mode=0o555, uid=uid, gid=gid, mtime_ns=time_ns)


def _list(snapshots: list[dict[str, Any]], until_s: float) -> _Listing:
    ids: dict[bytes, tuple[str, int]] = {}
    tags: dict[bytes, list[bytes]] = {}
    top: dict[Path, list[bytes] | bytes] = {}
    newest_ns = 0
    for snapshot in snapshots:
        newest_ns = int(snapshot["time_ns"])
        when = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(newest_ns // 1_000_000_000))
        name = f"{when}_{snapshot['id'][:12]}".encode()
        ids[name] = snapshot["id"], newest_ns
        top[(b"latest",)] = b"snapshots/" + name
        for tag in snapshot.get("tags", []):
            # A tag is any text; what no name can be has its place under one that can.
            folder = tag.encode(errors="surrogateescape").replace(b"/", b"_").replace(b"\x00", b"_")[:255]
            if folder not in (b".", b".."):
                tags.setdefault(folder, []).append(name)
                top[b"tags", folder, name] = b"../../snapshots/" + name
    for folder, names in tags.items():
        top[b"tags", folder] = names
    top[(b"snapshots",)] = list(ids)
    top[(b"tags",)] = list(tags)
    top[()] = [b"snapshots", b"tags", *([b"latest"] if ids else [])]
    return _Listing(until_s, ids, top, newest_ns)
