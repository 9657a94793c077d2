"""Words files: read, repaired, and matched with a member on chain. Shared by recover and account."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from peerage.errors import UserError

if TYPE_CHECKING:
    from peerage.flow.enrol import Network
    from peerage.keys.sheet import Sheet
    from peerage_chain.types import MemberInfo

F = TypeVar("F", bound=Callable[..., Any])

WORDS_FILE_LIMIT = 64 * 1024  # bytes; a sheet has two thousand


@dataclass(frozen=True, slots=True)
class Owner:
    """A member as its words prove it. repaired: (position, as given, as used) of words that were wrong or missing."""

    words: tuple[str, ...] = field(repr=False)
    repaired: tuple[tuple[int, str | None, str], ...]
    network: Network
    member: MemberInfo


def words_option(function: F) -> F:
    """--words-file FILE, required."""
    return click.option(
        "--words-file", required=True, metavar="FILE", help="The sheet as text, or 24 or 30 words; - is stdin."
    )(function)


def owner_of(file: str, rpc: str | None, directory: str | None) -> Owner:
    """The member whose words these are, by the chain at `rpc`, else the sheet's.

    Raises UserError, ChainUnavailable, WrongChain, ContractsMissing; NotAMember for an account that is none: at the
    repair's limit words may be repaired wrongly, and only the chain can tell.
    """
    from peerage.keys.parity import repair
    from peerage.keys.sheet import parse_sheet

    sheet = parse_sheet(_read(file))
    rpc = rpc or next(iter(sheet.rpc), None)
    if not rpc:
        raise UserError("the words file names no chain: give its URL with --rpc")
    repaired = repair([*sheet.words, *sheet.parity])
    network, member = asyncio.run(_find_member(repaired.words, rpc, directory, sheet))
    return Owner(tuple(repaired.words), tuple(repaired.repaired), network, member)


def _read(file: str) -> str:
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(WORDS_FILE_LIMIT + 1)
        else:
            with Path(file).open("rb") as opened:
                raw = opened.read(WORDS_FILE_LIMIT + 1)
    except OSError as error:
        raise UserError(f"cannot read the words file {file}: {error.strerror}") from None
    if len(raw) > WORDS_FILE_LIMIT:
        raise UserError(f"{file} is longer than {WORDS_FILE_LIMIT} bytes: it is not a words file")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8 text: it is not a words file") from None


async def _find_member(
    words: Sequence[str], rpc: str, directory: str | None, sheet: Sheet
) -> tuple[Network, MemberInfo]:
    """The network, checked against the sheet, and the words' member there."""
    from peerage.flow.enrol import Network
    from peerage.keys.words import account_of
    from peerage_chain.client import Chain
    from peerage_chain.errors import NotAMember

    account, _ = account_of(words)
    where = directory or sheet.directory or None
    genesis = bytes.fromhex(sheet.genesis.removeprefix("0x")) if sheet.genesis else None
    async with await Chain.connect(rpc, where, sheet.chain_id, genesis) as chain:
        member = await chain.member_by_account(account)
        if member is None:
            raise NotAMember(
                f"the account of these words, {account}, is no member on this chain: check the words and the URL"
            )
        return Network(rpc, chain.chain_id, chain.genesis, chain.domain.directory), member
