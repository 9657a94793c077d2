"""Writing a tree back by directory descriptors, in whatever order its data arrives. Thread-safe.

    restorer = Restorer(target)
    restorer.prepare_target()                            # missing or empty, else UserError
    restorer.make_directory((b"etc",), entry)            # parents before children
    handle = restorer.create_file((b"etc", b"hosts"), entry)
    restorer.write(handle, offset, data)                 # any order, any thread; what is not written stays a hole
    restorer.finish_file(handle)                         # when all is written: owner, mode, attributes, times
    restorer.make_special((b"etc", b"rc.local"), entry)  # symlinks, fifos, devices
    restorer.make_link((b"etc", b"hosts2"), entry)       # to the finished file with the same entry.links
    restorer.finish_directory((b"etc",), entry)          # when all below it is finished
    restorer.finish()
    restorer.close()                                     # in any case
    restorer.problems                                    # what could not be restored, by path

Paths are tuples of names under the target; their last name counts, not entry.name. What this user or file system does
not allow is a Problem and the rest goes on; a disk that is full or broken is a LocalFault.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from peerage.errors import IntegrityError, LocalFault, PeerageError, UserError
from peerage.ports import Buffer
from peerage.snapshot.tree import Entry, EntryType
from peerage.source import xattrs
from peerage.source.descriptors import Descriptors
from peerage.source.direct import pwrite
from peerage.source.metadata import Report, apply_to_descriptor, apply_to_name

__all__ = ["FileHandle", "Problem", "Restorer"]

Names = tuple[bytes, ...]
MAX_PROBLEMS = 10_000
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_FORBIDDEN = (b"", b".", b"..")


@dataclass(frozen=True, slots=True)
class Problem:
    """path: under the target, joined by "/". what: a few words that go on from it."""

    path: bytes
    what: str


class FileHandle:
    """A file being restored, from create_file. It comes into being with its first write, or when it is finished."""

    __slots__ = ("entry", "failed", "finished", "made", "path")

    def __init__(self, path: Names, entry: Entry) -> None:
        self.path = path
        self.entry = entry
        self.made = False
        self.finished = False
        self.failed = False


class Restorer:
    """Into an empty target. source/replace.py has the one for a tree that is there already."""

    must_be_empty = True

    def __init__(self, target: Path, max_open_files: int = 256, max_open_directories: int = 128) -> None:
        self._target = target
        self._files = Descriptors(max_open_files)
        self._directories = Descriptors(max_open_directories)
        self._making = [Lock() for _ in range(16)]
        self._root = -1
        self._inherits_acls = False
        self._lost: set[Names] = set()
        self._links: dict[int, FileHandle | Names] = {}
        self._lock = Lock()
        self.problems: list[Problem] = []
        """At most MAX_PROBLEMS; problem_count has them all."""
        self.problem_count = 0

    def prepare_target(self) -> None:
        """Make the target, or check that it is an empty directory. Raises UserError, LocalFault."""
        try:
            self._target.mkdir(parents=True, exist_ok=True)
            self._root = os.open(self._target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if self.must_be_empty and os.listdir(self._root):
                raise UserError(f"{self._target} is not empty: name a directory that is empty or not there yet")
            if not os.access(self._target, os.W_OK | os.X_OK):
                raise UserError(f"{self._target} cannot be written: name another target")
            found = xattrs.get_all(self._root, os.fstat(self._root).st_dev)
            self._inherits_acls = xattrs.ACL_PREFIX + b"default" in found
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(f"{self._target} is not a directory: name another target") from error
        except OSError as error:
            if error.errno in _FATAL:
                raise self._fault(error) from error
            raise UserError(f"{self._target} cannot be made: {error.strerror}: name another target") from error

    def make_directory(self, path: Names, entry: Entry) -> None:
        """Make a directory that only we can enter; finish_directory gives it its metadata. LocalFault."""

        if not self._named(path, lambda parent_fd, name: self._make_directory(path, parent_fd, name)):
            self._lost.add(path)

    def _make_directory(self, path: Names, parent_fd: int, name: bytes) -> None:
        os.mkdir(name, 0o700, dir_fd=parent_fd)
        if self._inherits_acls:
            with self._directory(path) as fd:
                xattrs.remove(fd, xattrs.ACL_PREFIX)
                os.fchmod(fd, 0o700)

    def create_file(self, path: Names, entry: Entry) -> FileHandle:
        """A file to be written; costs nothing yet. Names sharing entry.links are to be made by make_link."""
        _check(path)
        handle = FileHandle(path, entry)
        if entry.links:
            self._links[entry.links] = handle
        return handle

    def write(self, handle: FileHandle, offset: int, data: Buffer) -> None:
        """Put bytes at an offset of the file; the whole of it at once finishes it too. Writing the same bytes again is
        harmless. A file that cannot be made or written is a Problem, named once. Raises LocalFault."""
        if handle.failed or handle.finished:
            return
        whole = offset == 0 and len(data) == handle.entry.size
        try:
            with self._files.borrow(handle.path, lambda: self._open(handle)) as fd:
                pwrite(fd, data, offset)
        except OSError as error:
            self._fail(handle, error)
        else:
            if whole:
                self.finish_file(handle)

    def finish_file(self, handle: FileHandle) -> None:
        """All of the file is written: give it its length and metadata, and close it. Raises LocalFault."""
        if handle.failed or handle.finished:
            return
        try:
            with self._files.borrow(handle.path, lambda: self._open(handle)) as fd:
                if os.fstat(fd).st_size != handle.entry.size:
                    os.ftruncate(fd, handle.entry.size)  # it ends with a hole
                apply_to_descriptor(fd, handle.entry, self._report(handle.path), self._inherits_acls)
            self._publish(handle)
        except OSError as error:
            self._fail(handle, error)
        else:
            handle.finished = True
            self._files.drop(handle.path)

    def give_up(self, handle: FileHandle, what: str) -> None:
        """The file's data cannot be had: what there is of it goes, and it is named once as a Problem. LocalFault."""
        if handle.finished:
            return
        with self._lock:
            first, handle.failed = not handle.failed, True
        if not first:
            return
        self._files.drop(handle.path)
        if handle.made:
            try:
                with self._directory(handle.path[:-1]) as parent_fd:
                    os.unlink(self._written_as(handle), dir_fd=parent_fd)
            except OSError as error:
                if error.errno in _FATAL:
                    raise self._fault(error) from error
        self._problem(handle.path, what)

    def make_special(self, path: Names, entry: Entry) -> None:
        """Make a symlink, fifo or device, with its metadata. Raises LocalFault."""

        def make(parent_fd: int, name: bytes) -> None:
            self._make_special(path, entry, parent_fd, name)

        if self._named(path, make) and entry.links:
            self._links[entry.links] = path

    def _make_special(self, path: Names, entry: Entry, parent_fd: int, name: bytes) -> None:
        if entry.type is EntryType.SYMLINK:
            os.symlink(entry.target, name, dir_fd=parent_fd)
        elif entry.type is EntryType.FIFO:
            os.mkfifo(name, 0o600, dir_fd=parent_fd)
        elif entry.type in (EntryType.CHAR, EntryType.BLOCK):
            kind = stat.S_IFCHR if entry.type is EntryType.CHAR else stat.S_IFBLK
            os.mknod(name, kind | 0o600, entry.rdev, dir_fd=parent_fd)
        else:
            raise OSError(errno.EINVAL, f"a {entry.type.name.lower()} cannot be made")
        apply_to_name(parent_fd, name, entry, self._report(path), self._inherits_acls)

    def make_link(self, path: Names, entry: Entry) -> None:
        """Make another name of the file or special that has the same entry.links. Raises LocalFault."""
        first = self._links.get(entry.links)
        made = isinstance(first, tuple) or (first is not None and first.made and not first.failed)
        if first is None or not made:
            self._problem(path, "was not linked: the file it shares was not restored")
            return
        source = first if isinstance(first, tuple) else first.path

        def make(parent_fd: int, name: bytes) -> None:
            with self._directory(source[:-1]) as source_fd:
                self._link(source_fd, source[-1], parent_fd, name)

        self._named(path, make)

    def _link(self, source_fd: int, source: bytes, parent_fd: int, name: bytes) -> None:
        os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=parent_fd, follow_symlinks=False)

    def finish_directory(self, path: Names, entry: Entry) -> None:
        """All below it is finished: give the directory its metadata. Raises LocalFault."""
        if not path or path in self._lost:
            return
        try:
            with self._directory(path) as fd:
                self._finish_directory(fd, path, entry)
        except OSError as error:
            self._failed(path, error)
        self._directories.drop(path)

    def _finish_directory(self, fd: int, path: Names, entry: Entry) -> None:
        apply_to_descriptor(fd, entry, self._report(path))

    def open_restored(self, path: Names) -> int:
        """A descriptor, for reading, of a file that was restored. Raises OSError."""
        with self._directory(path[:-1]) as parent_fd:
            return os.open(path[-1], _READ, dir_fd=parent_fd)

    def name_problem(self, path: Names, what: str) -> None:
        """Add a Problem that was found by somebody else."""
        self._problem(path, what)

    def sync(self) -> None:
        """Bring what was written so far to the disk, with all else on its file system: one wait, not one for each file.

        Raises LocalFault.
        """
        if ctypes.CDLL(None, use_errno=True).syncfs(self._root) != 0:
            code = ctypes.get_errno()
            raise self._fault(OSError(code, os.strerror(code)))

    def finish(self) -> None:
        """Everything is made and finished. The system writes it to the disk in its own time."""
        self._files.close()
        self._directories.close()

    def close(self) -> None:
        """Close what is open, whether or not all was finished."""
        self.finish()
        root, self._root = self._root, -1
        if root >= 0:
            os.close(root)

    def _named(self, path: Names, make: Callable[[int, bytes], None]) -> bool:
        """Make one name in its directory; whether that worked."""
        _check(path)
        if path[:-1] in self._lost:
            return False  # the directory itself is the problem, and named as such
        try:
            with self._directory(path[:-1]) as parent_fd:
                make(parent_fd, path[-1])
        except OSError as error:
            self._failed(path, error)
            return False
        return True

    def _written_as(self, handle: FileHandle) -> bytes:
        """The name that a file has while it is written."""
        return handle.path[-1]

    def _publish(self, handle: FileHandle) -> None:
        """The file is whole: give it its name, if it has another until now. OSError."""

    def _create(self, parent_fd: int, name: bytes) -> int:
        return os.open(name, _FILE | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=parent_fd)

    def _open(self, handle: FileHandle) -> int:
        name = self._written_as(handle)
        with self._directory(handle.path[:-1]) as parent_fd, self._making[hash(handle.path) % 16]:
            if handle.made:
                return os.open(name, _FILE, dir_fd=parent_fd)
            fd = self._create(parent_fd, name)
            handle.made = True
            return fd

    def _directory(self, path: Names) -> AbstractContextManager[int]:
        return self._directories.borrow(path, lambda: self._open_directory(path))

    def _open_directory(self, path: Names) -> int:
        """Open a restored directory from the nearest ancestor that is open, name by name: no path is ever too long."""
        if not path:
            return os.open(".", _DIRECTORY, dir_fd=self._root)
        depth = len(path) - 1
        while depth and path[:depth] not in self._directories:
            depth -= 1
        with self._directory(path[:depth]) as nearest:
            fd = os.open(path[depth], _DIRECTORY, dir_fd=nearest)
        for name in path[depth + 1 :]:
            try:
                inner = os.open(name, _DIRECTORY, dir_fd=fd)
            finally:
                os.close(fd)
            fd = inner
        return fd

    def _fail(self, handle: FileHandle, error: OSError) -> None:
        with self._lock:
            first, handle.failed = not handle.failed, True
        self._files.drop(handle.path)
        if first and handle.path[:-1] not in self._lost:
            self._failed(handle.path, error)

    def _failed(self, path: Names, error: OSError) -> None:
        if error.errno in _FATAL:
            raise self._fault(error) from error
        if error.errno == errno.EEXIST:
            self._problem(path, "was not restored: this file system takes its name for that of another entry")
        else:
            self._problem(path, f"was not restored: {error.strerror or error}")

    def _fault(self, error: OSError) -> PeerageError:
        return LocalFault(
            f"{self._target} cannot be written ({error.strerror}): free some space or name another target"
        )

    def _report(self, path: Names) -> Report:
        return lambda what: self._problem(path, what)

    def _problem(self, path: Names, what: str) -> None:
        with self._lock:
            self.problem_count += 1
            if len(self.problems) < MAX_PROBLEMS:
                self.problems.append(Problem(b"/".join(path), what))


def _check(path: Names) -> None:
    """Names come from decoded trees, which were checked; a mistake here would still write outside the target."""
    for name in path:
        if name in _FORBIDDEN or b"/" in name or b"\x00" in name:
            raise IntegrityError(f"{os.fsdecode(name)!r} cannot be a file's name: the snapshot is damaged")
    if not path:
        raise IntegrityError("an entry without a name: the snapshot is damaged")
