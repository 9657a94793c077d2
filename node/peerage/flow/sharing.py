"""What others get of this node's line by the hour: the rate in force, the next change, and promises above it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from peerage.deal.hours import Rates, next_change, rates_at
from peerage.deal.policy import Give
from peerage.model import MemberId
from peerage.model.calendar import zone_named
from peerage_chain.quality import Clause
from peerage_chain.types import AgreementInfo


def shared(give: Give, time_s: int) -> dict[str, Any]:
    """As `policy check` shows it. next: null if nothing changes within a week. time_s: since 1970."""
    zone = zone_named(give.time_zone)
    now = datetime.fromtimestamp(time_s, UTC).astimezone(zone)
    change = next_change(give.hours, time_s, zone)
    return {
        "time_zone": give.time_zone or now.tzname() or "",
        "now": _shown(now, rates_at(give.hours, now)),
        "next": change and _shown(datetime.fromtimestamp(change[0], UTC).astimezone(zone), change[1]),
        "promised_kib_s": give.lasting_kib_s,
    }


def _shown(at: datetime, rates: Rates) -> dict[str, Any]:
    return {"at": at.isoformat(timespec="minutes"), **rates._asdict()}


def below_promise(give: Give, agreements: Iterable[AgreementInfo], member: MemberId) -> list[str]:
    """Where the hours let others have less than an agreement in force promises, a line for each such agreement."""
    found = []
    for info in agreements:
        if info.terms.provider != member or not info.is_live:
            continue
        clause = Clause.unpack(info.terms.quality_clause)
        if clause is None:
            continue
        up, down = clause.min_down_kib_s, clause.min_up_kib_s  # a clause speaks as the client does
        for span in give.hours:
            slow_up = span.up_kib_s is not None and span.up_kib_s < up
            slow_down = span.down_kib_s is not None and span.down_kib_s < down
            if slow_up or slow_down:
                rates, promised = Rates(span.up_kib_s, span.down_kib_s), Rates(up, down)
                found.append(
                    f"hours: agreement {info.id.hex()[:16]} with member {info.terms.client} promises {promised},"
                    f" give.hours {span} lets it have {rates}: raise that, or pay may be withheld"
                )
                break
    return found
