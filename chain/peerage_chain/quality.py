"""Who probes whom, what reports come to, and what terms ask of it. Pure; normative in node/spec/quality.md.

Written down here a second time on purpose, as plain numbers where the contract packs words: an auditor derives the
records anew from the reports.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Self

from eth_hash.auto import keccak

from peerage_chain.types import ZERO32, Epoch, MemberId

LEAST_REPORTS = 3
"""Reports, of as many legal entities, that make a record."""
NO_ANSWER_MS = (1 << 32) - 1
"""The latency of a provider that answered no try."""
CLAUSE_VERSION = 1
_FACTOR = 2
_LATENCY_SLACK_MS = 50
_AVAILABILITY_SLACK_PERCENT = 25


@dataclass(frozen=True, slots=True)
class Figures:
    """What a probe measured, or the median of several: KiB/s read and written, ms, percent of tries answered."""

    down_kib_s: int
    up_kib_s: int
    latency_ms: int
    availability_percent: int

    def __post_init__(self) -> None:
        rates = (self.down_kib_s, self.up_kib_s, self.latency_ms)
        if not all(0 <= value < 1 << 32 for value in rates) or not 0 <= self.availability_percent <= 100:
            raise ValueError(f"figures out of range: {self}")


@dataclass(frozen=True, slots=True)
class QualityRecord:
    """The median of an epoch's reports on one provider, and how many there were."""

    figures: Figures
    reports: int


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """One prober's report. disputed: it lies far from the median."""

    member: MemberId
    figures: Figures
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class Clause:
    """The quality that terms ask for. max_latency_ms 0: any. withheld_percent: of an epoch's pay if it falls short."""

    min_down_kib_s: int
    min_up_kib_s: int
    max_latency_ms: int
    withheld_percent: int

    def pack(self) -> bytes:
        """The word `Terms.quality_clause`. Raises ValueError, OverflowError for what the contracts would refuse."""
        if not 1 <= self.withheld_percent <= 100:
            raise ValueError("a quality clause withholds 1 to 100 percent")
        lows = (self.min_down_kib_s, self.min_up_kib_s, self.max_latency_ms)
        head = bytes([CLAUSE_VERSION]) + b"".join(value.to_bytes(4, "big") for value in lows)
        return (head + bytes([self.withheld_percent])).ljust(32, b"\0")

    @classmethod
    def unpack(cls, word: bytes) -> Self | None:
        """What a word asks for; None for the zero word, which asks for nothing. Raises ValueError if malformed."""
        if word == ZERO32:
            return None
        version, withheld = word[0], word[13]
        if version != CLAUSE_VERSION or any(word[14:]) or not 1 <= withheld <= 100:
            raise ValueError(f"a quality clause of an unknown version, or malformed: 0x{word.hex()}")
        down, up, latency = (int.from_bytes(word[at : at + 4], "big") for at in (1, 5, 9))
        return cls(down, up, latency, withheld)

    def is_short(self, record: QualityRecord | None) -> bool:
        """Whether a record falls short; without a record nothing does."""
        if record is None:
            return False
        found = record.figures
        slow = found.down_kib_s < self.min_down_kib_s or found.up_kib_s < self.min_up_kib_s
        return slow or 0 < self.max_latency_ms < found.latency_ms


@dataclass(frozen=True, slots=True)
class Drawing:
    """What the draws of an epoch depend on, besides the member's link that its beat of the next epoch reveals."""

    epoch: Epoch
    seed: bytes
    active: int
    committee: int

    def draws(self, link: bytes, provider: MemberId) -> bool:
        """Whether the member whose link it is is drawn to probe a provider."""
        return drawn(self.seed, link, provider, self.active, self.committee)


def drawn(seed: bytes, link: bytes, provider: MemberId, active: int, committee: int) -> bool:
    """Whether a member is drawn to probe a provider in an epoch.

    seed: 32 bytes, the epoch's; link: 20 bytes, what the member's beat of the next epoch reveals; active: members that
    count for the quorum of the epoch before, which made the seed.
    """
    if active == 0:
        return False
    hashed = keccak(seed + link.ljust(32, b"\0") + provider.to_bytes(32, "big"))
    return int.from_bytes(hashed, "big") % active < committee


def median(reports: Sequence[Figures]) -> QualityRecord | None:
    """The record that reports of one provider and epoch make: each figure's median by itself, the lower of two."""
    if len(reports) < LEAST_REPORTS:
        return None
    middle = (len(reports) - 1) // 2
    columns = zip(*map(astuple, reports), strict=True)
    return QualityRecord(Figures(*(sorted(column)[middle] for column in columns)), len(reports))


@dataclass
class QualityPast:
    """What the events told of quality, by provider and epoch."""

    reports: dict[tuple[MemberId, int], list[ProbeReport]] = field(default_factory=lambda: defaultdict(list))
    """In the order of their coming."""
    told: dict[tuple[MemberId, int], QualityRecord] = field(default_factory=dict)
    """The records, as the contract told them."""

    def record(self, provider: MemberId, epoch: int) -> QualityRecord | None:
        """The record that the reports make."""
        return median([report.figures for report in self.reports.get((provider, epoch), ())])


def disputed(report: Figures, record: QualityRecord) -> bool:
    """Whether a report lies far from the median: a half or the double of it, or availability 25 points away."""
    found = record.figures
    return (
        _apart(report.down_kib_s, found.down_kib_s)
        or _apart(report.up_kib_s, found.up_kib_s)
        or _apart(report.latency_ms, found.latency_ms, _LATENCY_SLACK_MS)
        or abs(report.availability_percent - found.availability_percent) > _AVAILABILITY_SLACK_PERCENT
    )


def _apart(a: int, b: int, slack: int = 0) -> bool:
    return (a > b * _FACTOR or b > a * _FACTOR) and abs(a - b) > slack
