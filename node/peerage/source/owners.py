"""User and group names of numbers and back, each looked up once (a directory service may be slow)."""

from __future__ import annotations

import grp
import pwd
from functools import lru_cache

__all__ = ["gid_for", "group_name", "uid_for", "user_name"]


@lru_cache(4096)
def user_name(uid: int) -> str:
    """Empty if this machine has no such user."""
    try:
        return _text(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return ""


@lru_cache(4096)
def group_name(gid: int) -> str:
    try:
        return _text(grp.getgrgid(gid).gr_name)
    except KeyError:
        return ""


@lru_cache(4096)
def uid_for(name: str, number: int) -> int:
    """Whom a file belongs to here: by name if that user exists on this machine, else by number."""
    try:
        return pwd.getpwnam(name).pw_uid if name else number
    except (KeyError, ValueError):
        return number


@lru_cache(4096)
def gid_for(name: str, number: int) -> int:
    try:
        return grp.getgrnam(name).gr_gid if name else number
    except (KeyError, ValueError):
        return number


def _text(name: str) -> str:
    """A name that is not clean UTF-8 or is absurdly long is kept by number only."""
    return name if len(name) <= 256 and name.isprintable() else ""
