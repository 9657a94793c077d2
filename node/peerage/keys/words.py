"""The 24 BIP-39 words that are a member: its account on chain, and the key that wraps its repository keys.

Everything here is fixed for ever by sheets that lie in safes. Normative: node/spec/keys.md.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from hashlib import pbkdf2_hmac, sha256
from importlib.util import find_spec
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from peerage.errors import LocalFault, UserError
from peerage_chain.typed import address_of

WORD_COUNT = 24
ENTROPY_SIZE = 32
ACCOUNT_PATH = "m/44'/60'/0'/0/0"
_BITS = 11
_INFO_WRAP = b"peerage/v1/wrap"
_LIST_SHA256 = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"


@cache
def word_list() -> tuple[str, ...]:
    """BIP-39's 2,048 English words. The file comes with eth_account; its hash is pinned here."""
    spec = find_spec("eth_account")
    if spec is None or spec.origin is None:
        raise LocalFault("the package eth-account is missing: install Peerage again")
    path = Path(spec.origin).parent / "hdaccount" / "wordlist" / "english.txt"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LocalFault(f"the BIP-39 word list cannot be read ({error}): install eth-account again") from None
    if sha256(data).hexdigest() != _LIST_SHA256:
        raise LocalFault("the BIP-39 word list of eth-account is not the standard's: install eth-account again")
    return tuple(data.decode("ascii").split())


@cache
def word_numbers() -> dict[str, int]:
    """Word -> its number, 0 to 2047."""
    return {word: number for number, word in enumerate(word_list())}


def new_words(entropy: bytes) -> tuple[str, ...]:
    """The 24 words of 32 random bytes."""
    if len(entropy) != ENTROPY_SIZE:
        raise ValueError("24 words are made of 32 bytes of entropy")
    bits = int.from_bytes(entropy + sha256(entropy).digest()[:1], "big")
    words = word_list()
    return tuple(words[bits >> shift & 0x7FF] for shift in range((WORD_COUNT - 1) * _BITS, -1, -_BITS))


def entropy_of(words: Sequence[str]) -> bytes:
    """The 32 bytes that the words encode.

    Raises UserError for another number of words, a word not on the list (naming its position, and similar words), or
    words whose checksum does not fit.
    """
    if len(words) != WORD_COUNT:
        raise UserError(f"{len(words)} words were given: a member's words are {WORD_COUNT}")
    numbers = word_numbers()
    bits = 0
    for position, word in enumerate(words, 1):
        number = numbers.get(word)
        if number is None:
            raise UserError(unknown_word(position, word))
        bits = bits << _BITS | number
    entropy, checksum = (bits >> 8).to_bytes(ENTROPY_SIZE, "big"), bits & 0xFF
    if sha256(entropy).digest()[0] != checksum:
        raise UserError(
            "the words' checksum does not fit: at least one is wrong or misplaced; compare them with the sheet, "
            "or give its six parity words too, which repair up to three"
        )
    return entropy


def account_of(words: Sequence[str]) -> tuple[str, bytes]:
    """(address, private key) of the member's account: BIP-39 seed with no passphrase, BIP-44 path ACCOUNT_PATH."""
    from eth_account.hdaccount import key_from_seed  # here, since importing eth_account takes half a second

    entropy_of(words)
    seed = pbkdf2_hmac("sha512", " ".join(words).encode("ascii"), b"mnemonic", 2048)
    key = bytes(key_from_seed(seed, ACCOUNT_PATH))
    return address_of(key), key


def wrap_key(words: Sequence[str]) -> bytes:
    """The 32-byte key that wraps repository keys: HKDF-SHA256 of the entropy."""
    return HKDF(SHA256(), 32, None, _INFO_WRAP).derive(entropy_of(words))


def normalized(word: str) -> str:
    """A word as typed -> as it stands in the list, if it does."""
    return unicodedata.normalize("NFKD", word).strip().lower()


def unknown_word(position: int, word: str) -> str:
    """The message about a word that is not on the list; it names no other word of the member's."""
    similar = get_close_matches(word, word_list(), n=3, cutoff=0.7)
    hint = f"did you mean {' or '.join(similar)}?" if similar else "compare it with the sheet"
    return f"word {position}, '{word[:20]}', is not a BIP-39 word: {hint}"
