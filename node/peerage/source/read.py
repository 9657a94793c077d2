"""Reading a tree by directory descriptors: paths may be of any length, and a rename above us changes nothing.

Names are bytes. Nothing is followed below the root: a symlink is an entry, never a way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from peerage.errors import UserError
from peerage.snapshot.tree import MAX_EXTENTS, Entry, EntryType
from peerage.source import xattrs
from peerage.source.owners import group_name, user_name

__all__ = [
    "Unreadable",
    "changed",
    "data_extents",
    "facts",
    "open_directory",
    "open_file",
    "open_root",
    "read_ahead",
    "read_entry",
    "scan",
    "scan_path",
]

_TYPES = {kind.file_type: kind for kind in EntryType}
_DEVICES = (EntryType.CHAR, EntryType.BLOCK)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A fifo that took the file's place must not block us, nor a symlink lead us away.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Unreadable(Exception):
    """One name of the tree cannot be read; the rest can. path: as it was given; reason: a few words."""

    def __init__(self, path: bytes, reason: str) -> None:
        super().__init__(f"{os.fsdecode(path)}: {reason}")
        self.path = path
        self.reason = reason


def open_root(path: bytes) -> int:
    """A descriptor of the directory `path`, to be closed by the caller; symlinks in it are followed.

    It can be scanned if the directory may be read; names in it can be reached in any case. Raises UserError.
    """
    fd = -1
    try:
        # Piece by piece only when the kernel would refuse the whole (PATH_MAX); each piece well below that.
        for piece in _pieces(path or b"."):
            parent, fd = fd, _open_directory(piece, fd if fd >= 0 else None)
            if parent >= 0:
                os.close(parent)
    except OSError as error:
        if fd >= 0:
            os.close(fd)
        raise UserError(f"{os.fsdecode(path)}: {error.strerror}: name a directory that can be read") from error
    return fd


def open_directory(dir_fd: int, name: bytes) -> int:
    """A descriptor of a subdirectory, never through a symlink. Raises Unreadable."""
    try:
        return _without_atime(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd)
    except OSError as error:
        raise Unreadable(name, _became(error, "a directory")) from error


def read_ahead(fd: int, size: int) -> None:
    """Let the system begin to read a file's first MiB while others are being dealt with."""
    if size and hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):  # a file system that does not care
            os.posix_fadvise(fd, 0, min(size, 1 << 20), os.POSIX_FADV_WILLNEED)


def scan(dir_fd: int) -> list[bytes]:
    """The names in an open directory, sorted as bytes. Raises OSError."""
    return sorted(map(os.fsencode, os.listdir(dir_fd)))


def scan_path(path: bytes) -> list[bytes]:
    """The names in the directory `path`, sorted. Raises UserError."""
    fd = open_root(path)
    try:
        return scan(fd)
    except OSError as error:
        raise UserError(f"{os.fsdecode(path)}: {error.strerror}: name a directory that can be read") from error
    finally:
        os.close(fd)


def read_entry(dir_fd: int, name: bytes, st: os.stat_result | None = None) -> tuple[Entry, tuple[int, int] | None]:
    """The entry of `name`, all but what it contains; and (device, inode) if it has other names too, else None.

    st: its lstat(), if the caller has it already. The size of a sparse or changing file is the caller's to correct.
    Raises Unreadable.
    """
    try:
        if st is None:
            st = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        kind = _TYPES[stat.S_IFMT(st.st_mode)]
        target = os.readlink(name, dir_fd=dir_fd) if kind is EntryType.SYMLINK else b""
        attributes = xattrs.get_all(xattrs.beneath(dir_fd, name), st.st_dev)
    except OSError as error:
        raise Unreadable(name, error.strerror or str(error)) from error
    except KeyError:
        raise Unreadable(name, "is of a kind that this program does not know") from None
    entry = Entry(
        name=name,
        type=kind,
        mode=stat.S_IMODE(st.st_mode),
        uid=st.st_uid,
        gid=st.st_gid,
        user=user_name(st.st_uid),
        group=group_name(st.st_gid),
        mtime_ns=st.st_mtime_ns,
        size=st.st_size if kind is EntryType.FILE else 0,
        target=target,
        rdev=st.st_rdev if kind in _DEVICES else 0,
        xattrs=attributes,
    )
    linked = st.st_nlink > 1 and kind is not EntryType.DIRECTORY
    return entry, (st.st_dev, st.st_ino) if linked else None


def open_file(dir_fd: int, name: bytes) -> int:
    """A descriptor of a regular file, opened without touching its access time where allowed. Raises Unreadable."""
    try:
        fd = _without_atime(name, _FILE, dir_fd)
    except OSError as error:
        raise Unreadable(name, _became(error, "a regular file")) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Unreadable(name, "is no longer a regular file")
    return fd


def data_extents(fd: int, size: int) -> list[tuple[int, int]]:
    """(offset, length) of the data between a file's holes, in order; [(0, size)] if it has none, [] if nothing else.

    Ask only when st_blocks * 512 < st_size: it costs two system calls for each extent. Past MAX_EXTENTS the rest of
    the file counts as data, which keeps memory bounded and loses only the holes.
    """
    extents: list[tuple[int, int]] = []
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole to the end
                break
            return [(0, size)]  # a file system that cannot tell
        if start >= size:
            break
        if len(extents) == MAX_EXTENTS - 1:
            extents.append((start, size - start))
            break
        end = min(size, os.lseek(fd, start, os.SEEK_HOLE))
        if end <= start:
            break  # cut short under us; `changed` will tell
        extents.append((start, end - start))
    os.lseek(fd, 0, os.SEEK_SET)
    return extents


def changed(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether a file changed or was replaced between two stats: what was read may then never have been its content."""
    return facts(before) != facts(after)


def facts(st: os.stat_result) -> tuple[int, int, int, int, int]:
    """What tells that a file is still what it was: size, mtime and ctime in ns, inode, device."""
    return st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino, st.st_dev


def _open_directory(path: bytes, dir_fd: int | None) -> int:
    try:
        return _without_atime(path, _DIRECTORY, dir_fd)
    except PermissionError:
        # Not to be listed, perhaps to be passed through: enough to reach what was named below it.
        return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)


def _without_atime(path: bytes, flags: int, dir_fd: int | None) -> int:
    try:
        return os.open(path, flags | os.O_NOATIME, dir_fd=dir_fd)
    except PermissionError:  # only the owner and root may ask for it
        return os.open(path, flags, dir_fd=dir_fd)


def _pieces(path: bytes, limit: int = 2048) -> list[bytes]:
    if len(path) <= limit:
        return [path]
    parts = path.split(b"/")
    pieces = [b"/" if path.startswith(b"/") else b"."]
    for part in parts:
        if part and len(pieces[-1]) + 1 + len(part) < limit and len(pieces) > 1:
            pieces[-1] += b"/" + part
        elif part:
            pieces.append(part)
    return pieces


def _became(error: OSError, expected: str) -> str:
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
        return f"is no longer {expected}"
    return error.strerror or str(error)
