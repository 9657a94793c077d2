"""Which member gets which shard. Pure: candidates, room and a seed in, an assignment out (node/spec/placement.md)."""

from peerage.place.codes import MIN_OTHERS, code_for, commit_threshold, smaller_code
from peerage.place.placement import Candidate, Placement, Relaxed, Spread, place

__all__ = [
    "MIN_OTHERS",
    "Candidate",
    "Placement",
    "Relaxed",
    "Spread",
    "code_for",
    "commit_threshold",
    "place",
    "smaller_code",
]
