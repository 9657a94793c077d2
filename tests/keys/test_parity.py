"""Parity words: every mix that can be repaired is, and nothing else passes for repaired."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerage.errors import UserError
from peerage.keys.parity import parity_words, repair
from peerage.keys.words import new_words, word_list

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "words.json").read_text())["cases"]


def sheet(seed: int) -> list[str]:
    words = new_words(random.Random(seed).randbytes(32))
    return [*words, *parity_words(words)]


def another(word: str, chance: random.Random) -> str:
    return chance.choice([w for w in word_list() if w != word])


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["entropy"][:8])
def test_vectors(case: dict[str, str]) -> None:
    assert " ".join(parity_words(case["words"].split())) == case["parity"]


def test_nothing_to_repair() -> None:
    full = sheet(1)
    for given_words in (full, full[:24], [w.upper() + " " for w in full]):
        result = repair(given_words)
        assert result.words == tuple(full[:24])
        assert result.repaired == ()
    assert repair(full).margin == 6


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 6), st.integers(0, 3))
def test_every_mix_within_the_limit(seed: int, missing: int, wrong: int) -> None:
    wrong = min(wrong, (6 - missing) // 2)
    chance = random.Random(seed)
    full = sheet(seed)
    damaged: list[str | None] = list(full)
    places = chance.sample(range(30), missing + wrong)
    for place in places[:missing]:
        damaged[place] = chance.choice([None, "notaword"])
    for place in places[missing:]:
        damaged[place] = another(full[place], chance)
    result = repair(damaged)
    assert result.words == tuple(full[:24])
    assert result.repaired == tuple((p + 1, damaged[p], full[p]) for p in sorted(places))
    assert result.margin == 6 - missing - 2 * wrong


def test_words_3_9_and_20() -> None:
    full = sheet(7)
    damaged = list(full)
    for place in (2, 8, 19):
        damaged[place] = another(full[place], random.Random(place))
    assert [position for position, _, _ in repair(damaged).repaired] == [3, 9, 20]


def test_swapped_words_are_two_wrong_ones() -> None:
    full = sheet(8)
    damaged = [full[1], full[0], *full[2:]]
    assert repair(damaged).words == tuple(full[:24])


def test_beyond_the_limit() -> None:
    """Four wrong words pass the code once in 2^21 times, and one in 256 of those the checksum."""
    accepted = 0
    for seed in range(150):
        chance = random.Random(seed)
        full = sheet(seed)
        damaged: list[str | None] = list(full)
        for place in chance.sample(range(30), 4):
            damaged[place] = another(full[place], chance)
        with contextlib.suppress(UserError):
            repair(damaged)
            accepted += 1
    assert accepted == 0


def test_six_missing_and_one_wrong_has_no_margin_left() -> None:
    """The code cannot see the wrong word any more: the checksum (1 in 256) and then the chain stand guard."""
    passed = 0
    for seed in range(120):
        chance = random.Random(seed)
        full = sheet(seed)
        damaged: list[str | None] = list(full)
        places = chance.sample(range(30), 7)
        for place in places[:6]:
            damaged[place] = None
        damaged[places[6]] = another(full[places[6]], chance)
        try:
            result = repair(damaged)
        except UserError:
            continue
        passed += 1
        assert result.margin == 0
    assert passed <= 5


def test_seven_missing() -> None:
    with pytest.raises(UserError, match="7 of the 30 words"):
        repair([None] * 7 + sheet(2)[7:])


def test_without_parity_nothing_is_guessed() -> None:
    words: list[str | None] = list(sheet(3)[:24])
    with pytest.raises(UserError, match="word 5 is missing"):
        repair([*words[:4], None, *words[5:]])
    with pytest.raises(UserError, match="word 5, 'notaword'"):
        repair([*words[:4], "notaword", *words[5:]])
    with pytest.raises(UserError, match="25 words"):
        repair([*words, "zoo"])


def test_another_sheets_parity() -> None:
    with pytest.raises(UserError, match="do not belong"):
        repair([*sheet(4)[:24], *sheet(5)[24:]])


def test_no_word_is_shown_by_accident() -> None:
    full = sheet(6)
    assert not set(full) & set(repr(repair([None, *full[1:]])).replace("(", " ").replace("=", " ").split())


def test_parity_of_wrong_words_is_refused() -> None:
    with pytest.raises(UserError):
        parity_words(["zoo"] * 24)
