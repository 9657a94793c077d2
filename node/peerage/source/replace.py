"""Restoring over a tree that is there already: what is right is left, the rest is replaced name by name.

Each file is written under a temporary name in its directory and renamed when it is whole, so at any moment every name
is the old file or the new one. Nothing is reached through a symlink, and no mount point below the target is emptied.
Used as Restorer is, with:

    replacer.keep(handle, same)               # instead of writing: the file there is as it should be
    replacer.state_of(path, entry)            # what restoring would do, for a preview
    replacer.delete_others(path, entry, names, spare)
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection
from contextlib import suppress
from enum import Enum
from hashlib import sha256
from pathlib import Path

from peerage.errors import LocalFault
from peerage.snapshot.tree import Entry, EntryType
from peerage.source import xattrs
from peerage.source.metadata import apply_to_descriptor
from peerage.source.owners import gid_for, uid_for
from peerage.source.write import FileHandle, Names, Restorer

__all__ = ["Replacer", "State"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_EXTRA = (b"user.", xattrs.ACL_PREFIX)
"""Attributes that a directory must not keep when the snapshot's has none of that name."""


class State(Enum):
    """What restoring an entry does to what is there."""

    CREATE = "create"
    REPLACE = "replace"
    METADATA = "metadata"
    KEEP = "keep"


class Replacer(Restorer):
    """Over a tree that may be there already.

    delete: a directory may be emptied to make way for what the snapshot has instead of it.
    """

    must_be_empty = False

    def __init__(self, target: Path, delete: bool = False) -> None:
        super().__init__(target)
        self._delete = delete
        self.deleted = 0

    def prepare_target(self) -> None:
        super().prepare_target()
        self._inherits_acls = True  # any directory below may have default ACLs of its own

    def look(self) -> bool:
        """Open the target for state_of alone; False when there is none. Raises LocalFault."""
        try:
            self._root = os.open(self._target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise LocalFault(f"{self._target} cannot be read ({error.strerror})") from error
        return True

    def state_of(self, path: Names, entry: Entry) -> State:
        """What restoring this entry would do, by type, size, time and metadata. Raises LocalFault."""
        try:
            with self._directory(path[:-1]) as parent_fd:
                st = os.stat(path[-1], dir_fd=parent_fd, follow_symlinks=False)
                if not self._same(parent_fd, path[-1], st, entry):
                    return State.REPLACE
                beneath = xattrs.beneath(parent_fd, path[-1])
                return State.KEEP if _metadata_equal(st, beneath, entry) else State.METADATA
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return State.CREATE
            raise LocalFault(f"{os.fsdecode(b'/'.join(path))} cannot be looked at ({error.strerror})") from error

    def keep(self, handle: FileHandle, same: Callable[[int], bool] | None) -> bool:
        """Leave the file that is there if its size and time, and by same(descriptor) its content, are right; only its
        metadata is mended. False when it must be written. Raises LocalFault."""
        entry = handle.entry
        try:
            with self._directory(handle.path[:-1]) as parent_fd:
                fd = self.open_restored(handle.path)
                try:
                    st = os.fstat(fd)
                    if not self._same(parent_fd, handle.path[-1], st, entry) or (same is not None and not same(fd)):
                        return False
                    if not _metadata_equal(st, fd, entry):
                        self._mend(fd, handle.path, entry)
                finally:
                    os.close(fd)
        except OSError:
            return False  # it is not there, or not to be read: a new one takes its place
        handle.made = handle.finished = True
        return True

    def delete_others(self, path: Names, entry: Entry, names: Collection[bytes], spare: Callable[[Names], bool]) -> int:
        """Remove from a restored directory what the snapshot does not have there; returns how many names went.

        What spare(path) is true of stays, and so does what lies on another file system. Raises LocalFault.
        """
        gone = 0
        for name in self.others(path, names, spare):
            try:
                with self._directory(path) as fd:
                    _remove(fd, name)
                gone += 1
            except OSError as error:
                self.name_problem((*path, name), f"was not deleted: {error.strerror}")
        if gone:
            self.finish_directory(path, entry)  # its time changed
        self.deleted += gone
        return gone

    def others(self, path: Names, names: Collection[bytes], spare: Callable[[Names], bool]) -> list[bytes]:
        """The names in a directory of the target that delete_others would remove."""
        try:
            with self._directory(path) as fd:
                there = [os.fsencode(name) for name in os.listdir(fd)]
        except OSError:
            return []
        return sorted(name for name in there if name not in names and not spare((*path, name)))

    # -- how names come into being -------------------------------------------------------------------------------------

    def _make_directory(self, path: Names, parent_fd: int, name: bytes) -> None:
        try:
            st = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        except FileNotFoundError:
            super()._make_directory(path, parent_fd, name)
            return
        if not stat.S_ISDIR(st.st_mode):
            os.unlink(name, dir_fd=parent_fd)
            super()._make_directory(path, parent_fd, name)
        elif st.st_mode & 0o700 != 0o700:
            # If it is another's, what cannot be written in it is named then.
            with suppress(OSError), self._directory(path) as fd:
                os.fchmod(fd, stat.S_IMODE(st.st_mode) | 0o700)

    def _finish_directory(self, fd: int, path: Names, entry: Entry) -> None:
        if not _metadata_equal(os.fstat(fd), fd, entry):
            self._mend(fd, path, entry)

    def _written_as(self, handle: FileHandle) -> bytes:
        return _temporary(handle.path[-1])

    def _create(self, parent_fd: int, name: bytes) -> int:
        _clear(parent_fd, name)  # left by a run that was killed
        return super()._create(parent_fd, name)

    def _publish(self, handle: FileHandle) -> None:
        with self._directory(handle.path[:-1]) as parent_fd:
            self._put(parent_fd, self._written_as(handle), handle.path[-1])

    def _make_special(self, path: Names, entry: Entry, parent_fd: int, name: bytes) -> None:
        with suppress(FileNotFoundError):
            st = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
            beneath = xattrs.beneath(parent_fd, name)
            if self._same(parent_fd, name, st, entry) and _metadata_equal(st, beneath, entry):
                return
        temporary = _temporary(name)
        _clear(parent_fd, temporary)
        super()._make_special(path, entry, parent_fd, temporary)
        self._put(parent_fd, temporary, name)

    def _link(self, source_fd: int, source: bytes, parent_fd: int, name: bytes) -> None:
        first = os.stat(source, dir_fd=source_fd, follow_symlinks=False)
        with suppress(FileNotFoundError):
            there = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
            if (there.st_dev, there.st_ino) == (first.st_dev, first.st_ino):
                return
        temporary = _temporary(name)
        _clear(parent_fd, temporary)
        super()._link(source_fd, source, parent_fd, temporary)
        self._put(parent_fd, temporary, name)

    def _put(self, parent_fd: int, temporary: bytes, name: bytes) -> None:
        """Rename over whatever has the name; a directory must be empty, unless what is not wanted is to be deleted."""
        try:
            with suppress(FileNotFoundError):
                if stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
                    if self._delete:
                        _remove(parent_fd, name)
                    else:
                        os.rmdir(name, dir_fd=parent_fd)
            os.rename(temporary, name, src_dir_fd=parent_fd, dst_dir_fd=parent_fd)
        except OSError as error:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=parent_fd)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise OSError(errno.ENOTEMPTY, "a directory that is not empty has its name") from error
            raise

    # -- comparing -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _same(parent_fd: int, name: bytes, st: os.stat_result, entry: Entry) -> bool:
        """Whether what is there need not be replaced: its type, and size and time, target or device number."""
        if entry.type is EntryType.SOCKET or stat.S_IFMT(st.st_mode) != entry.type.file_type:
            return False
        match entry.type:
            case EntryType.FILE:
                return (st.st_size, st.st_mtime_ns) == (entry.size, entry.mtime_ns)
            case EntryType.SYMLINK:
                return os.readlink(name, dir_fd=parent_fd) == entry.target
            case EntryType.CHAR | EntryType.BLOCK:
                return st.st_rdev == entry.rdev
            case _:
                return True

    def _mend(self, fd: int, path: Names, entry: Entry) -> None:
        """Give what was left its metadata, and take away what the snapshot's does not have."""
        for name in xattrs.get_all(fd, os.fstat(fd).st_dev):
            if name.startswith(_EXTRA) and name not in entry.xattrs:
                with suppress(OSError):
                    os.removexattr(fd, name)
        apply_to_descriptor(fd, entry, self._report(path))


def _metadata_equal(st: os.stat_result, where: bytes | int, entry: Entry) -> bool:
    """where: a path that is not followed, or a descriptor."""
    link = entry.type is EntryType.SYMLINK
    if (st.st_uid, st.st_gid) != (uid_for(entry.user, entry.uid), gid_for(entry.group, entry.gid)):
        return False
    if st.st_mtime_ns != entry.mtime_ns or (not link and stat.S_IMODE(st.st_mode) != stat.S_IMODE(entry.mode)):
        return False
    try:
        found = xattrs.get_all(where, st.st_dev)
    except OSError:
        return False
    return {n: v for n, v in found.items() if n in entry.xattrs or n.startswith(_EXTRA)} == dict(entry.xattrs)


def _temporary(name: bytes) -> bytes:
    """The name under which a file is written: the same in every run, so that a killed one leaves no litter for ever."""
    return b".peerage-" + sha256(name).hexdigest()[:24].encode()


def _clear(parent_fd: int, name: bytes) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent_fd)


def _remove(parent_fd: int, name: bytes) -> None:
    """Remove a name and all below it, by descriptors, without leaving its file system. Raises OSError."""
    st = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    if not stat.S_ISDIR(st.st_mode):
        os.unlink(name, dir_fd=parent_fd)
        return
    if st.st_dev != os.fstat(parent_fd).st_dev:
        raise OSError(errno.EXDEV, "it is a mount point")
    stack = [(os.open(name, _DIRECTORY, dir_fd=parent_fd), parent_fd, name)]
    children = [os.listdir(stack[0][0])]
    try:
        while stack:
            fd, above, here = stack[-1]
            if not children[-1]:
                os.rmdir(here, dir_fd=above)
                os.close(stack.pop()[0])
                children.pop()
                continue
            child = os.fsencode(children[-1].pop())
            inner = os.stat(child, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISDIR(inner.st_mode):
                os.unlink(child, dir_fd=fd)
            elif inner.st_dev != st.st_dev:
                raise OSError(errno.EXDEV, "a mount point is below it")
            else:
                stack.append((os.open(child, _DIRECTORY, dir_fd=fd), fd, child))
                children.append(os.listdir(stack[-1][0]))
    finally:
        for fd, _, _ in stack:
            os.close(fd)
