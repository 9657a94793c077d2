"""Writes tests/vectors/quality.json: draws, medians, disputes, clauses and shortfalls of thousands of random cases.

A case is made from its number alone, the same way here and in QualityVectors.t.sol; the file has each outcome's digest.
    python tests/contracts/make_quality_vectors.py
"""

from __future__ import annotations

import json
from pathlib import Path

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from peerage_chain.quality import Clause, Figures, disputed, drawn, median
from peerage_chain.types import MemberId

CASES = 3000
TARGET = Path(__file__).parents[1] / "vectors" / "quality.json"


def draw(case: int, index: int) -> int:
    return int.from_bytes(keccak(encode(["uint256", "uint256"], [case, index])), "big")


def figures_of(r: int) -> Figures:
    """Sizes of all orders, so that some lie far apart and some are the same."""
    return Figures(r % 2**32 >> (r >> 32) % 32, (r >> 40) % 2**32 >> (r >> 72) % 32, (r >> 80) % 200, (r >> 120) % 101)


def clause_of(r: int) -> bytes:
    """Valid, but for some in each of its parts."""
    small = [r % 2**32 >> 20, (r >> 32) % 2**32 >> 24, (r >> 64) % 200]
    head = bytes([(r >> 100) % 16 != 0]) + b"".join(value.to_bytes(4, "big") for value in small)
    return head + bytes([(r >> 104) % 110]) + int((r >> 112) % 16 == 0).to_bytes(18, "big")


def outcome(case: int) -> bytes:
    r = [draw(case, i) for i in range(16)]
    is_drawn = drawn(
        r[0].to_bytes(32, "big"), (r[1] % 2**160).to_bytes(20, "big"), MemberId(r[2] % 2**32), r[3] % 64, r[4] % 17
    )
    reports = [figures_of(r[5 + i]) for i in range(r[4] % 9)]
    record = median(reports)
    word = clause_of(r[15])
    try:
        clause = Clause.unpack(word)
    except ValueError:
        clause = None
    valid = clause is not None and clause.pack() == word
    found = record.figures if record else None
    values = [
        is_drawn,
        *((found.down_kib_s, found.up_kib_s, found.latency_ms, found.availability_percent) if found else (0,) * 4),
        record.reports if record else 0,
        sum(disputed(report, record) << i for i, report in enumerate(reports)) if record else 0,
        valid,
        clause.withheld_percent if clause and valid else 0,
        bool(clause and clause.is_short(record)),
    ]
    return keccak(encode(["uint256"] * len(values), [int(value) for value in values]))


def document() -> str:
    return json.dumps({"digests": ["0x" + outcome(case).hex() for case in range(CASES)]}, indent=0) + "\n"


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
