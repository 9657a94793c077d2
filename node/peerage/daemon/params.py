"""Parameters of the owner's verbs, checked. Each raises UserError naming the one that is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from peerage.errors import UserError

__all__ = [
    "flag",
    "given",
    "integer",
    "integers",
    "number",
    "paths_bytes",
    "readable",
    "string",
    "strings",
    "text",
]


def string(params: dict[str, Any], name: str) -> str:
    """A text that is not empty."""
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise UserError(f"the parameter {name} is missing")
    _bytes(value, name)
    return value


def given(params: dict[str, Any], name: str) -> str:
    """A text that may be empty, but not left out."""
    if name not in params:
        raise UserError(f"the parameter {name} is missing")
    return text(params, name)


def text(params: dict[str, Any], name: str) -> str:
    """Empty when it is not given."""
    value = params.get(name, "")
    if not isinstance(value, str):
        raise UserError(f"the parameter {name} must be a string")
    _bytes(value, name)
    return value


def paths_bytes(params: dict[str, Any], name: str) -> list[bytes]:
    """Paths as the system takes them; empty when it is not given."""
    return [os.fsencode(value) for value in strings(params, name)]


def readable(values: Iterable[str], name: str) -> None:
    """Raises UserError for a text that is to be stored as such and is no Unicode: paths alone may be none."""
    for value in values:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UserError(f"the parameter {name} is not Unicode text") from None


def _bytes(value: str, name: str) -> None:
    """Paths that are no UTF-8 come with lone surrogates for their bytes (PEP 383); others mean nothing."""
    try:
        if b"\0" not in os.fsencode(value):
            return
    except UnicodeEncodeError:
        pass
    raise UserError(f"the parameter {name} has a character that no text and no path can have")


def flag(params: dict[str, Any], name: str) -> bool:
    """False when it is not given."""
    value = params.get(name, False)
    if not isinstance(value, bool):
        raise UserError(f"the parameter {name} must be true or false")
    return value


def strings(params: dict[str, Any], name: str) -> list[str]:
    """Empty when it is not given."""
    value = params.get(name, [])
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise UserError(f"the parameter {name} must be a list of strings")
    for one in value:
        _bytes(one, name)
    return value


def integers(params: dict[str, Any], name: str) -> list[int]:
    """Empty when it is not given."""
    value = params.get(name, [])
    if not isinstance(value, list) or not all(isinstance(v, int) and not isinstance(v, bool) for v in value):
        raise UserError(f"the parameter {name} must be a list of whole numbers")
    return value


def number(params: dict[str, Any], name: str, default: float) -> float:
    """Above 0."""
    value = params.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise UserError(f"the parameter {name} must be a number above 0")
    return float(value)


def integer(params: dict[str, Any], name: str) -> int | None:
    """At least 0; None when it is not given."""
    value = params.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise UserError(f"the parameter {name} must be a number, at least 0")
    return value
