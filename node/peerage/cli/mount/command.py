"""`peerage mount DIR`: every snapshot as a directory, in the foreground until it is unmounted."""

from __future__ import annotations

import errno
import os
import stat
from ctypes.util import find_library
from pathlib import Path
from typing import Any

import click

from peerage.cli.session import Verb, session_of
from peerage.errors import LocalFault, UserError

DEVICE = Path("/dev/fuse")
_TIMEOUT_S = 5  # for which the kernel believes what it was told of names; below a snapshot nothing ever changes

_THREADS = 16
_ENDED = (7, 8)  # of fuse_main: it was mounted, and its loop ended, as by a signal


@click.command(cls=Verb)
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--allow-other", is_flag=True, help="Let other users in, as the modes of the files allow.")
@click.pass_context
def mount(ctx: click.Context, directory: Path, allow_other: bool) -> None:
    """Show the snapshots as a read-only file system under DIR, until Ctrl-C or `fusermount3 -u DIR`.

    Snapshots are directories of DIR/snapshots; DIR/latest is the newest, and DIR/tags has them by their tags.
    """
    session = session_of(ctx)
    where = _mountpoint(directory)
    fuse = _fuse()

    from peerage.cli.mount.blocks import Blocks
    from peerage.cli.mount.daemon import Daemon
    from peerage.cli.mount.operations import Operations
    from peerage.cli.mount.view import View

    told: set[str] = set()

    def tell(message: str) -> None:
        # Once for each kind of trouble: a program that tries again and again must not flood the terminal.
        if len(told) < 100 and message not in told:
            told.add(message)
            session.note(f"warning: {message}")

    with Daemon(session.home) as daemon:
        count = len(daemon.snapshots())
        session.note(f"{count} snapshots at {where}; Ctrl-C, or `fusermount3 -u {where}`, ends it")
        operations = Operations(View(daemon, (os.getuid(), os.getgid())), Blocks(daemon), tell)
        try:
            fuse.FUSE(
                operations,
                where,
                foreground=True,
                ro=True,
                nosuid=True,
                nodev=True,
                fsname="peerage",
                subtype="peerage",
                allow_other=allow_other,
                default_permissions=allow_other,
                use_ino=True,
                kernel_cache=True,
                entry_timeout=_TIMEOUT_S,
                attr_timeout=_TIMEOUT_S,
                **_threads(fuse),
            )
        except RuntimeError as error:
            if error.args[0] not in _ENDED:
                raise LocalFault(f"{where} could not be mounted: the lines above say why") from None
    session.result({"mountpoint": where, "snapshots": count}, lambda _: None)


def _threads(fuse: Any) -> dict[str, int]:
    """How many threads libfuse may use, and keep, where it can be told."""
    version = fuse.fuse_version_major, fuse.fuse_version_minor
    options = {"max_idle_threads": _THREADS} if version >= (3, 0) else {}
    return {**options, "max_threads": _THREADS} if version >= (3, 12) else options


def _mountpoint(directory: Path) -> str:
    """The absolute path of the directory. Raises UserError unless it is one."""
    absolute = os.path.abspath(directory)
    try:
        is_directory = stat.S_ISDIR(Path(absolute).stat().st_mode)
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            raise UserError(f"a mount on {absolute} has lost its program: end it with `fusermount3 -u`") from None
        raise UserError(f"{absolute} cannot be mounted on ({error.strerror}): make the directory first") from None
    if not is_directory:
        raise UserError(f"{absolute} is not a directory: name one to mount on")
    return absolute


def _fuse() -> Any:
    """The module that speaks to libfuse. Raises LocalFault that says what is missing."""
    if not DEVICE.exists():
        raise LocalFault(f"there is no {DEVICE}: load the kernel's fuse module (`modprobe fuse`)")
    if "FUSE_LIBRARY_NAME" not in os.environ and find_library("fuse3"):
        os.environ["FUSE_LIBRARY_NAME"] = "fuse3"  # where both are there, the newer one
    try:
        import mfusepy
    except OSError:
        raise LocalFault("libfuse is missing: install it (on Debian and Ubuntu: apt install fuse3)") from None
    return mfusepy
