"""The files of the object store: `<directory>/<agreement, hex>/<root, hex>`, each the plain payload, no header.

One folder per agreement, not a fan-out: a batch of commits then shares one directory fsync, and current file systems
find a name among millions. What is being written lies under `incoming/` and moves by rename once it is durable.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock, local
from types import TracebackType

from peerage.errors import IntegrityError, LocalFault
from peerage.model import MIB, AgreementId, ShardRoot
from peerage.seal.memory import zeroed
from peerage.source.direct import LEAST
from peerage.source.stream import DataStream
from peerage.store.refusals import DiskFull

__all__ = ["ObjectFiles", "ObjectReader", "disk_error", "fsync_directory"]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_INCOMING = "incoming"
_HEX_NAME = 64
_SCRATCH = MIB  # for each thread
_local = local()


def disk_error(error: OSError) -> LocalFault:
    """The error to raise for a failed write."""
    if error.errno in _FULL:
        return DiskFull("the disk is full: the object was refused and nothing of it was kept")
    return LocalFault(f"the object store cannot be written ({error.strerror}): check the disk")


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable: without it a rename may vanish at a power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class ObjectReader:
    """One open object. Not tied to the index: it goes on reading what it opened even if the object is dropped."""

    def __init__(self, fd: int, agreement: AgreementId, root: ShardRoot, size: int) -> None:
        self._fd = fd
        self.agreement = agreement
        self.root = root
        self.size = size

    def fileno(self) -> int:
        """For sendfile."""
        return self._fd

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes; one thread at a time. Large pieces that are not in the page cache stay out of it.

        Raises ValueError outside the object, IntegrityError if the file does not give them.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            raise ValueError(f"range {offset}+{length} lies outside the object's {self.size} bytes")
        try:
            data = (
                self._read_large(offset, length) if LEAST <= length <= _SCRATCH else os.pread(self._fd, length, offset)
            )
        except OSError as error:
            raise IntegrityError(f"object {self.root.hex()[:16]} cannot be read: {error.strerror}") from error
        if len(data) != length:
            raise IntegrityError(f"object {self.root.hex()[:16]} ends before byte {offset + length}")
        return data

    def _read_large(self, offset: int, length: int) -> bytes:
        scratch: memoryview | None = getattr(_local, "scratch", None)
        if scratch is None:
            scratch = _local.scratch = zeroed(_SCRATCH)
        return bytes(scratch[: DataStream(self._fd, [(offset, length)]).readinto(scratch[:length])])

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> ObjectReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class ObjectFiles:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._incoming = directory / _INCOMING
        try:
            for path in (directory, self._incoming):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error) from error
        self._names = 0
        self._lock = Lock()

    def path(self, agreement: AgreementId, root: ShardRoot) -> Path:
        return self.directory / agreement.hex() / root.hex()

    def create(self) -> tuple[Path, int]:
        """A new empty file under incoming/, open for writing."""
        with self._lock:
            self._names += 1
            path = self._incoming / str(self._names)
        try:
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise disk_error(error) from error

    def publish(self, files: Iterable[tuple[Path, AgreementId, ShardRoot]]) -> list[LocalFault | None]:
        """Move written and synced files to their places, then make their names durable; an error or None for each."""
        results: list[LocalFault | None] = []
        folders: set[Path] = set()
        for path, agreement, root in files:
            target = self.path(agreement, root)
            try:
                if target.parent not in folders and not target.parent.is_dir():
                    target.parent.mkdir(mode=0o700)
                    folders.add(self.directory)
                path.rename(target)
            except OSError as error:
                results.append(disk_error(error))
            else:
                folders.add(target.parent)
                results.append(None)
        for folder in sorted(folders):  # parents first
            try:
                fsync_directory(folder)
            except OSError as error:
                raise disk_error(error) from error
        return results

    def open(self, agreement: AgreementId, root: ShardRoot, size: int) -> ObjectReader:
        """Raises IntegrityError if the file is gone or has another size."""
        try:
            fd = os.open(self.path(agreement, root), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise IntegrityError(f"object {root.hex()[:16]} cannot be opened: {error.strerror}") from error
        found = os.fstat(fd).st_size
        if found != size:
            os.close(fd)
            raise IntegrityError(f"object {root.hex()[:16]} has {found} bytes instead of {size}")
        return ObjectReader(fd, agreement, root, size)

    def remove(self, agreement: AgreementId, root: ShardRoot) -> None:
        self.path(agreement, root).unlink(missing_ok=True)

    def remove_agreement(self, agreement: AgreementId) -> None:
        shutil.rmtree(self.directory / agreement.hex(), ignore_errors=True)

    def remove_incoming(self) -> int:
        """Delete what a crash left half written. Only before any create()."""
        left = list(self._incoming.iterdir())
        for path in left:
            path.unlink()
        return len(left)

    def walk(self) -> Iterator[tuple[AgreementId, ShardRoot, int]]:
        """Every object file: its agreement, root and size. Other names are none of ours and are passed over."""
        for folder in os.scandir(self.directory):
            agreement = _from_hex(folder.name)
            if agreement is None or not folder.is_dir(follow_symlinks=False):
                continue
            with os.scandir(folder.path) as entries:
                for entry in entries:
                    root = _from_hex(entry.name)
                    if root is not None:
                        yield AgreementId(agreement), ShardRoot(root), entry.stat(follow_symlinks=False).st_size


def _from_hex(name: str) -> bytes | None:
    if len(name) != _HEX_NAME or name != name.lower():
        return None
    try:
        return bytes.fromhex(name)
    except ValueError:
        return None
