"""What the snapshots cost: figures from the catalogue alone, so no peer is asked."""

from __future__ import annotations

from typing import Any

from peerage.flow.context import NodeContext
from peerage.flow.snapshots import summaries
from peerage.model import PackKind
from peerage.store.totals import totals


def stats(context: NodeContext) -> dict[str, Any]:
    """Figures of all snapshots together, as --json shows them. Reads all of the catalogue: run it in a worker."""
    known = summaries(context)
    by_kind = totals(context.catalogue.path)
    data = by_kind[PackKind.DATA]
    restorable = sum(s.bytes for s in known)
    stored = sum(t.stored for t in by_kind.values())
    return {
        "snapshots": len(known),
        "files": sum(s.files for s in known),
        "bytes": restorable,
        "newest": {"files": known[-1].files, "bytes": known[-1].bytes} if known else None,
        "chunks": data.blobs,
        "unique_bytes": data.raw,
        "sealed_bytes": data.sealed,
        "listing_bytes": by_kind[PackKind.META].sealed + by_kind[PackKind.INDEX].sealed,
        "packs": sum(t.packs for t in by_kind.values()),
        "stored_bytes": stored,
        "dedup_ratio": _ratio(restorable, data.raw),
        "compression_ratio": _ratio(data.raw, data.sealed),
        "redundancy": _ratio(stored, sum(t.sealed for t in by_kind.values())),
    }


def _ratio(a: int, b: int) -> float | None:
    return round(a / b, 3) if b else None
