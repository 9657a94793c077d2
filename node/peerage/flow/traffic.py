"""What was read from providers and is to be paid for: counted here, signed for with the next revision.

Only agreements with an egress price. Each side counts for itself: what the client signs for is billed, and a provider
makes no new promises to a member that reads much more than it signs for (flow/provide.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from peerage.model import MIB, AgreementId, MemberId, ShardRoot
from peerage.store.catalogue import Catalogue
from peerage_chain.types import AgreementInfo

SIGN_FROM_BYTES = 64 * MIB
"""So much is signed for even when there is nothing else to sign."""
_UNSIGNED, _SEEN = "read:", "read-signed:"


def note_read(catalogue: Catalogue, read: Mapping[tuple[MemberId, ShardRoot], int]) -> None:
    """Keep what was read of each object, by the agreement that it is under; of probes nothing. Any thread."""
    sums: dict[AgreementId, int] = {}
    for (provider, root), n_bytes in read.items():
        if (id := catalogue.agreement_of(provider, root)) is not None:
            sums[id] = sums.get(id, 0) + n_bytes
    for id, n_bytes in sums.items():
        catalogue.add_to_counter(f"{_UNSIGNED}{id.hex()}", n_bytes)


def bytes_down(catalogue: Catalogue, info: AgreementInfo) -> int:
    """The traffic counter to sign next. info: as the chain shows it now."""
    unsigned, seen = f"{_UNSIGNED}{info.id.hex()}", f"{_SEEN}{info.id.hex()}"
    left, before = catalogue.counter(unsigned), catalogue.counter(seen)
    if not info.terms.egress_price_per_gib:
        left = 0
    elif before:  # what the chain showed at the last look, and 1: not known in a new catalogue
        left = max(0, left - max(0, info.bytes_down + 1 - before))
    if left != catalogue.counter(unsigned):
        catalogue.set_counter(unsigned, left)
    if before != info.bytes_down + 1:
        catalogue.set_counter(seen, info.bytes_down + 1)
    return info.bytes_down + left


def to_sign(catalogue: Catalogue) -> set[AgreementId]:
    """Live agreements of which so much was read that it is to be signed for by itself."""
    return {
        a.id
        for a in catalogue.agreements()
        if a.live and catalogue.counter(f"{_UNSIGNED}{a.id.hex()}") >= SIGN_FROM_BYTES
    }
