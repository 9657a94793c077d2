"""Six parity words: a Reed-Solomon code over GF(2^11), whose symbols are exactly BIP-39 word numbers.

Of 24 + 6 words any mix with 2 * wrong + missing <= 6 is repaired. Normative: node/spec/recovery-sheet.md.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from reedsolo import ReedSolomonError, RSCodec

from peerage.errors import UserError
from peerage.keys.words import WORD_COUNT, entropy_of, normalized, word_list, word_numbers

PARITY_COUNT = 6
TOTAL = WORD_COUNT + PARITY_COUNT


@dataclass(frozen=True, slots=True)
class Repair:
    """What repair() found.

    words: the member's 24. repaired: (position from 1, what was given, None if missing, what is used), parity words
    (positions 25 to 30) included. margin: how much more could have been wrong, in missing words; at 0 only the 8 bits
    of the words' checksum vouch for the result, and the account being a member on chain must confirm it.
    """

    words: tuple[str, ...]
    repaired: tuple[tuple[int, str | None, str], ...]
    margin: int

    def __repr__(self) -> str:
        return f"Repair(positions={[position for position, _, _ in self.repaired]}, margin={self.margin})"


@cache
def _codec() -> Any:
    return RSCodec(PARITY_COUNT, nsize=2047, c_exp=11, prim=0x805)


def parity_words(words: Sequence[str]) -> tuple[str, ...]:
    """The six parity words of 24 words. Raises UserError when these are not a member's words."""
    entropy_of(words)
    numbers = word_numbers()
    coded = _codec().encode(array("i", [numbers[word] for word in words]))
    return tuple(word_list()[number] for number in coded[WORD_COUNT:])


def repair(given: Sequence[str | None]) -> Repair:
    """The member's words from 24 words, or from 24 and the six parity words.

    given: as typed; None is a missing word. With parity a word that is not on the list counts as missing; without, it
    is an error, and so is a missing word. Raises UserError, saying what can be done.
    """
    words = [None if word is None else normalized(word) for word in given]
    if len(words) == WORD_COUNT:
        return Repair(_complete(words), (), 0)
    if len(words) != TOTAL:
        raise UserError(f"{len(words)} words were given: give {WORD_COUNT}, or {TOTAL} with the parity words")
    numbers = word_numbers()
    symbols = [numbers.get(word, -1) if word is not None else -1 for word in words]
    missing = [index for index, symbol in enumerate(symbols) if symbol < 0]
    if len(missing) > PARITY_COUNT:
        raise UserError(
            f"{len(missing)} of the {TOTAL} words are missing or not BIP-39 words: at most {PARITY_COUNT} can be "
            "repaired; find more of them on the sheet"
        )
    used = _decode(symbols, missing)
    result = tuple(word_list()[number] for number in used)
    repaired = tuple(
        (index + 1, word, right) for index, (word, right) in enumerate(zip(words, result, strict=True)) if word != right
    )
    wrong = len(repaired) - len(missing)
    return Repair(result[:WORD_COUNT], repaired, PARITY_COUNT - 2 * wrong - len(missing))


def _complete(words: Sequence[str | None]) -> tuple[str, ...]:
    for position, word in enumerate(words, 1):
        if word is None:
            raise UserError(
                f"word {position} is missing: give the sheet's six parity words too, which repair up to six"
            )
    whole = tuple(word for word in words if word is not None)
    entropy_of(whole)
    return whole


def _decode(symbols: list[int], missing: list[int]) -> list[int]:
    """All 30 symbols, put right. Raises UserError when the code or the checksum cannot vouch for them."""
    try:
        decoded = _codec().decode(array("i", [max(symbol, 0) for symbol in symbols]), erase_pos=missing)[1]
        used = [int(symbol) for symbol in decoded]
        if len(used) != TOTAL or not all(0 <= symbol < len(word_list()) for symbol in used):
            raise ReedSolomonError
        entropy_of([word_list()[symbol] for symbol in used[:WORD_COUNT]])
    except (ReedSolomonError, ZeroDivisionError, IndexError, UserError):
        raise UserError(_beyond_repair(symbols)) from None
    return used


def _beyond_repair(symbols: list[int]) -> str:
    own = symbols[:WORD_COUNT]
    if min(own) >= 0:
        try:
            entropy_of([word_list()[symbol] for symbol in own])
        except UserError:
            pass
        else:
            return "the parity words do not belong to these words: check them, or leave them out"
    return (
        "too many words are wrong: up to three wrong, or six missing, can be repaired; compare them with the sheet, "
        "and put ? for each word that you are not sure of"
    )
