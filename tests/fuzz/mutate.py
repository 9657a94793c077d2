"""Mutations of JSON and msgpack as values: a field more or less, another type, a number at a border.

msgspec parses in C, where coverage guides nothing: bytes changed blindly hardly ever stay well-formed.
"""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec

BORDERS = [0, 1, -1, 2**15, 2**16, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]
OTHERS: list[Any] = [None, True, 0.5, "", "0", [], {}, [[]], "\ud7ff\u0000", 2**64]
STARTS = (0, 1, 6, 8, 72)
"""Where msgpack may begin in an input: behind a choice, a magic and version, a length, a list of ids."""


def mutated(data: bytes, chance: random.Random) -> bytes | None:
    """The input with one to three values changed; None when it is neither JSON nor msgpack."""
    found = _parse(data)
    if found is None:
        return None
    start, value = found
    for _ in range(chance.randint(1, 3)):
        value = _change(value, chance, start is not None)
    try:
        if start is None:
            return json.dumps(value).encode("utf-8", "surrogatepass")
        body = msgspec.msgpack.encode(value)
    except (TypeError, ValueError, OverflowError):
        return None
    head = data[:start]
    if start == 8:  # a tree blob behind its length
        head = (len(body) + 6 & 0xFFFF).to_bytes(2, "big") + head[2:]
    return head + body


def _parse(data: bytes) -> tuple[int | None, Any] | None:
    """(where msgpack begins, or None for JSON; the value)."""
    if data[:1] == b"{":
        try:
            return None, json.loads(data)
        except (ValueError, RecursionError):
            return None
    for start in STARTS:
        try:
            value = msgspec.msgpack.decode(data[start:])
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict | list):
            return start, value
    return None


def _change(value: Any, chance: random.Random, binary: bool) -> Any:
    """One value in it changed, anywhere."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        keys = list(value)
        key = chance.choice(keys)
        match chance.randrange(10):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {**value, chance.choice(["n", "zz", b"zz", ""] if binary else ["zz", ""]): chance.choice(OTHERS)}
            case 2:
                return {**value, key: value[chance.choice(keys)]}
        return {**value, key: _change(value[key], chance, binary)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        place = chance.randrange(len(value))
        match chance.randrange(8):
            case 0:
                return value[:place] + value[place + 1 :]
            case 1:
                return value[: place + 1] * 2 + value[place:]
            case 2:
                return (value * 300)[: chance.choice([1, 49, 65, 300])]
            case 3:
                return chance.sample(value, len(value))
        return [*value[:place], _change(value[place], chance, binary), *value[place + 1 :]]
    if chance.random() < 0.15:
        return chance.choice([*OTHERS, b"", b"\xff"] if binary else OTHERS)
    if isinstance(value, bool) or value is None:
        return chance.choice([None, True, False])
    if isinstance(value, int):
        return chance.choice([*BORDERS, value + 1, value - 1, -value, value * 2])
    if isinstance(value, str | bytes):
        return _changed_text(value, chance)
    return chance.choice(OTHERS)


def _changed_text(text: Any, chance: random.Random) -> Any:
    place = chance.randrange(len(text) + 1)
    match chance.randrange(5):
        case 0:
            return text[:place]
        case 1:
            return text + text[place:]
        case 2:
            return text * chance.choice([0, 2, 33])
        case 3:
            return text[:place] + text[place + 1 :]
    other = chance.randrange(256)
    return text[:place] + (bytes([other]) if isinstance(text, bytes) else chr(other)) + text[place + 1 :]
