"""Which bandwidth limit holds now: the owner's by the time of day, and that of a backup that runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo

import structlog

from peerage.errors import PeerageError
from peerage.store.config_tables import Limit, rates_at

LOOK_S = 10.0
"""The configuration and the time of day are looked at again after so long."""

log = structlog.get_logger()


class Limits:
    """read: the configured limits, of now; while it raises a PeerageError the last ones stay."""

    def __init__(
        self,
        read: Callable[[], Sequence[Limit]],
        zone: tzinfo,
        now_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._zone = zone
        self._now_s = now_s
        self._steady_s = steady_s
        self._limits: Sequence[Limit] = ()
        self._rates: tuple[int | None, int | None] = (None, None)
        self._looked_s: float | None = None
        self._capped_up: int | None = None

    def up(self) -> int | None:
        """Bytes/s, or None."""
        self._look()
        caps = [cap for cap in (self._rates[0], self._capped_up) if cap is not None]
        return min(caps, default=None)

    def down(self) -> int | None:
        self._look()
        return self._rates[1]

    @contextmanager
    def capped(self, up: int | None) -> Iterator[None]:
        """Meanwhile nothing is sent faster than `up`, bytes/s."""
        before, self._capped_up = self._capped_up, up
        try:
            yield
        finally:
            self._capped_up = before

    def _look(self) -> None:
        steady_s = self._steady_s()
        if self._looked_s is not None and steady_s < self._looked_s + LOOK_S:
            return
        self._looked_s = steady_s
        try:
            self._limits = self._read()
        except PeerageError as error:
            log.warning("the bandwidth limits cannot be read: the last ones stay in force", reason=str(error))
        rates = rates_at(self._limits, datetime.fromtimestamp(self._now_s(), UTC).astimezone(self._zone))
        if rates != self._rates:
            log.info("bandwidth limits, bytes/s", up=rates[0], down=rates[1])
            self._rates = rates
