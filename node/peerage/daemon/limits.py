"""Which bandwidth limit holds now: the owner's by the time of day, a running backup's, and the policy's for others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo

import structlog

from peerage.deal.hours import Rates
from peerage.deal.hours import rates_at as given_at
from peerage.deal.policy import Give
from peerage.errors import PeerageError
from peerage.model import KIB
from peerage.model.calendar import zone_named
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


class Sharing:
    """What others get of the line: the policy's `give.hours`. give: of the policy in force, asked for each time."""

    def __init__(
        self,
        give: Callable[[], Give],
        now_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._give = give
        self._now_s = now_s
        self._steady_s = steady_s
        self._looked: tuple[Give, float] | None = None
        self._rates = Rates(None, None)

    def up(self) -> int | None:
        """Bytes/s that others may read, or None."""
        return _bytes(self._look().up_kib_s)

    def down(self) -> int | None:
        """Bytes/s that others may write, or None."""
        return _bytes(self._look().down_kib_s)

    def _look(self) -> Rates:
        give, steady_s = self._give(), self._steady_s()
        if self._looked is None or self._looked[0] is not give or steady_s >= self._looked[1] + LOOK_S:
            self._looked = give, steady_s
            zone = zone_named(give.time_zone)
            rates = given_at(give.hours, datetime.fromtimestamp(self._now_s(), UTC).astimezone(zone))
            if rates != self._rates:
                log.info("bandwidth for others", rates=str(rates))
                self._rates = rates
        return self._rates


def _bytes(kib: int | None) -> int | None:
    return None if kib is None else kib * KIB
