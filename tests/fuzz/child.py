"""Fuzzes one target in this process: `python -m tests.fuzz.child TARGET [libFuzzer's arguments]`."""

from __future__ import annotations

import contextlib
import random
import sys

import atheris
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS


def main() -> None:
    name = sys.argv[1]
    target = TARGETS[name]
    with atheris.instrument_imports(include=["peerage", "peerage_chain", "tomllib"]):
        parse = target.make()

    def one(data: bytes) -> None:
        with contextlib.suppress(*target.allowed):
            parse(data)

    def mutate(data: bytes, max_bytes: int, seed: int) -> bytes:
        chance = random.Random(seed)
        changed = mutated(data, chance) if chance.random() < 0.8 else None
        return changed if changed is not None and len(changed) <= max_bytes else atheris.Mutate(data, max_bytes)

    arguments = [name, f"-max_len={target.max_bytes}", *sys.argv[2:]]
    atheris.Setup(arguments, one, custom_mutator=mutate if target.structured else None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
