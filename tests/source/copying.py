"""A restore as the engine does it, without the engine: read a tree, and write its data back in any order by threads."""

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.trees.compare import difference

from peerage.snapshot.tree import Entry, EntryType, decode_tree, encode_tree
from peerage.source import read
from peerage.source.write import FileHandle, Problem, Restorer

Names = tuple[bytes, ...]
PIECE = 300_000


def walk(dir_fd: int, at: Names, seen: dict[tuple[int, int], int]) -> Iterator[tuple[Names, Entry, int, bool]]:
    """(path, entry, its directory's descriptor, whether entering) depth first; a directory comes again when left."""
    for name in read.scan(dir_fd):
        entry, identity = read.read_entry(dir_fd, name)
        if entry.type is EntryType.SOCKET:
            continue
        if identity is not None:
            entry.links = seen.setdefault(identity, len(seen) + 1)
        if entry.type is EntryType.FILE and entry.size:
            fd = read.open_file(dir_fd, name)
            st = os.fstat(fd)
            if st.st_blocks * 512 < st.st_size:
                entry.extents = read.data_extents(fd, st.st_size)
            entry.content = b"" if not entry.extents and st.st_blocks * 512 < st.st_size else bytes(32)
            os.close(fd)
        (entry,) = decode_tree(encode_tree([entry]))  # whatever is read must survive its format
        yield (*at, name), entry, dir_fd, True
        if entry.type is EntryType.DIRECTORY:
            fd = read.open_directory(dir_fd, name)
            try:
                yield from walk(fd, (*at, name), seen)
            finally:
                os.close(fd)
            yield (*at, name), entry, dir_fd, False


def copy(source: Path, target: Path, seed: int = 0, threads: int = 4, open_files: int = 8) -> list[Problem]:
    """Copy a tree through read and write; what the restorer could not do."""
    restorer = Restorer(target, max_open_files=open_files, max_open_directories=4)
    restorer.prepare_target()
    root = read.open_root(os.fsencode(source))
    pieces: list[tuple[FileHandle, int, bytes]] = []
    handles: list[FileHandle] = []
    links: list[tuple[Names, Entry]] = []
    left: list[tuple[Names, Entry]] = []
    groups: set[int] = set()
    try:
        for path, entry, dir_fd, entering in walk(root, (), {}):
            if not entering:
                left.append((path, entry))
            elif entry.links and entry.links in groups:
                links.append((path, entry))
            elif entry.type is EntryType.DIRECTORY:
                restorer.make_directory(path, entry)
            elif entry.type is not EntryType.FILE:
                groups.add(entry.links)
                restorer.make_special(path, entry)
            else:
                groups.add(entry.links)
                handle = restorer.create_file(path, entry)
                handles.append(handle)
                pieces.extend((handle, offset, data) for offset, data in data_of(dir_fd, entry))
        random.Random(seed).shuffle(pieces)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda piece: restorer.write(*piece), pieces))
            list(pool.map(restorer.finish_file, handles))
        for path, entry in links:
            restorer.make_link(path, entry)
        for path, entry in left:
            restorer.finish_directory(path, entry)
        restorer.finish()
    finally:
        os.close(root)
        restorer.close()
    return restorer.problems


def data_of(dir_fd: int, entry: Entry) -> Iterator[tuple[int, bytes]]:
    extents = entry.extents or ([(0, entry.size)] if entry.content else [])
    fd = read.open_file(dir_fd, entry.name)
    try:
        for start, length in extents:
            for offset in range(start, start + length, PIECE):
                yield offset, os.pread(fd, min(PIECE, start + length - offset), offset)
    finally:
        os.close(fd)


def deep_difference(source: Path, target: Path) -> str:
    """The chain of 25 directories with names of 200 bytes, compared in stretches that rsync can follow."""
    found = ""
    for top in (0, 9, 18):  # the way to where it starts must stay under 4 KiB too
        down = ["deep", *(f"{level:03}-" + "d" * 196 for level in range(top))]
        inside = [descend(source, down), descend(target, down)]
        try:
            ends = [Path(f"/proc/{os.getpid()}/fd/{fd}") for fd in inside]
            found += difference(ends[0], ends[1], "--exclude=/*/*/*/*/*/*/*/*/*/*/*/*")
        finally:
            for fd in inside:
                os.close(fd)
    return found


def descend(path: Path, names: list[str]) -> int:
    fd = os.open(path, os.O_RDONLY)
    for name in names:
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = inner
    return fd
