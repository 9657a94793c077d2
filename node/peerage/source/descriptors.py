"""A bounded set of open descriptors, shared by threads; the one that nobody has used for longest is closed first."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock

__all__ = ["Descriptors"]


class _Open:
    __slots__ = ("dropped", "fd", "users")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.users = 1
        self.dropped = False


class Descriptors:
    def __init__(self, limit: int) -> None:
        """limit: how many stay open; those in use at the same moment come on top."""
        self._limit = limit
        self._open: OrderedDict[Hashable, _Open] = OrderedDict()
        self._lock = Lock()

    @contextmanager
    def borrow(self, key: Hashable, opener: Callable[[], int]) -> Iterator[int]:
        """The descriptor of `key`, opened if it is not open; it stays open until the end of the `with` block."""
        used = self._take(key)
        if used is None:
            used = self._add(key, opener())
        try:
            yield used.fd
        finally:
            self._give_back(used)

    def drop(self, key: Hashable) -> None:
        """Close it, or as soon as its last user is done."""
        with self._lock:
            found = self._open.pop(key, None)
            if found is None or found.users:
                if found is not None:
                    found.dropped = True
                return
        os.close(found.fd)

    def close(self) -> None:
        for key in list(self._open):
            self.drop(key)

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._open

    def _take(self, key: Hashable) -> _Open | None:
        with self._lock:
            found = self._open.get(key)
            if found is not None:
                found.users += 1
                self._open.move_to_end(key)
            return found

    def _add(self, key: Hashable, fd: int) -> _Open:
        surplus = []
        with self._lock:
            found = self._open.get(key)
            if found is not None:  # another thread was faster
                found.users += 1
                surplus.append(fd)
            else:
                found = self._open[key] = _Open(fd)
                excess = len(self._open) - self._limit
                idle = (k for k, o in self._open.items() if not o.users)
                for old in [k for k, _ in zip(idle, range(excess), strict=False)]:
                    surplus.append(self._open.pop(old).fd)
        for one in surplus:
            os.close(one)
        return found

    def _give_back(self, used: _Open) -> None:
        with self._lock:
            used.users -= 1
            if used.users or not used.dropped:
                return
        os.close(used.fd)
