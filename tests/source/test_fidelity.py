"""Whatever a tree holds comes back the same, as a program that is not ours sees it."""

import os
import shutil
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.source.copying import copy, deep_difference
from tests.trees.compare import difference
from tests.trees.make_tree import make_tree


@pytest.mark.parametrize(("seed", "threads", "open_files"), [(0, 1, 1), (1, 4, 8)])
def test_a_tree_with_every_kind_of_file(
    tmp_path: Path,
    seed: int,
    threads: int,
    open_files: int,
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    skipped = make_tree(source, seed)
    if os.getuid() == 0:
        assert skipped == [], "this file system cannot hold the whole test tree"
    assert copy(source, target, seed, threads, open_files) == []
    # rsync itself cannot follow paths over 4 KiB: the part below is compared from half way down.
    source_time = source.stat().st_mtime_ns
    os.utime(target, ns=(source_time, source_time))  # the target itself is the user's
    assert difference(source, target, "--exclude=/deep/000-*/*") == ""
    assert deep_difference(source, target) == ""
    for path in (source / "sparse").iterdir():
        assert blocks(target / "sparse" / path.name) <= blocks(path) + 16, f"{path.name} lost its holes"


def blocks(path: Path) -> int:
    return path.stat().st_blocks


def test_the_comparison_would_see_a_difference(tmp_path: Path) -> None:
    for side, content in (("a", "x"), ("b", "y")):
        deepest = tmp_path / side
        os.makedirs(deepest)
        fd = os.open(deepest, os.O_RDONLY)
        for name in ("deep", *(f"{level:03}-" + "d" * 196 for level in range(25))):
            os.mkdir(name, dir_fd=fd)
            inner = os.open(name, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = inner
        with open(os.open("file", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd), "w") as file:
            file.write(content)
        os.close(fd)
    assert "file" in deep_difference(tmp_path / "a", tmp_path / "b")


# Random trees: names, kinds, sizes, modes and times drawn by Hypothesis.

names = st.binary(min_size=1, max_size=40).map(lambda b: b.replace(b"/", b"\xff").replace(b"\0", b"\x01")).filter(
    lambda b: b not in (b".", b"..")
)  # fmt: skip
times = st.integers(-(1 << 31) * 10**9, (1 << 33) * 10**9)
# Only root can read what nobody may; and who is not root may lose setgid bits that it gives itself.
file_modes = st.integers(0, 0o7777) if os.getuid() == 0 else st.integers(0, 0o777).map(lambda mode: mode | 0o700)
attributes = st.dictionaries(st.sampled_from(["user.a", "user.b"]), st.binary(max_size=30), max_size=2)
contents = st.lists(st.one_of(st.binary(max_size=5000), st.integers(1, 1 << 20)), max_size=4)
"""Data, or the length of a hole."""

leaf_nodes = st.one_of(
    st.tuples(st.just("file"), contents, file_modes, times, attributes),
    st.tuples(st.just("symlink"), st.binary(min_size=1, max_size=80).filter(lambda b: b"\0" not in b), times),
    st.tuples(st.just("fifo"), file_modes, times),
    st.tuples(st.just("link"), st.integers(0, 20)),
)
nodes = st.recursive(
    leaf_nodes,
    lambda inner: st.tuples(
        st.just("directory"), st.dictionaries(names, inner, max_size=6), file_modes, times, attributes
    ),
    max_leaves=12,
)


def build(root: int, tree: dict[bytes, tuple[object, ...]], regular: list[bytes], at: bytes) -> None:
    for name, (kind, *rest) in tree.items():
        path = at + b"/" + name
        if kind == "directory":
            inner, mode, time_ns, xattrs = rest
            os.mkdir(name, dir_fd=root)
            fd = os.open(name, os.O_RDONLY, dir_fd=root)
            build(fd, inner, regular, path)  # type: ignore[arg-type]
            finish(fd, mode, time_ns, xattrs)
        elif kind == "file":
            pieces, mode, time_ns, xattrs = rest
            fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o600, dir_fd=root)
            end = 0
            for piece in pieces:  # type: ignore[attr-defined]
                if isinstance(piece, bytes):
                    os.pwrite(fd, piece, end)
                end += len(piece) if isinstance(piece, bytes) else piece
            os.ftruncate(fd, end)
            finish(fd, mode, time_ns, xattrs)
            regular.append(path)
        elif kind == "symlink":
            os.symlink(rest[0], name, dir_fd=root)  # type: ignore[arg-type]
            os.utime(name, ns=(rest[1], rest[1]), dir_fd=root, follow_symlinks=False)  # type: ignore[arg-type]
        elif kind == "fifo":
            os.mkfifo(name, dir_fd=root)
            os.chmod(name, rest[0], dir_fd=root)  # type: ignore[arg-type]
            os.utime(name, ns=(rest[1], rest[1]), dir_fd=root)  # type: ignore[arg-type]
        elif regular:
            os.link(regular[rest[0] % len(regular)], name, dst_dir_fd=root)  # type: ignore[operator]


def finish(fd: int, mode: object, time_ns: object, xattrs: object) -> None:
    for name, value in xattrs.items():  # type: ignore[attr-defined]
        os.setxattr(fd, name, value)
    os.fchmod(fd, mode)  # type: ignore[arg-type]
    os.utime(fd, ns=(time_ns, time_ns))  # type: ignore[arg-type]
    os.close(fd)


@given(st.dictionaries(names, nodes, min_size=1, max_size=6), st.integers(0, 100))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_trees(
    tmp_path_factory: pytest.TempPathFactory,
    tree: dict[bytes, tuple[object, ...]],
    seed: int,
) -> None:
    base = tmp_path_factory.mktemp("random")
    source, target = base / "s", base / "t"
    source.mkdir()
    fd = os.open(source, os.O_RDONLY)
    build(fd, tree, [], os.fsencode(source))
    os.close(fd)
    assert copy(source, target, seed) == []
    os.utime(target, ns=(0, source.stat().st_mtime_ns))
    assert difference(source, target) == ""
    with suppress(OSError):
        subprocess.run(["rm", "-rf", str(base)], check=True)


def test_a_target_that_hands_its_acl_down_does_not_change_the_files(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    make_tree(source, 5, files=20, without=["deep", "big", "owners"])
    target.mkdir()
    # acl(5) as the kernel encodes it: version 2, then (tag, permissions, id) of u::7 u:1:7 g::5 g:54321:7 m::7 o::5
    entries = ((1, 7, -1), (2, 7, 1), (4, 5, -1), (8, 7, 54321), (16, 7, -1), (32, 5, -1))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(target, "system.posix_acl_default", acl)
    assert copy(source, target) == []
    assert os.getxattr(target, "system.posix_acl_default") == acl, "the target itself keeps what its owner gave it"
    os.removexattr(target, "system.posix_acl_default")
    shutil.copystat(source, target)
    shutil.chown(target, source.stat().st_uid, source.stat().st_gid)
    assert difference(source, target) == ""
