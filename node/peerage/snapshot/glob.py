"""Globs on source paths. `*.txt` is a name anywhere, `etc/*.conf` the end of a path, `/etc/**` begins at the root.

`*`, `?` and `[...]` stay within a name; `**` stands for any number of directories. Pure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from fnmatch import translate

from peerage.errors import UserError

Path = tuple[bytes, ...]
_State = frozenset[int]
_CACHE = 4096
MAX_GLOBS = 1000


class Glob:
    """One pattern, matched name by name, so that a walk can leave out what no name below could match. Thread-safe."""

    def __init__(self, pattern: str, ignore_case: bool = False) -> None:
        """Raises UserError for a pattern without a name in it."""
        parts = [part for part in pattern.split("/") if part]
        if not parts or "\x00" in pattern:
            raise UserError(f"{pattern!r} is no pattern: write one as in '*.txt' or '/etc/**'")
        if not pattern.startswith("/"):
            parts.insert(0, "**")
        flags = re.IGNORECASE if ignore_case else 0
        self._parts = [None if part == "**" else re.compile(translate(part), flags) for part in parts]
        self._states: dict[Path, _State] = {}

    def matches(self, path: Path) -> bool:
        """Whether the pattern is this path, as names from the root of the source."""
        return len(self._parts) in self._state(path)

    def reaches_below(self, path: Path) -> bool:
        """Whether it may match something below this path."""
        return any(at < len(self._parts) for at in self._state(path))

    def _state(self, path: Path) -> _State:
        """How many parts of the pattern the path may have used up."""
        known = self._states.get(path)
        if known is not None:
            return known
        state = self._states.get(path[:-1])
        left = path[-1:] if state is not None else path
        if state is None:
            state = self._skip({0})
        for name in left:
            text = os.fsdecode(name)
            after: set[int] = set()
            for at in state:
                if at == len(self._parts):
                    continue
                part = self._parts[at]
                if part is None:
                    after.add(at)
                elif part.match(text):
                    after.add(at + 1)
            state = self._skip(after)
        if len(self._states) >= _CACHE:
            self._states.clear()
        self._states[path] = state
        return state

    def _skip(self, state: set[int]) -> _State:
        """`**` may also stand for nothing."""
        for at in sorted(state):
            while at < len(self._parts) and self._parts[at] is None:
                at += 1
                state.add(at)
        return frozenset(state)


class Globs:
    """Several patterns, of which one is enough."""

    def __init__(self, patterns: Sequence[str], ignore_case: bool = False) -> None:
        """Raises UserError."""
        if len(patterns) > MAX_GLOBS:
            raise UserError(f"{len(patterns)} patterns are too many: give at most {MAX_GLOBS}")
        self._globs = [Glob(pattern, ignore_case) for pattern in patterns]

    def __bool__(self) -> bool:
        return bool(self._globs)

    def matches(self, path: Path) -> bool:
        return any(glob.matches(path) for glob in self._globs)

    def reaches_below(self, path: Path) -> bool:
        return any(glob.reaches_below(path) for glob in self._globs)


def names_of(path: bytes) -> Path:
    """The names of a path, from the root on."""
    return tuple(part for part in path.split(b"/") if part)


def joined(names: Iterable[bytes]) -> bytes:
    """The absolute path of names."""
    return b"/" + b"/".join(names)
