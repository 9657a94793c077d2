"""What `peerage audit quality` prints: every record of quality, derived anew from the probe reports. Needs no key."""

from __future__ import annotations

from typing import TypedDict

from peerage_chain.evidence import Evidence, read_evidence
from peerage_chain.quality import Figures, ProbeReport, disputed
from peerage_chain.reads import ChainReads
from peerage_chain.types import CREDIT, MemberId


class ReportRow(TypedDict):
    """One probe report. disputed: it lies far from the median."""

    member: int
    down_kib_s: int
    up_kib_s: int
    latency_ms: int
    availability_percent: int
    disputed: bool


class QualityRow(TypedDict):
    """One provider and epoch with reports. median: None with fewer than three."""

    provider: int
    epoch: int
    median: FiguresRow | None
    reports: list[ReportRow]
    verified: bool


class FiguresRow(TypedDict):
    """The median of each figure."""

    down_kib_s: int
    up_kib_s: int
    latency_ms: int
    availability_percent: int


class WithheldRow(TypedDict):
    """One provider's pay that quality clauses withheld in the range, over all its agreements; credits."""

    provider: int
    epochs: int
    withheld: str


class QualityReport(TypedDict):
    """The whole report, of the closed epochs from_epoch to to_epoch."""

    block: int
    from_epoch: int
    to_epoch: int
    records: list[QualityRow]
    withheld: list[WithheldRow]
    verified: bool


async def audit_quality(
    chain: ChainReads, member: int | None = None, from_epoch: int | None = None, to_epoch: int | None = None
) -> QualityReport:
    """Every record of quality (of one provider, if given), and what it cost; all closed epochs by default."""
    evidence = await read_evidence(chain, from_epoch, to_epoch)
    found = sorted(
        (epoch, provider)
        for provider, epoch in evidence.history.quality.reports
        if epoch in evidence.epochs and member in (None, provider)
    )
    withheld = [row for m in evidence.members if member in (None, m.id) and (row := _withheld(evidence, m.id))]
    return QualityReport(
        block=evidence.now.block,
        from_epoch=evidence.first,
        to_epoch=evidence.last,
        records=[_row(evidence, provider, epoch) for epoch, provider in found],
        withheld=withheld,
        verified=not evidence.false_records and not evidence.false_agreements and not evidence.false_epochs,
    )


def _row(evidence: Evidence, provider: MemberId, epoch: int) -> QualityRow:
    past = evidence.history.quality
    record = past.record(provider, epoch)

    def report_row(report: ProbeReport) -> ReportRow:
        far = record is not None and disputed(report.figures, record)
        return ReportRow(member=report.member, **_figures(report.figures), disputed=far)

    return QualityRow(
        provider=provider,
        epoch=epoch,
        median=_figures(record.figures) if record else None,
        reports=[report_row(report) for report in past.reports[provider, epoch]],
        verified=(provider, epoch) not in evidence.false_records,
    )


def _figures(figures: Figures) -> FiguresRow:
    return FiguresRow(
        down_kib_s=figures.down_kib_s,
        up_kib_s=figures.up_kib_s,
        latency_ms=figures.latency_ms,
        availability_percent=figures.availability_percent,
    )


def _withheld(evidence: Evidence, provider: MemberId) -> WithheldRow | None:
    amounts = [
        v.withheld
        for past in evidence.parties(provider)
        if past.terms.provider == provider
        for v in evidence.within(past.id)
        if v.settled and v.withheld
    ]
    if not amounts:
        return None
    total = sum(amounts)
    return WithheldRow(provider=provider, epochs=len(amounts), withheld=f"{total // CREDIT}.{total % CREDIT:06d}")
