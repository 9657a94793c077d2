"""The recovery sheet as text: what a stranger's machine needs to bring a member back. Its lines are an interface.

    words: w1 w2 … w24        ? is a missing word; may go on on indented lines; "1." before a word is skipped
    parity: p1 … p6
    chain-id: 31337
    genesis: 0x…              hash of the chain's first block
    directory: 0x…            the contract that everything else is found from
    rpc: http://…             may repeat
    peer: https://…           may repeat

Lines that start with # are comments. A bare list of 24 or 30 words is a sheet too. Normative:
node/spec/recovery-sheet.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from peerage.errors import UserError
from peerage.keys.parity import PARITY_COUNT, TOTAL
from peerage.keys.sheet_html import page
from peerage.keys.words import WORD_COUNT, normalized

MAX_SHEET = 64 * 1024
"""Characters of a sheet at most."""
_MAX_VALUES = 64
_LINE = re.compile(r"([a-z][a-z-]*):(?:\s+(.*))?$", re.IGNORECASE)
_NUMBERING = re.compile(r"\d{1,2}[.):]?$")
_GLUED = re.compile(r"^\d{1,2}[.):](?=\S)")
_HASH = re.compile(r"0x[0-9a-f]{64}$", re.IGNORECASE)
_ADDRESS = re.compile(r"0x[0-9a-f]{40}$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet as given: words None where missing, and perhaps not on the list. parity: six, or none. Facts of the
    chain are None or empty where the sheet has none. genesis: 0x and 64 hex digits."""

    words: tuple[str | None, ...] = field(repr=False)
    parity: tuple[str | None, ...] = field(default=(), repr=False)
    chain_id: int | None = None
    genesis: str | None = None
    directory: str | None = None
    rpc: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()

    @property
    def given(self) -> tuple[str | None, ...]:
        """What parity.repair() takes: the words, and the parity words if there are any."""
        return self.words + self.parity

    def text(self) -> str:
        """The sheet as parse_sheet() reads it."""
        lines = [
            "# Peerage recovery sheet. Whoever has these words has the backups: keep it like a key, apart from the",
            "# machine. To recover, on any machine: peerage recover --words-file THIS --rpc URL --target DIR",
            "words: " + " ".join(word or "?" for word in self.words),
        ]
        if self.parity:
            lines.append("parity: " + " ".join(word or "?" for word in self.parity))
        if self.chain_id is not None:
            lines.append(f"chain-id: {self.chain_id}")
        if self.genesis is not None:
            lines.append(f"genesis: {self.genesis}")
        if self.directory is not None:
            lines.append(f"directory: {self.directory}")
        lines += [f"rpc: {url}" for url in self.rpc]
        lines += [f"peer: {url}" for url in self.peers]
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        """A page to print on A4, complete in itself: it loads nothing."""
        facts: list[tuple[str, str]] = []
        if self.chain_id is not None:
            facts.append(("chain-id", str(self.chain_id)))
        facts += [("genesis", self.genesis)] if self.genesis else []
        facts += [("directory", self.directory)] if self.directory else []
        facts += [("rpc", url) for url in self.rpc] + [("peer", url) for url in self.peers]
        return page([word or "?" for word in self.words], [word or "?" for word in self.parity], facts)


def parse_sheet(text: str) -> Sheet:
    """Read a sheet, or a bare list of 24 or 30 words. Unknown lines of a later release are skipped.

    Raises UserError naming the line or the count that is wrong; words are not checked against the list here.
    """
    if len(text) > MAX_SHEET:
        raise UserError(f"the words file is longer than {MAX_SHEET} characters: it is not a recovery sheet")
    values: dict[str, list[str]] = {}
    bare: list[str] = []
    current: str | None = None
    for raw in text.removeprefix("\ufeff").splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.match(line) if not raw[0].isspace() else None
        if match is not None:
            current = match[1].lower()
            values.setdefault(current, []).append(match[2] or "")
        elif current is not None:
            values[current].append(line)
        else:
            bare.append(line)
        if sum(map(len, values.values())) > _MAX_VALUES * 8:
            raise UserError("the words file has too many lines: it is not a recovery sheet")
    if "words" in values:
        if bare:
            raise UserError("the words file has text before its 'words:' line: begin comments with #")
        words, parity = _words(values["words"]), _words(values.get("parity", []))
    else:
        words, parity = _words(bare), _words(values.get("parity", []))
        if len(words) == TOTAL and not parity:
            words, parity = words[:WORD_COUNT], words[WORD_COUNT:]
    if len(words) != WORD_COUNT:
        raise UserError(f"the words file has {len(words)} words: it needs {WORD_COUNT}, with ? for each missing one")
    if len(parity) not in (0, PARITY_COUNT):
        raise UserError(f"the words file has {len(parity)} parity words: it needs {PARITY_COUNT}, or none")
    return Sheet(
        words=words,
        parity=parity,
        chain_id=_chain_id(values),
        genesis=_hex(values, "genesis", _HASH),
        directory=_hex(values, "directory", _ADDRESS),
        rpc=_urls(values, "rpc"),
        peers=_urls(values, "peer"),
    )


def _words(lines: list[str]) -> tuple[str | None, ...]:
    words: list[str | None] = []
    for token in " ".join(lines).replace(",", " ").split():
        if _NUMBERING.match(token):
            continue
        word = normalized(_GLUED.sub("", token))
        words.append(None if not word.strip("?_") else word)
    return tuple(words)


def _one(values: dict[str, list[str]], name: str) -> str | None:
    found = [value.strip() for value in values.get(name, []) if value.strip()]
    if len(set(found)) > 1:
        raise UserError(f"the words file has more than one '{name}:' line: keep the right one")
    return found[0] if found else None


def _chain_id(values: dict[str, list[str]]) -> int | None:
    text = _one(values, "chain-id")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) == 0:
        raise UserError("the words file's 'chain-id:' is not a number")
    return int(text)


def _hex(values: dict[str, list[str]], name: str, pattern: re.Pattern[str]) -> str | None:
    text = _one(values, name)
    if text is not None and not pattern.match(text):
        raise UserError(f"the words file's '{name}:' line is not 0x and the right number of hex digits")
    return text


def _urls(values: dict[str, list[str]], name: str) -> tuple[str, ...]:
    urls = tuple(value.strip() for value in values.get(name, []) if value.strip())
    if len(urls) > _MAX_VALUES or any(len(url) > 2048 for url in urls):
        raise UserError(f"the words file has too many or too long '{name}:' lines")
    return urls
