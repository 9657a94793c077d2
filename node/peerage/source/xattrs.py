"""Extended attributes, POSIX ACLs among them, by paths that do not follow the last symlink. Linux.

There is no listxattrat() to call from Python, so names under a directory descriptor are reached through /proc/self/fd:
one more path component for the kernel, and no limit on how deep the directory lies.
"""

from __future__ import annotations

import errno
import os

__all__ = ["ACL_PREFIX", "beneath", "get_all", "remove", "set_one"]

ACL_PREFIX = b"system.posix_acl_"
_NOT_THERE = (errno.ENODATA, errno.EACCES, errno.EPERM, errno.EOPNOTSUPP)
_without: set[int] = set()
"""Devices (st_dev) whose file system has no extended attributes at all."""


def beneath(dir_fd: int, name: bytes) -> bytes:
    """A path of `name` in an open directory."""
    return b"/proc/self/fd/%d/%b" % (dir_fd, name)


def get_all(path: bytes | int, device: int) -> dict[bytes, bytes]:
    """Every attribute that this process may read; those that it may not are left out. OSError for anything else.

    path: not followed if it is a symlink; or an open descriptor. device: st_dev, to ask a file system without
    attributes only once.
    """
    if device in _without:
        return {}
    try:
        names = os.listxattr(path, follow_symlinks=False) if isinstance(path, bytes) else os.listxattr(path)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            _without.add(device)
            return {}
        if error.errno in (errno.EACCES, errno.EPERM):
            return {}
        raise
    found: dict[bytes, bytes] = {}
    for name in names:
        try:
            found[os.fsencode(name)] = _get(path, name)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
    return found


def set_one(path: bytes | int, name: bytes, value: bytes) -> None:
    """Set one attribute. An error of the file system is none if the attribute has that value already (a label that the
    system gave by itself). Raises OSError."""
    try:
        if isinstance(path, bytes):
            os.setxattr(path, name, value, follow_symlinks=False)
        else:
            os.setxattr(path, name, value)
    except OSError:
        try:
            if _get(path, name) == value:
                return
        except OSError:
            pass
        raise


def remove(path: bytes | int, prefix: bytes) -> None:
    """Remove every attribute whose name starts with `prefix`. Raises OSError."""
    for name in map(os.fsencode, os.listxattr(path)):
        if name.startswith(prefix):
            os.removexattr(path, name)


def _get(path: bytes | int, name: bytes | str) -> bytes:
    return os.getxattr(path, name, follow_symlinks=False) if isinstance(path, bytes) else os.getxattr(path, name)
