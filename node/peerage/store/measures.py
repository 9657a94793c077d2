"""What this node measured of its providers, in a small file of the home: reports that are due, and rates seen.

A report must outlast a restart between the probe and the beat after it; the rates feed placement. Nothing here is
needed for anything else, so a damaged file is begun anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from peerage.model import KIB, Epoch, MemberId
from peerage.store.home import Home

__all__ = ["Measured", "Measures", "Rates"]

EPOCHS_KEPT = 4
"""A report is taken in the next epoch only; older ones are of no use."""
MEMBERS_MAX = 4096
DECAY = 0.8
"""What was seen counts so much less at each look: about the last five epochs matter."""
LEAST_SECONDS = 0.001

_Count = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
_Amount = Annotated[float, msgspec.Meta(ge=0)]


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a probe found: KiB/s, ms, percent of the tries that were answered."""

    down_kib_s: _Count
    up_kib_s: _Count
    latency_ms: _Count
    availability_percent: Annotated[int, msgspec.Meta(ge=0, le=100)]


class _Seen(msgspec.Struct, forbid_unknown_fields=True):
    down_bytes: _Amount = 0.0
    down_s: _Amount = 0.0
    up_bytes: _Amount = 0.0
    up_s: _Amount = 0.0


class _State(msgspec.Struct, forbid_unknown_fields=True):
    version: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    due: dict[int, dict[int, Measured]] = {}
    seen: dict[int, _Seen] = {}


@dataclass(frozen=True, slots=True)
class Rates:
    """What one member's bodies moved at lately, KiB/s; None where none moved."""

    down_kib_s: int | None
    up_kib_s: int | None


class Measures:
    """One node's. Not thread-safe: the node's loop owns it. Raises LocalFault from what writes."""

    def __init__(self, home: Home) -> None:
        self._path = home.measures
        self._write: Callable[[bytes], None] = lambda data: home.write_file(home.measures, data)
        self._state = self._read(home)

    def _read(self, home: Home) -> _State:
        if not self._path.is_file():
            return _State()
        try:
            return msgspec.json.decode(home.read_file(self._path), type=_State, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _State()

    def _save(self) -> None:
        self._write(msgspec.json.encode(self._state))

    # -- reports -------------------------------------------------------------------------------------------------------

    def add(self, epoch: Epoch, provider: MemberId, measured: Measured) -> None:
        """Remember what is to be reported of an epoch; those long past are forgotten."""
        self._state.due.setdefault(epoch, {})[provider] = measured
        for old in sorted(self._state.due)[:-EPOCHS_KEPT]:
            del self._state.due[old]
        self._save()

    def due(self, epoch: Epoch) -> Mapping[MemberId, Measured]:
        """What is to be reported of an epoch, and was not yet."""
        return {MemberId(member): measured for member, measured in self._state.due.get(epoch, {}).items()}

    def reported(self, epoch: Epoch) -> None:
        """An epoch's reports are on the chain, or refused for good; so are those of the epochs before."""
        for old in [kept for kept in self._state.due if kept <= epoch]:
            del self._state.due[old]
        self._save()

    # -- rates ---------------------------------------------------------------------------------------------------------

    def saw(self, moved: Mapping[MemberId, tuple[int, float, int, float]]) -> None:
        """Take in what moved since the last time: member -> (bytes read, seconds, bytes written, seconds)."""
        for seen in self._state.seen.values():
            seen.down_bytes, seen.down_s = seen.down_bytes * DECAY, seen.down_s * DECAY
            seen.up_bytes, seen.up_s = seen.up_bytes * DECAY, seen.up_s * DECAY
        for member, (down_bytes, down_s, up_bytes, up_s) in moved.items():
            if member not in self._state.seen and len(self._state.seen) >= MEMBERS_MAX:
                continue
            seen = self._state.seen.setdefault(member, _Seen())
            seen.down_bytes, seen.down_s = seen.down_bytes + down_bytes, seen.down_s + down_s
            seen.up_bytes, seen.up_s = seen.up_bytes + up_bytes, seen.up_s + up_s
        forgotten = [m for m, seen in self._state.seen.items() if seen.down_s + seen.up_s < LEAST_SECONDS]
        for gone in forgotten:
            del self._state.seen[gone]
        self._save()

    def rates(self) -> dict[MemberId, Rates]:
        """What each member's bodies moved at lately."""
        return {
            MemberId(member): Rates(_rate(seen.down_bytes, seen.down_s), _rate(seen.up_bytes, seen.up_s))
            for member, seen in self._state.seen.items()
        }


def _rate(size: float, seconds: float) -> int | None:
    return round(size / KIB / seconds) if seconds >= LEAST_SECONDS else None
