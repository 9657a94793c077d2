#!/usr/bin/env python3
"""Make a tree with every kind of file that a backup meets: `python tests/trees/make_tree.py DIR [--seed N]`.

The same seed gives the same names and contents. What this user or file system cannot make (devices without root,
attributes on some file systems) is left out and said on stderr. Only the standard library is used; nothing of Peerage.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import struct
import sys
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

NS = 1_000_000_000


class Tree:
    """A directory being filled. `skipped` names what could not be made here."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.random = random.Random(seed)
        self.skipped: list[str] = []

    def attempt(self, what: str, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            self.skipped.append(f"{what}: {error.strerror}")

    def close(self, path: Path, mode: int, needed: int) -> None:
        """Set a mode; but none that would hide the file from the user who is to back it up."""
        if os.getuid() == 0 or mode & needed == needed:
            path.chmod(mode)
        else:
            self.skipped.append(f"{path.name}: only root could read it")

    def directory(self, name: str) -> Path:
        path = self.root / name
        path.mkdir(parents=True)
        return path


def make_tree(root: Path, seed: int = 0, files: int = 200, without: Collection[str] = ()) -> list[str]:
    """Fill `root`, missing or empty, with `files` ordinary files and one of every odd kind.

    without: parts to leave out, by the names of the functions below. Returns what could not be made here.
    """
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise SystemExit(f"{root} is not empty")
    tree = Tree(root, seed)
    ordinary(tree, files)
    odd = (empty, names, deep, symlinks, hard_links, sparse, specials, modes, owners, attributes, acls, big)
    for part in odd:
        if part.__name__ not in without:
            part(tree)
    times(tree)
    return tree.skipped


def ordinary(tree: Tree, count: int) -> None:
    """Many small files, some alike, some compressible, in nested directories."""
    base = tree.directory("ordinary")
    alike = tree.random.randbytes(5000)
    for n in range(count):
        folder = base / f"d{n % 7}" / f"e{n % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        size = tree.random.choice([1, 100, 1023, 1024, 1025, 4096, 30_000])
        content = (
            alike if n % 10 == 0 else tree.random.randbytes(size) if n % 2 else b"all the same line\n" * (size // 18)
        )
        (folder / f"file {n}.dat").write_bytes(content)


def empty(tree: Tree) -> None:
    base = tree.directory("empty")
    (base / "file").touch()
    (base / "directory").mkdir()
    (base / "nested" / "deeper" / "deepest").mkdir(parents=True)


def names(tree: Tree) -> None:
    """Any bytes but '/' and NUL: not UTF-8, control characters, globs, options, the longest."""
    base = os.fsencode(tree.directory("names"))
    odd = [b"\xff\xfe not utf-8", b"new\nline", b"tab\tand\rreturn", b"\x01\x7f", b"-rf", b"--", b"*?[a]", b"...", b" "]
    odd += [
        b"'\"$`\\",
        b"x" * 255,
        b"\xf0\x9f\x92\xbe",
        "Ünïcode".encode(),
        "e\u0301".encode(),
        "\u00e9".encode(),
        b"~",
        b"#",
    ]
    odd += [bytes([c]) for c in range(1, 256) if c not in b"/."]
    for name in dict.fromkeys(odd):
        tree.attempt(f"name {name!r}", lambda name=name: _write(base + b"/" + name, name))  # type: ignore[misc]
    os.mkdir(base + b"/\xfe directory")
    _write(base + b"/\xfe directory/\xfd file", b"inside")


def deep(tree: Tree) -> None:
    """A path of more than 4 KiB, which no single system call can name."""
    base = tree.directory("deep")
    fd = os.open(base, os.O_RDONLY)
    for level in range(25):
        name = f"{level:03}-" + "d" * 196
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = inner
        with open(os.open("file", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd), "w") as file:
            file.write(f"at level {level}\n")
    os.symlink("../file", "up", dir_fd=fd)
    os.mkfifo("fifo", dir_fd=fd)
    os.link("file", "hard link", src_dir_fd=fd, dst_dir_fd=fd)
    os.close(fd)
    for name in ("many", *(["n"] * 150)):
        base = base / name
        base.mkdir()
    (base / "bottom").write_text("150 levels down\n")


def symlinks(tree: Tree) -> None:
    base = tree.directory("symlinks")
    (base / "target").write_text("a target\n")
    for name, target in {
        "relative": "target", "absolute": "/etc/hostname", "dangling": "no/such/thing", "loop": "loop",
        "directory": "../ordinary", "outside": "../../../../../../..", "long": "x/" * 2000 + "y", "dot": ".",
    }.items():  # fmt: skip
        tree.attempt(f"symlink {name}", lambda n=name, t=target: os.symlink(t, base / n))  # type: ignore[misc]
    os.symlink(b"bytes \xff\xfe", os.fsencode(base / "odd"))


def hard_links(tree: Tree) -> None:
    base = tree.directory("hard links")
    (base / "one").write_bytes(tree.random.randbytes(70_000))
    (base / "sub").mkdir()
    for name in ("two", "sub/three", "sub/four"):
        os.link(base / "one", base / name)
    (base / "empty").touch()
    os.link(base / "empty", base / "sub" / "empty too")
    os.symlink("one", base / "link")
    tree.attempt("hard link to a symlink", lambda: os.link(base / "link", base / "sub" / "link", follow_symlinks=False))
    os.mkfifo(base / "fifo")
    tree.attempt("hard link to a fifo", lambda: os.link(base / "fifo", base / "sub" / "fifo"))


def sparse(tree: Tree) -> None:
    base = tree.directory("sparse")

    def make(name: str, size: int, *data: int) -> None:
        with open(base / name, "wb") as file:
            file.truncate(size)
            for offset in data:
                file.seek(offset)
                file.write(tree.random.randbytes(4096))

    make("all hole", 10 << 20)
    make("hole first", 3 << 20, (3 << 20) - 4096)
    make("hole last", 3 << 20, 0)
    make("holes between", 50 << 20, 0, 7 << 20, (20 << 20) + 8192, 49 << 20)
    make("odd end", (1 << 20) + 123, 65536)
    make("large", 300 << 20, 200 << 20)


def specials(tree: Tree) -> None:
    base = tree.directory("specials")
    os.mkfifo(base / "fifo", 0o640)
    with socket.socket(socket.AF_UNIX) as unix, _inside(base):
        unix.bind("socket")
    os.unlink(base / "socket")  # the process behind it is what a socket is: no backup can keep it
    tree.attempt("character device", lambda: os.mknod(base / "null", 0o020666, os.makedev(1, 3)))
    tree.attempt("block device", lambda: os.mknod(base / "loop", 0o060640, os.makedev(7, 77)))
    tree.attempt("large device number", lambda: os.mknod(base / "large", 0o020600, os.makedev(300, 70_000)))


def modes(tree: Tree) -> None:
    """Every permission bit, setuid and sticky ones too; files and directories that nobody may read or write."""
    base = tree.directory("modes")
    for mode in (0o000, 0o111, 0o222, 0o400, 0o444, 0o555, 0o600, 0o644, 0o755, 0o777, 0o4755, 0o2755, 0o6711, 0o1644):
        path = base / f"file {mode:04o}"
        path.write_bytes(b"mode")
        tree.close(path, mode, 0o400)
    for mode in (0o000, 0o500, 0o555, 0o711, 0o1777, 0o2775, 0o3770):
        path = base / f"directory {mode:04o}"
        path.mkdir()
        (path / "inside").write_text("inside")
        tree.close(path, mode, 0o500)


def owners(tree: Tree) -> None:
    """Users and groups with names here and without."""
    base = tree.directory("owners")
    for uid, gid in ((1, 1), (0, 12), (65534, 65534), (54321, 12345), (4_000_000_000, 4_000_000_001)):
        path = base / f"{uid} {gid}"
        path.write_text("owned")
        tree.attempt(f"owner {uid}:{gid}", lambda p=path, u=uid, g=gid: os.chown(p, u, g))  # type: ignore[misc]
    link = base / "link"
    os.symlink("nowhere", link)
    tree.attempt("owner of a symlink", lambda: os.chown(link, 54321, 12345, follow_symlinks=False))
    (base / "folder").mkdir()
    tree.attempt("owner of a directory", lambda: os.chown(base / "folder", 1, 54321))


def attributes(tree: Tree) -> None:
    base = tree.directory("attributes")
    values = {
        "user.text": b"a value",
        "user.empty": b"",
        "user.binary": bytes(range(256)),
        "user.long": b"v" * 2000,
        "user.\u00fc": b"name",
    }
    for kind in ("file", "directory", "read only"):
        path = base / kind
        path.mkdir() if kind == "directory" else path.write_text(kind)
        for name, value in values.items():
            tree.attempt(f"{name} on {kind}", lambda p=path, n=name, v=value: os.setxattr(p, n, v))  # type: ignore[misc]
        tree.attempt(f"trusted on {kind}", lambda p=path: os.setxattr(p, "trusted.peerage", b"t"))  # type: ignore[misc]
    (base / "read only").chmod(0o444)
    os.symlink("file", base / "link")
    tree.attempt("trusted on a symlink", lambda: os.setxattr(base / "link", "trusted.x", b"l", follow_symlinks=False))
    (base / "capable").write_text("may listen on port 80")
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service, effective
    tree.attempt("capability", lambda: os.setxattr(base / "capable", "security.capability", capability))


def acls(tree: Tree) -> None:
    base = tree.directory("acls")
    (base / "file").write_text("acl")
    (base / "folder").mkdir()
    (base / "closed").write_text("acl, and closed to the group by its mask")
    # As the kernel has it: (tag, permissions, id); owner 1, user 2, group 4, named group 8, mask 16, others 32.
    given = {
        "file": ("access", [(1, 6, -1), (2, 4, 1), (2, 6, 54321), (4, 4, -1), (8, 7, 12), (16, 7, -1), (32, 4, -1)]),
        "folder": ("access", [(1, 7, -1), (2, 7, 1), (4, 5, -1), (16, 7, -1), (32, 5, -1)]),
        "folder ": ("default", [(1, 7, -1), (2, 7, 1), (4, 5, -1), (8, 5, 54321), (16, 7, -1), (32, 0, -1)]),
        "closed": ("access", [(1, 6, -1), (2, 6, 1), (4, 4, -1), (16, 0, -1), (32, 4, -1)]),
    }
    for name, (kind, entries) in given.items():
        value = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
        path = base / name.strip()
        tree.attempt(
            f"{kind} ACL on {name}",
            lambda p=path, k=kind, v=value: os.setxattr(p, f"system.posix_acl_{k}", v),  # type: ignore[misc]
        )
    (base / "folder" / "heir").write_text("has the default ACL")
    (base / "folder" / "inner").mkdir()


def big(tree: Tree) -> None:
    """Larger than a pack: many chunks, some of them alike, some compressible."""
    block = tree.random.randbytes(1 << 20)
    with open(tree.directory("big") / "file", "wb") as file:
        for n in range(40):
            file.write(block if n % 8 == 0 else tree.random.randbytes(1 << 20) if n % 3 else bytes([n]) * (1 << 20))
        file.write(b"an odd end")


def times(tree: Tree) -> None:
    """Nanoseconds, before 1970, far in the future; last, as making names changes directories' times."""
    base = tree.directory("times")
    for name, time_ns in {
        "nanoseconds": 1_234_567_890_123_456_789, "epoch": 0, "before": -123_456_789_987_654_321, "one": 1,
        "future": 4_102_444_800 * NS + 999_999_999,
    }.items():  # fmt: skip
        path = base / name
        path.touch()
        tree.attempt(f"time {time_ns}", lambda p=path, t=time_ns: os.utime(p, ns=(t, t)))  # type: ignore[misc]
    link = base / "link"
    os.symlink("nowhere", link)
    os.utime(link, ns=(7, 1_000_000_007), follow_symlinks=False)
    for _, folders, _, fd in os.fwalk(os.fsencode(tree.root), topdown=False):
        for folder in folders:
            when = 1_500_000_000 * NS + zlib.crc32(folder) * 1_001
            os.utime(folder, ns=(when, when), dir_fd=fd, follow_symlinks=False)
    os.utime(tree.root, ns=(5, 1_600_000_000_000_000_005))


def _write(path: bytes, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


@contextmanager
def _inside(path: Path) -> Iterator[None]:
    """A socket's address holds 107 bytes: name it from its own directory."""
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="missing or empty")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=int, default=200, help="ordinary files on top of the odd ones")
    parser.add_argument("--without", action="append", default=[], metavar="PART", help="deep: rsync cannot follow it")
    arguments = parser.parse_args()
    for skipped in make_tree(arguments.directory, arguments.seed, arguments.files, arguments.without):
        print(f"left out: {skipped}", file=sys.stderr)


if __name__ == "__main__":
    main()
