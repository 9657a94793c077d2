"""What a node saw of its chain last, as a file: with it a node starts while the chain is away (node/spec/home.md)."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from peerage_chain.types import AgreementInfo, ChainTime, MemberInfo, Params

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Remembered:
    """One deployment, its members, the clock, and the agreements in which the node's member is the provider.

    genesis: the 32-byte hash of the chain's first block. addresses: by the contract's name. head: the number of the
    newest head of the node's own backups, 0 for none.
    """

    chain_id: int
    directory: str
    genesis: bytes
    params: Params
    addresses: dict[str, str]
    roster: tuple[MemberInfo, ...]
    time: ChainTime
    provided: tuple[AgreementInfo, ...]
    head: int
    format: int = FORMAT


def encode(remembered: Remembered) -> bytes:
    """The file."""
    return msgspec.json.encode(remembered)


def decode(data: bytes) -> Remembered:
    """Raises ValueError if it is not such a file, or one of another format."""
    try:
        found = msgspec.json.decode(data, type=Remembered)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if found.format != FORMAT:
        raise ValueError(f"format {found.format} is not known here (known: {FORMAT})")
    return found
