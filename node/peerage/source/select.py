"""What of a source path is backed up: patterns as in .gitignore, file system borders, and directories tagged as caches.

Patterns are relative to each source path, so `/build` means the `build` directly in it. What is excluded is not looked
into, so a later `!pattern` cannot bring back what lies in an excluded directory (as with git).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from pathspec import GitIgnoreSpec

from peerage.errors import UserError

CACHE_TAG = b"CACHEDIR.TAG"
CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
"""What a tag begins with, after the Cache Directory Tagging Specification."""


class Selector:
    """What to keep. Counts nothing, and may be asked by several threads."""

    def __init__(
        self, patterns: Sequence[str] = (), one_file_system: bool = False, exclude_caches: bool = False
    ) -> None:
        """Raises UserError naming the first pattern that is none."""
        for pattern in patterns:
            if "\x00" in pattern or "\n" in pattern:
                raise UserError(f"{pattern!r} is no pattern: give one a line, as in .gitignore")
        try:
            self._spec = GitIgnoreSpec.from_lines(patterns) if patterns else None
        except ValueError as error:
            raise UserError(f"a pattern cannot be read ({error}): write it as in .gitignore") from error
        self.one_file_system = one_file_system
        self.exclude_caches = exclude_caches

    def takes(self, relative: bytes, is_directory: bool) -> bool:
        """Whether the name at this path, relative to its source path, is kept."""
        if self._spec is None:
            return True
        # surrogateescape keeps bytes that are no UTF-8 apart, and `?` matches each of them once.
        return not self._spec.match_file(os.fsdecode(relative) + ("/" if is_directory else ""))

    def crosses(self, device: int, root_device: int) -> bool:
        """Whether a directory lies on another file system that is not to be entered."""
        return self.one_file_system and device != root_device

    def inside(self, dir_fd: int, names: list[bytes]) -> list[bytes]:
        """The names of an open directory that are looked at: of one that is tagged as a cache, only the tag."""
        if self.exclude_caches and CACHE_TAG in names and _is_tagged(dir_fd):
            return [CACHE_TAG]
        return names


def is_cache(path: bytes) -> bool:
    """Whether the directory `path` is tagged as a cache; False when it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _is_tagged(fd)
    finally:
        os.close(fd)


def _is_tagged(dir_fd: int) -> bool:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a fifo of that name must not block us
    with contextlib.suppress(OSError):
        fd = os.open(CACHE_TAG, flags, dir_fd=dir_fd)
        try:
            return os.read(fd, len(CACHE_SIGNATURE)) == CACHE_SIGNATURE
        finally:
            os.close(fd)
    return False
