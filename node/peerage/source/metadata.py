"""Putting an entry's metadata onto what was restored: owner, attributes, mode, ACL, times, in the order that works.

- The owner first: changing it clears setuid bits and file capabilities.
- Attributes before the mode: without root a file that is to be read-only takes none any more. Capabilities and ACLs
  after it: an ACL says more about the group bits than the mode does.
- Times last.

A setuid or setgid bit is not given to a file whose owner or group could not be restored: it would lend the wrong
person's rights.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from peerage.snapshot.tree import Entry, EntryType
from peerage.source import xattrs
from peerage.source.owners import gid_for, uid_for

__all__ = ["Report", "apply_to_descriptor", "apply_to_name"]

Report = Callable[[str], None]
"""Takes what could not be done, in a few words."""

_LATE = (b"system.", b"security.")


def apply_to_descriptor(fd: int, entry: Entry, report: Report, strip_acls: bool = False) -> None:
    """For files and directories. strip_acls: remove ACLs that were inherited from the target."""
    st = os.fstat(fd)
    lost = _own(st, entry, lambda uid, gid: os.chown(fd, uid, gid), report)
    if strip_acls:
        _try("its inherited ACL", lambda: xattrs.remove(fd, xattrs.ACL_PREFIX), report)
    if entry.xattrs:
        _attributes(fd, entry, False, report)
    mode = stat.S_IMODE(entry.mode) & ~lost
    _try("its mode", lambda: os.fchmod(fd, mode), report)
    if entry.xattrs:
        _attributes(fd, entry, True, report)
    _try("its times", lambda: os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns)), report)


def apply_to_name(dir_fd: int, name: bytes, entry: Entry, report: Report, strip_acls: bool = False) -> None:
    """For symlinks, fifos and devices, which are not opened."""
    st = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    lost = _own(st, entry, lambda uid, gid: os.chown(name, uid, gid, dir_fd=dir_fd, follow_symlinks=False), report)
    path = xattrs.beneath(dir_fd, name)
    _attributes(path, entry, False, report)
    if entry.type is not EntryType.SYMLINK:
        if strip_acls:
            _try("its inherited ACL", lambda: xattrs.remove(path, xattrs.ACL_PREFIX), report)
        _try("its mode", lambda: _chmod(dir_fd, name, stat.S_IMODE(entry.mode) & ~lost), report)
    _attributes(path, entry, True, report)
    times = (entry.mtime_ns, entry.mtime_ns)
    _try("its times", lambda: os.utime(name, ns=times, dir_fd=dir_fd, follow_symlinks=False), report)


def _own(st: os.stat_result, entry: Entry, chown: Callable[[int, int], None], report: Report) -> int:
    """Give it its owner and group. Returns the mode bits that it must not get because that failed."""
    uid, gid = uid_for(entry.user, entry.uid), gid_for(entry.group, entry.gid)
    if (uid, gid) == (st.st_uid, st.st_gid):
        return 0
    try:
        chown(uid, gid)
        return 0
    except OSError:
        pass
    lost = 0
    if uid != st.st_uid:
        lost |= stat.S_ISUID
        report(f"its owner {entry.user or entry.uid} was not restored: only root may give files away")
    if gid != st.st_gid:
        try:
            chown(-1, gid)  # a group that we are in may be had without root
        except OSError:
            lost |= stat.S_ISGID
            report(f"its group {entry.group or entry.gid} was not restored: only root, or a member of it, may set it")
    return lost


def _attributes(target: bytes | int, entry: Entry, late: bool, report: Report) -> None:
    for name, value in entry.xattrs.items():
        if name.startswith(_LATE) == late:
            what = f"its attribute {os.fsdecode(name)}"
            _try(what, lambda name=name, value=value: xattrs.set_one(target, name, value), report)  # type: ignore[misc]


def _chmod(dir_fd: int, name: bytes, mode: int) -> None:
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            os.chmod(f"/proc/self/fd/{fd}", mode)  # the very inode: nobody can put a symlink in its place
    finally:
        os.close(fd)


def _try(what: str, action: Callable[[], None], report: Report) -> None:
    try:
        action()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        report(f"{what} could not be restored: {reason}")
