"""Byte sizes as people write them: 2TB, 500GiB, 1.5 TiB, 4096."""

from __future__ import annotations

import re
from fractions import Fraction

UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "PB": 10**15,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "TIB": 1 << 40,
    "PIB": 1 << 50,
}
_SIZE = re.compile(r"\s*([0-9]{1,20}(?:\.[0-9]{1,6})?)\s*([A-Za-z]{0,3})\s*")


def parse_size(text: str) -> int:
    """Bytes, a fraction rounded down. Raises ValueError naming what is understood."""
    match = _SIZE.fullmatch(text)
    unit = UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise ValueError(f"not a size: {text[:40]!r} (examples: 2TB, 500GiB, 1.5TiB, 1073741824)")
    return int(Fraction(match[1]) * unit)
