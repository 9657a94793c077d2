"""Trees drawn by Hypothesis, made on disk and changed there.

Everything goes through directory descriptors, so that paths may be longer than a system call takes. What this user or
file system refuses (owners, devices, attributes) is left out.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import strategies as st

ROOT = os.getuid() == 0
DEEP = b"deep"
"""The first name of a chain of directories that is longer than 4 KiB; no other name is this one."""
CHAIN = tuple(b"%02d-" % level + b"d" * 200 for level in range(21))
KIB = 1 << 10
BORDERS = (256 * KIB, 1024 * KIB, 4096 * KIB)
"""The least, the mean and the largest length of a chunk."""

ODD = (b"-rf", b" ", b"...", b"\xff\xfe", b"a\nb", b"*", b"\\", b"\x01", "\u00fc".encode(), "u\u0308".encode())
names = (
    st.one_of(st.binary(min_size=1, max_size=12), st.binary(min_size=200, max_size=255), st.sampled_from(ODD))
    .map(lambda raw: raw.replace(b"/", b"\xff").replace(b"\0", b"\x01"))
    .filter(lambda raw: raw not in (b".", b"..", DEEP))
)
sizes = st.one_of(
    st.integers(0, 5000),
    st.sampled_from([0, 1, 4095, 4096, 4097]),
    st.builds(lambda border, by: border + by, st.sampled_from(BORDERS[:2]), st.integers(-2, 2)),
)
times = st.one_of(
    st.integers(-(1 << 31) * 10**9, (1 << 33) * 10**9), st.sampled_from([0, 1, -1, -999_999_999, 1_000_000_000])
)
numbers = st.sampled_from([0, 1, 12, 1000, 54_321, 65_534, 4_000_000_000])
attributes = st.dictionaries(
    st.sampled_from(["user.a", "user.\u00fc", "user.long", *(["trusted.t"] if ROOT else [])]),
    st.one_of(st.binary(max_size=40), st.just(bytes(range(256)) * 6)),
    max_size=2,
)
acls = st.sampled_from(["", "", "", "u:1:rwx", "g:12:r,m::rx", "u:54321:rw,g::-,m::r", "d:u:1:rx,d:g:54321:rwx"])
targets = st.one_of(
    st.binary(min_size=1, max_size=60).map(lambda raw: raw.replace(b"\0", b"?")),
    st.sampled_from([b".", b"/", b"../" * 40, b"no/such", b"x/" * 2000, b"\xff"]),
)
COMMON = ["file"] * 5 + ["directory"] * 4 + ["link"] * 2
kinds = st.sampled_from(COMMON + ["sparse", "symlink", "fifo", "deep"] + (["device"] if ROOT else []))


@dataclass(frozen=True, slots=True)
class Node:
    """One name to make. parent, other: which of the directories, and of the other names, there are by then, modulo."""

    kind: str
    name: bytes
    parent: int
    other: int
    size: int
    seed: int
    mode: int
    time_ns: int
    owner: tuple[int, int]
    attributes: dict[str, bytes]
    acl: str
    target: bytes
    device: tuple[bool, int, int]


nodes = st.builds(
    Node,
    kind=kinds,
    name=names,
    parent=st.integers(0, 30),
    other=st.integers(0, 30),
    size=sizes,
    seed=st.integers(0, 9),
    mode=st.integers(0, 0o7777),
    time_ns=times,
    owner=st.tuples(numbers, numbers),
    attributes=attributes,
    acl=acls,
    target=targets,
    device=st.tuples(st.booleans(), st.integers(0, 4095), st.integers(0, 1 << 19)),
)
trees = st.lists(nodes, min_size=1, max_size=16)
large_files = st.lists(st.sampled_from([BORDERS[2] - 1, BORDERS[2] + 1, 9_000_000]), max_size=1)
"""Sizes of a few large files: one name each, at the top."""
CHANGES = ("rewrite", "append", "cut", "touch", "mode", "attribute", "remove", "rename", "replace", "hole", "swap")
changes = st.lists(st.tuples(st.sampled_from(CHANGES), st.integers(0, 30), st.integers(0, 30)), max_size=6)

Names = tuple[bytes, ...]


@dataclass(slots=True)
class Forest:
    """A tree on disk. directories, others: the names in it, by their paths under `root`."""

    root: Path
    directories: list[Names] = field(default_factory=lambda: [()])
    others: list[Names] = field(default_factory=list)
    _finish: dict[Names, Node] = field(default_factory=dict)

    @property
    def deep(self) -> bool:
        return any(DEEP in path for path in self.directories)

    def grow(self, made: list[Node]) -> None:
        """Make the nodes. Directories get their metadata last, as making names changes their times and needs write
        permission."""
        for node in made:
            path = (*self.directories[node.parent % len(self.directories)], node.name)
            with self.at(path) as fd, contextlib.suppress(FileExistsError):
                self._make(fd, path, node)
        self.settle()

    def settle(self) -> None:
        for path in sorted(self._finish, key=len, reverse=True):
            with self.at(path) as fd:
                self._metadata(fd, path[-1], self._finish[path])
        self._finish.clear()

    @contextmanager
    def at(self, path: Names) -> Iterator[int]:
        """A descriptor of the directory that holds `path`."""
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in path[:-1]:
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)

    def _make(self, fd: int, path: Names, node: Node) -> None:
        if node.kind == "directory":
            os.mkdir(node.name, dir_fd=fd)
            self._directory(path, node)
            return
        if node.kind == "deep":
            self._chain(fd, path[:-1])
            return
        if node.kind == "link":
            if not self.others:
                return
            other = self.others[node.other % len(self.others)]
            with self.at(other) as other_fd:
                os.link(other[-1], node.name, src_dir_fd=other_fd, dst_dir_fd=fd, follow_symlinks=False)
            self.others.append(path)
            return
        if node.kind == "symlink":
            os.symlink(node.target, node.name, dir_fd=fd)
        elif node.kind == "fifo":
            os.mkfifo(node.name, dir_fd=fd)
        elif node.kind == "device":
            is_block, major, minor = node.device
            os.mknod(node.name, (0o060600 if is_block else 0o020600), os.makedev(major, minor), dir_fd=fd)
        else:
            self.write(fd, node.name, node.size, node.seed, sparse=node.kind == "sparse")
        self.others.append(path)
        self._metadata(fd, node.name, node)

    def _directory(self, path: Names, node: Node) -> None:
        self.directories.append(path)
        self._finish[path] = node

    def _chain(self, fd: int, parent: Names) -> None:
        os.mkdir(DEEP, dir_fd=fd)
        path = (*parent, DEEP)
        self.directories.append(path)
        for name in CHAIN:
            with self.at((*path, name)) as inner:
                os.mkdir(name, dir_fd=inner)
            path = (*path, name)
        self.directories.append(path)

    def write(self, fd: int, name: bytes, size: int, seed: int, sparse: bool = False) -> None:
        """A new file. sparse: a hole, data in the middle and at an odd place, a hole."""
        with open(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=fd), "wb") as file:
            if sparse:
                file.truncate(size + (seed << 17))
                for part in range(seed % 3):
                    file.seek(part * 300_000 + 4096 * seed)
                    file.write(random.Random(seed).randbytes(1 + size % 9000))
                return
            file.write(content(size, seed))

    def _metadata(self, fd: int, name: bytes, node: Node) -> None:
        path = b"/proc/%d/fd/%d/%b" % (os.getpid(), fd, name)
        link, directory = node.kind == "symlink", node.kind == "directory"
        if ROOT:
            _attempt(lambda: os.chown(name, *node.owner, dir_fd=fd, follow_symlinks=False))
        for key, value in node.attributes.items():
            _attempt(lambda key=key, value=value: os.setxattr(path, key, value, follow_symlinks=False))  # type: ignore[misc]
        if not link:
            # Who is not root must be able to read it, and loses setgid bits of foreign groups.
            mode = node.mode if ROOT else node.mode & 0o777 | (0o700 if directory else 0o400)
            os.chmod(name, mode, dir_fd=fd)
            if node.acl and node.kind != "device" and shutil.which("setfacl"):
                subprocess.run(["setfacl", "-m", node.acl, path], stderr=subprocess.DEVNULL, check=False)
        os.utime(name, ns=(node.time_ns, node.time_ns), dir_fd=fd, follow_symlinks=False)

    def change(self, asked: list[tuple[str, int, int]]) -> None:
        """Change what is there, each time one name that is no directory."""
        for what, index, other in asked:
            if self.others:
                path = self.others[index % len(self.others)]
                with self.at(path) as fd:
                    self._change(what, fd, path, other)

    def _change(self, what: str, fd: int, path: Names, other: int) -> None:
        name = path[-1]
        st_ = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if what == "remove":
            os.unlink(name, dir_fd=fd)
            self.others.remove(path)
        elif what == "rename":
            target = (*self.directories[other % len(self.directories)], b"renamed %d" % other)
            with self.at(target) as target_fd:
                os.rename(name, target[-1], src_dir_fd=fd, dst_dir_fd=target_fd)
            self.others.remove(path)
            if target not in self.others:
                self.others.append(target)
        elif what == "replace":
            os.unlink(name, dir_fd=fd)
            self.others.remove(path)
            os.mkdir(name, dir_fd=fd)
            self.directories.append(path)
        elif what == "swap":
            os.unlink(name, dir_fd=fd)
            self.write(fd, name, st_.st_size % 100_000, other)
            os.utime(name, ns=(st_.st_atime_ns, st_.st_mtime_ns), dir_fd=fd)
        elif what == "touch":
            os.utime(name, ns=(5, 10**18 + other), dir_fd=fd, follow_symlinks=False)
        elif what == "mode" and not _is(st_, 0o120000):
            os.chmod(name, 0o640 | other & 0o7, dir_fd=fd)
        elif _is(st_, 0o100000):
            self._change_file(what, fd, name, st_, other)

    def _change_file(self, what: str, fd: int, name: bytes, before: os.stat_result, other: int) -> None:
        os.chmod(name, before.st_mode & 0o7777 | 0o600, dir_fd=fd)
        with open(os.open(name, os.O_RDWR | os.O_NOFOLLOW, dir_fd=fd), "r+b") as file:
            if what == "rewrite":  # of the same length and time: only the change time tells
                file.write(content(min(before.st_size, 300_000), 10 + other))
            elif what == "append":
                file.seek(0, os.SEEK_END)
                file.write(content(5000, other))
            elif what == "cut":
                file.truncate(before.st_size // 2)
            elif what == "hole":
                file.truncate(before.st_size // 2)
                file.truncate(before.st_size + 100_000)
            elif what == "attribute":
                _attempt(lambda: os.setxattr(file.fileno(), "user.a", b"%d" % other))
        if what == "rewrite":
            os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns), dir_fd=fd)


def content(size: int, seed: int) -> bytes:
    """Random bytes, or for even seeds some that compress and repeat."""
    noise = random.Random(seed).randbytes(min(size, 70_000) if seed % 2 == 0 else size)
    return (noise * (size // len(noise) + 1))[:size] if size else b""


def _is(found: os.stat_result, kind: int) -> bool:
    return found.st_mode & 0o170000 == kind


def _attempt(action: Callable[[], object]) -> None:
    with contextlib.suppress(OSError):
        action()
