"""The words, against eth_account and the standard's own vectors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from eth_account.hdaccount import Mnemonic, key_from_seed, seed_from_mnemonic
from hypothesis import given, settings
from hypothesis import strategies as st

from peerage.errors import LocalFault, UserError
from peerage.keys import words as words_module
from peerage.keys.words import account_of, entropy_of, new_words, word_list, wrap_key

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "words.json").read_text())["cases"]


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_words_are_bip_39s(entropy: bytes) -> None:
    words = new_words(entropy)
    assert " ".join(words) == Mnemonic().to_mnemonic(entropy)
    assert entropy_of(words) == entropy


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["entropy"][:8])
def test_vectors(case: dict[str, str]) -> None:
    words = new_words(bytes.fromhex(case["entropy"]))
    assert " ".join(words) == case["words"]
    address, key = account_of(words)
    assert (address, key.hex()) == (case["account"], case["account_key"])
    assert wrap_key(words).hex() == case["wrap_key"]


def test_the_account_is_what_other_wallets_derive() -> None:
    words = new_words(os.urandom(32))
    _, key = account_of(words)
    assert key == key_from_seed(seed_from_mnemonic(" ".join(words), ""), "m/44'/60'/0'/0/0")


def test_an_unknown_word_is_named_with_its_place_and_no_other() -> None:
    words = list(new_words(b"\x5c" * 32))
    words[6] = "abandn"
    with pytest.raises(UserError, match=r"word 7, 'abandn', .* did you mean abandon") as caught:
        entropy_of(words)
    assert not {w for w in words if w != "abandn"} & set(str(caught.value).split())
    words[6] = "qqqqqq"
    with pytest.raises(UserError, match="compare it with the sheet"):
        entropy_of(words)


def test_a_wrong_checksum_and_a_wrong_count() -> None:
    words = list(new_words(bytes(32)))
    words[0] = "zoo"
    with pytest.raises(UserError, match="checksum"):
        entropy_of(words)
    with pytest.raises(UserError, match="12 words"):
        entropy_of(words[:12])
    with pytest.raises(ValueError, match="32 bytes"):
        new_words(bytes(16))


def test_a_changed_word_list_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(set(word_list())) == 2048
    word_list.cache_clear()
    monkeypatch.setattr(words_module, "_LIST_SHA256", "00")
    try:
        with pytest.raises(LocalFault, match="not the standard's"):
            word_list()
    finally:
        word_list.cache_clear()
