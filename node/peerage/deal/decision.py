"""One yes or no about an agreement, as it is logged and kept."""

from __future__ import annotations

from dataclasses import dataclass

from peerage_chain.types import Epoch, MemberId


@dataclass(frozen=True, slots=True)
class Decision:
    """side: 'client' (we ask `member` to keep ours) or 'provider' (it asks us). action: what was decided about, as
    'ask', 'counter', 'open', 'propose'. rule: the policy's key that decided, or what else did; empty for a plain yes.
    reason: with the numbers compared. price: micro-credits per GiB and epoch; capacity in bytes; 0 where none was said.
    """

    side: str
    member: MemberId
    action: str
    ok: bool
    rule: str
    reason: str
    epoch: Epoch
    capacity: int = 0
    price: int = 0
