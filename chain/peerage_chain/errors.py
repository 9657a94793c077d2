"""What can go wrong with the chain. str() is one line that says what to do; evidence is in the attributes."""

from __future__ import annotations

from typing import Any


class ChainFault(Exception):
    """Any failure of this package that a caller may expect."""


class ChainUnavailable(ChainFault):
    """The chain did not answer, or not in time. What was being sent may or may not be recorded: look, then repeat."""


class WrongChain(ChainFault):
    """A chain answers, but it is not the one that was asked for."""


class ContractsMissing(ChainFault):
    """The chain answers, but Peerage's contracts are not (all) there."""


class NotAMember(ChainFault):
    """The key that would act belongs to no member, or was revoked or has expired."""


class ChainRefused(ChainFault):
    """The chain's endpoint refused a request for its own reasons (not a contract's); its words are in the message."""


class AwaitsCouncil(ChainFault):
    """Proposed to the council and recorded there, but not carried out yet. proposal: its id, 32 bytes."""

    def __init__(self, proposal: bytes, waiting: bool) -> None:
        self.proposal = proposal
        self.waiting = waiting
        reason = "its delay runs: execute it when it is over" if waiting else "other seats must approve it"
        super().__init__(f"the council's proposal 0x{proposal.hex()} is recorded; {reason}")


class AnvilMissing(ChainFault):
    """The program `anvil` was not found or did not start."""


class Reverted(ChainFault):
    """A contract refused. name: the custom error (or "Error"/"Panic", or "" when unknown); arguments: by name.

    A caller compares `name` to see that what it sends is already recorded (node/spec/chain.md lists those names).
    """

    def __init__(self, name: str, arguments: dict[str, Any] | None = None) -> None:
        self.name = name
        self.arguments = arguments or {}
        details = ", ".join(f"{key} {_show(value)}" for key, value in self.arguments.items())
        reason = (name or "no reason given") + (f" ({details})" if details else "")
        super().__init__(f"the contracts refused: {reason}")


def _show(value: Any) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, str):
        return "".join(c if c.isprintable() else "?" for c in value[:200])
    return str(value)
