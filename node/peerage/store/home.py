"""The home directory of a node: its layout, who may read it, its version, and who is using it. Spec: home.md."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType

from peerage.errors import IntegrityError, LocalFault, UnknownVersion, UserError
from peerage.store.config import Config

__all__ = ["SCHEMA_VERSION", "Config", "Home", "HomeLock"]

SCHEMA_VERSION = 1
_FILE_LIMIT = 16 << 20


class HomeLock:
    """The exclusive use of a home, until release() or the end of the process. From Home.lock()."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.ftruncate(fd, 0)
            os.close(fd)

    def __enter__(self) -> HomeLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


class Home:
    """One node's home. Make one with create() or open(); the paths below need no lock, changing what they hold does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_path = path / "config.toml"
        self.keystore = path / "keystore.bin"
        self.policy = path / "policy.toml"
        self.version = path / "version"
        self.lock_path = path / "lock"
        self.run = path / "run"
        self.socket = self.run / "owner.sock"
        self.catalogue = path / "catalogue.sqlite"
        self.objects = path / "objects"
        self.object_index = path / "objects.sqlite"
        self.decisions = path / "decisions.sqlite"
        self.measures = path / "measures.json"
        self.scrub = path / "scrub"
        self.chain = path / "chain.json"
        self.logs = path / "logs"

    @classmethod
    def create(cls, path: Path) -> Home:
        """Make an empty home. An empty directory may be there already, or a home that got no keystore.

        Raises UserError for anything else that is there, LocalFault if it cannot be made.
        """
        home = cls(path)
        try:
            if home.keystore.exists():
                raise UserError(f"{path} is a home already: name another with --home")
            if path.exists() and not home.version.exists() and any(path.iterdir()):
                raise UserError(f"{path} is not empty: name another directory with --home")
            for directory in (path, home.run, home.objects, home.logs):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                directory.chmod(0o700)
            home.write_file(home.version, f"{SCHEMA_VERSION}\n".encode())
        except OSError as error:
            raise _fault(f"the home {path} cannot be made", error) from error
        return home

    @classmethod
    def open(cls, path: Path) -> Home:
        """Use an existing home, and take from others what access they have to it.

        Raises UserError if there is none or it is not finished, UnknownVersion if a newer release wrote it.
        """
        home = cls(path)
        if not home.version.is_file():
            raise UserError(
                f"there is no home at {path}: make a member with 'peerage init', or name its home with --home"
            )
        text = home.read_file(home.version).decode("ascii", "replace").strip()
        if not text.isdecimal():
            raise IntegrityError(f"{home.version} does not hold a version number: restore it from a copy")
        if int(text) > SCHEMA_VERSION:
            raise UnknownVersion(
                f"{path} has version {text} and this release knows {SCHEMA_VERSION}: install a newer release"
            )
        if not home.keystore.is_file() or not home.config_path.is_file():
            raise UserError(f"the home {path} was not finished: run 'peerage init' again")
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                path.chmod(0o700)
            for directory in (home.run, home.objects, home.logs):
                directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _fault(f"the home {path} cannot be used", error) from error
        return home

    def lock(self) -> HomeLock:
        """Take the home for this process. Raises UserError naming the process that has it."""
        try:
            fd = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _fault(f"the home {self.path} cannot be used", error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            os.close(fd)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise _fault(f"the home {self.path} cannot be locked", error) from error
            by = f" by process {holder}" if holder.isdecimal() else ""
            raise UserError(
                f"the home {self.path} is already in use{by}: stop that one, or name another home"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return HomeLock(fd)

    def config(self) -> Config:
        """Raises UserError for a configuration that does not parse."""
        return Config.from_toml(self.read_text(self.config_path), str(self.config_path))

    def save_config(self, config: Config) -> None:
        self.write_file(self.config_path, config.to_toml().encode())

    def read_text(self, path: Path) -> str:
        """The whole of a small file of this home that people edit. Raises UserError, LocalFault."""
        try:
            return self.read_file(path).decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not UTF-8 text: correct it") from error

    def read_file(self, path: Path) -> bytes:
        """The whole of a small file of this home. Raises LocalFault."""
        try:
            with path.open("rb") as file:
                data = file.read(_FILE_LIMIT + 1)
        except OSError as error:
            raise _fault(f"{path} cannot be read", error) from error
        if len(data) > _FILE_LIMIT:
            raise LocalFault(f"{path} is larger than {_FILE_LIMIT} bytes: it is not a file of this program")
        return data

    def write_file(self, path: Path, data: bytes) -> None:
        """Replace a file of this home as a whole: after a crash it is the old one or the new one. Raises LocalFault."""
        temporary = path.with_name(f".{path.name}.new")
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "wb") as file:
                os.fchmod(fd, 0o600)
                file.write(data)
                file.flush()
                os.fsync(fd)
            temporary.replace(path)
            # The rename alone may vanish at a power loss.
            directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise _fault(f"{path} cannot be written", error) from error


def _fault(what: str, error: OSError) -> LocalFault:
    return LocalFault(f"{what} ({error.strerror}): check the disk and the permissions")
