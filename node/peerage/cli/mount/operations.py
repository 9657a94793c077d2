"""FUSE's callbacks. What fails behind them is EIO to the program that asked, and a line for who watches the mount."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from functools import partial, wraps
from itertools import count
from typing import Any, Concatenate, ParamSpec, TypeVar

from peerage.cli.mount.blocks import SMALL, Blocks, Handle
from peerage.cli.mount.view import Node, View
from peerage.errors import PeerageError
from peerage.snapshot.tree import EntryType

P = ParamSpec("P")
R = TypeVar("R")


def _or_eio(
    function: Callable[Concatenate[Operations, str, P], R],
) -> Callable[Concatenate[Operations, str, P], R]:
    @wraps(function)
    def call(self: Operations, path: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(self, path, *args, **kwargs)
        except PeerageError as error:
            self.tell(f"{path}: {error}")
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from error

    return call


class Operations:
    """Read-only. Called by many threads. Paths are text with surrogates for bytes that are no UTF-8."""

    use_ns = True  # times are nanoseconds

    def __init__(self, view: View, blocks: Blocks, tell: Callable[[str], None]) -> None:
        self._view = view
        self._blocks = blocks
        self.tell = tell
        self._numbers = count(1)
        self._handles: dict[int, Handle] = {}

    @_or_eio
    def getattr(self, path: str, _handle: int | None = None) -> dict[str, int]:
        return self._view.attributes(self._find(path))

    @_or_eio
    def readdir(self, path: str, _handle: int) -> list[tuple[str, dict[str, int], int]]:
        node = self._find(path)
        found = [(".", {"st_mode": stat.S_IFDIR, "st_ino": self._view.inode(node)}, 0), ("..", {}, 0)]
        for child in self._view.children(node):
            what = {"st_mode": self._view.kind(child), "st_ino": self._view.inode(child)}
            found.append((_text(child.entry.name if child.snapshot else child.path[-1]), what, 0))
        return found

    @_or_eio
    def readlink(self, path: str) -> str:
        return _text(self._find(path).entry.target)

    @_or_eio
    def open(self, path: str, flags: int) -> int:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        node = self._find(path)
        if node.entry.type is not EntryType.FILE:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        number = next(self._numbers)
        following = partial(self._view.following, node, SMALL)
        self._handles[number] = Handle((node.directory, node.entry.name), node.entry.size, following)
        return number

    @_or_eio
    def read(self, _path: str, size: int, offset: int, handle: int) -> bytes:
        return self._blocks.read(self._handles[handle], offset, size)

    def release(self, _path: str, handle: int) -> int:
        self._handles.pop(handle, None)
        return 0

    @_or_eio
    def listxattr(self, path: str) -> list[str]:
        return [_text(name) for name in self._find(path).entry.xattrs]

    @_or_eio
    def getxattr(self, path: str, name: str, _position: int = 0) -> bytes:
        value = self._find(path).entry.xattrs.get(_bytes(name))
        if value is None:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        return value

    def statfs(self, _path: str) -> dict[str, Any]:
        return {"f_bsize": 4096, "f_frsize": 4096, "f_namemax": 255}

    def _find(self, path: str) -> Node:
        node = self._view.find(tuple(part for part in _bytes(path).split(b"/") if part))
        if node is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return node


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
