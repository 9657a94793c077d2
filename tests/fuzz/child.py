"""Fuzzes one target in this process: `python -m tests.fuzz.child TARGET [libFuzzer's arguments]`."""

from __future__ import annotations

import contextlib
import sys

import atheris
from tests.fuzz.targets import TARGETS


def main() -> None:
    name = sys.argv[1]
    target = TARGETS[name]
    with atheris.instrument_imports(include=["peerage", "peerage_chain", "tomllib"]):
        parse = target.make()

    def one(data: bytes) -> None:
        with contextlib.suppress(*target.allowed):
            parse(data)

    atheris.Setup([name, f"-max_len={target.max_bytes}", *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
