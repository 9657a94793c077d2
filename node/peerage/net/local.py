"""Unix sockets inside a home: paths that the kernel takes, and errors as the other side told them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peerage.errors import PeerageError

_MAX_SUN_PATH = 107  # bytes that fit sockaddr_un on Linux


class RemoteError(PeerageError):
    """An error that another process of ours reported, with its own kind and exit code."""

    def __init__(self, message: str, kind: str, exit_code: int) -> None:
        super().__init__(message)
        self._kind = kind
        self.exit_code = exit_code

    @property
    def kind(self) -> str:
        return self._kind


@contextmanager
def short_path(socket: Path) -> Iterator[str]:
    """A path of a socket short enough for the kernel, however deep its directory lies."""
    path = str(socket)
    if len(os.fsencode(path)) <= _MAX_SUN_PATH:
        yield path
        return
    fd = os.open(socket.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{socket.name}"
    finally:
        os.close(fd)
