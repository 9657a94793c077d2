"""The recovery sheet as people type it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.errors import UserError
from peerage.keys.parity import parity_words
from peerage.keys.sheet import MAX_SHEET, Sheet, parse_sheet
from peerage.keys.words import new_words

WORDS = new_words(bytes(range(32)))
PARITY = parity_words(WORDS)
SHEET = Sheet(
    WORDS,
    PARITY,
    31337,
    "0x" + "ab" * 32,
    "0x4e59b44847b379578588920cA78FbF26c0B4956C",
    ("http://127.0.0.1:8545", "https://chain.example/rpc"),
    ("https://127.0.0.1:9001", "https://[::1]:9002"),
)


def test_text_comes_back() -> None:
    assert parse_sheet(SHEET.text()) == SHEET
    assert SHEET.given == WORDS + PARITY
    for name in ("words:", "parity:", "chain-id:", "genesis:", "directory:", "rpc:", "peer:"):
        assert re.search(f"^{name} ", SHEET.text(), re.MULTILINE)
    bare = Sheet(WORDS)
    assert parse_sheet(bare.text()) == bare


@pytest.mark.parametrize(
    "text",
    [
        " ".join(WORDS),
        "\n".join(WORDS),
        "\r\n".join(WORDS) + "\r\n",
        ", ".join(WORDS),
        "\n".join(f"{i}. {w}" for i, w in enumerate(WORDS, 1)),
        "\n".join(f"{i}.{w}" for i, w in enumerate(WORDS, 1)),
        "\n".join(f"  {i:2}) {w.upper()}" for i, w in enumerate(WORDS, 1)),
        "\ufeff# my words\n\n" + " ".join(WORDS),
        "words:\n" + "\n".join(f"  {i}. {w}" for i, w in enumerate(WORDS, 1)),
        "WORDS: " + " ".join(WORDS[:12]) + "\n  " + " ".join(WORDS[12:]),
        "words: " + " ".join(WORDS) + "\nsomething-new: of a later release\n",
    ],
    ids=range(11),
)
def test_ways_to_write_the_words(text: str) -> None:
    assert parse_sheet(text) == Sheet(WORDS)


def test_thirty_bare_words() -> None:
    assert parse_sheet(" ".join(WORDS + PARITY)) == Sheet(WORDS, PARITY)
    assert parse_sheet("\n".join(WORDS) + "\nparity: " + " ".join(PARITY)) == Sheet(WORDS, PARITY)


def test_missing_and_unknown_words_are_kept_for_the_repair() -> None:
    text = "words: ? " + " ".join(WORDS[1:22]) + " ??? smudge\nparity: " + " ".join(PARITY[:5]) + " ?"
    sheet = parse_sheet(text)
    assert sheet.words == (None, *WORDS[1:22], None, "smudge")
    assert sheet.parity == (*PARITY[:5], None)
    assert parse_sheet(sheet.text()) == sheet


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 words"),
        (" ".join(WORDS[:23]), "23 words"),
        (" ".join(WORDS + PARITY[:1]), "25 words"),
        ("words: " + " ".join(WORDS) + "\nparity: " + " ".join(PARITY[:4]), "4 parity words"),
        ("hello\nwords: " + " ".join(WORDS), "begin comments with #"),
        ("words: " + " ".join(WORDS) + "\nchain-id: one", "not a number"),
        ("words: " + " ".join(WORDS) + "\nchain-id: 0", "not a number"),
        ("words: " + " ".join(WORDS) + "\nchain-id: 1\nchain-id: 2", "more than one 'chain-id:'"),
        ("words: " + " ".join(WORDS) + "\ngenesis: 0x12", "'genesis:'"),
        ("words: " + " ".join(WORDS) + "\ndirectory: 4e59b44847b379578588920cA78FbF26c0B4956C", "'directory:'"),
        ("words: " + " ".join(WORDS) + "\nrpc: " + "x" * 3000, "'rpc:'"),
        ("words: " + " ".join(WORDS) + "\nrpc: http://x" * 1000, "too many lines"),
        ("x" * (MAX_SHEET + 1), "longer than"),
    ],
    ids=range(13),
)
def test_refusals_say_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(UserError, match=re.escape(reason)) as caught:
        parse_sheet(text)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=400))
def test_any_text_is_refused_in_one_way(text: str) -> None:
    for attempt in (text, "words: " + text, " ".join(WORDS) + "\n" + text):
        try:
            parse_sheet(attempt)
        except UserError:
            continue


def test_secrets_are_not_in_the_repr() -> None:
    assert not set(WORDS + PARITY) & set(re.findall("[a-z]+", repr(SHEET)))


class Page(HTMLParser):
    """The words in <b>, and everything that a browser would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.bold: list[str] = []
        self.loads: list[str] = []
        self._in_bold = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_bold = tag == "b"
        self.loads += [name for name, _ in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.loads += [tag] if tag in ("script", "link", "img", "iframe", "object", "base") else []

    def handle_data(self, data: str) -> None:
        if self._in_bold:
            self.bold.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_bold = False


def test_the_page_shows_all_and_loads_nothing() -> None:
    html = SHEET.html()
    page = Page(html)
    assert tuple(page.bold) == WORDS + PARITY
    assert page.loads == []
    assert "@import" not in html
    assert "url(" not in html
    for value in ("31337", SHEET.genesis, SHEET.directory, *SHEET.rpc, *SHEET.peers):
        assert str(value) in html


def test_the_page_escapes() -> None:
    assert "<script>" not in Sheet(WORDS, rpc=("http://x/<script>",)).html()
