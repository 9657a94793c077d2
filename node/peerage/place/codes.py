"""Which Reed-Solomon code a network of a given size can carry.

Each step leaves at least one member without a shard of the stripe, so that a provider that fails can be replaced at
once; larger codes leave about one spare in ten. Two others are the one exception (no spare): the least that keeps a
second copy, and `status` shows it as such.
"""

from __future__ import annotations

from peerage.errors import TooFewProviders
from peerage.model import Code

__all__ = ["MIN_OTHERS", "STEPS", "code_for", "commit_threshold", "smaller_code"]

STEPS: tuple[tuple[int, Code], ...] = (
    (2, Code(1, 1)),
    (4, Code(2, 1)),
    (5, Code(2, 2)),
    (6, Code(3, 2)),
    (8, Code(4, 2)),
    (10, Code(6, 3)),
    (14, Code(8, 4)),
    (17, Code(10, 5)),
    (20, Code(12, 6)),
    (27, Code(16, 8)),
    (33, Code(20, 10)),
    (40, Code(24, 12)),
    (46, Code(28, 14)),
    (52, Code(32, 16)),
)
"""(least number of other members, code), growing in both."""

MIN_OTHERS = STEPS[0][0]


def code_for(others: int, wanted: Code | None = None) -> Code:
    """The code for a member with `others` usable providers beside itself: `wanted`, else by the table.

    Raises TooFewProviders under MIN_OTHERS (one copy elsewhere and nothing to lose is not a backup to sell as one), and
    when `wanted` needs more members than there are: it is never loosened.
    """
    if wanted is not None and others >= max(MIN_OTHERS, wanted.n):
        return wanted
    if wanted is not None:
        raise TooFewProviders(
            f"the policy asks for code {wanted}, which needs {max(MIN_OTHERS, wanted.n)} other members, and {others} "
            "can store for you: wait until more have joined, or set take.code to auto"
        )
    if others < MIN_OTHERS:
        raise TooFewProviders(
            f"{others} other member{'s' if others != 1 else ''} can store for you, at least {MIN_OTHERS} are needed: "
            "wait until more have joined, or widen your policy"
        )
    return max((step for step in STEPS if step[0] <= others), key=lambda step: step[0])[1]


def smaller_code(code: Code, usable: int) -> Code | None:
    """The largest code below `code` whose shards so many providers can take, without a spare; None if there is none."""
    fitting = [step for _, step in STEPS if step.n <= usable and step.n < code.n]
    return fitting[-1] if fitting else None


def commit_threshold(code: Code) -> int:
    """Receipts that a stripe needs before it counts as stored: k + ceil(m/2); the rest is a debt that repair pays."""
    return code.k + (code.m + 1) // 2
