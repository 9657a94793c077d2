"""The second reader, run as its users run it: on the golden vectors, on damaged ones, on a pack and a stripe."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.formats import make_vectors

ROOT = Path(__file__).parents[2]
VECTORS = make_vectors.VECTORS
HEX = frozenset("0123456789abcdef")
REPOSITORY = json.loads((VECTORS / "repository.json").read_text())
KEY = f"1:{make_vectors.RAW[1].hex()}"


def verify(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "verify_format.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)


def test_it_imports_nothing_of_the_product() -> None:
    for name in ("pack_reader.py", "second_reader.py", "verify_format.py"):
        text = (ROOT / "scripts" / name).read_text()
        assert "import peerage" not in text
        assert "from peerage" not in text


def test_the_vectors_are_what_the_product_writes() -> None:
    for name, text in make_vectors.vectors().items():
        assert (VECTORS / name).read_text() == text


def test_all_vectors_verify() -> None:
    result = verify("vectors")
    assert result.returncode == 0, result.stdout
    assert result.stdout.count(" ok: ") == 10


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_bit_anywhere_is_found(tmp_path: Path, seed: int) -> None:
    """One bit in one of the longer byte strings of each vector: the pack, the head, a shard, a root."""
    names = ["heads", "keystore", "packs", "repository", "sealing", "sum_tree", "trees"]
    for number, name in enumerate(names):
        flip(VECTORS / f"{name}.json", tmp_path / f"{name}.json", random.Random(100 * seed + number))
    result = verify("vectors", tmp_path, *(f"--only={name}" for name in names))
    assert result.returncode == 1
    assert result.stdout.count(" WRONG: ") == len(names), result.stdout


def flip(source: Path, target: Path, chance: random.Random) -> None:
    vector = json.loads(source.read_text())
    places = [(holder, key) for holder, key in strings(vector) if key != "previous"]
    holder, key = chance.choices(places, [len(str(holder[key])) for holder, key in places])[0]
    text = holder[key]
    at = chance.randrange(2 if text.startswith("0x") else 0, len(text))
    holder[key] = text[:at] + f"{int(text[at], 16) ^ 1 << chance.randrange(4):x}" + text[at + 1 :]
    target.write_text(json.dumps(vector))


def strings(value: Any) -> list[tuple[Any, Any]]:
    """(holder, key) of every string of at least 32 bytes in hexadecimal."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(item, str) and len(item) >= 64 and set(item.removeprefix("0x")) <= HEX:
            found.append((value, key))
        found += strings(item)
    return found


@pytest.fixture(scope="module")
def stripe(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The data pack's shards as files."""
    directory = tmp_path_factory.mktemp("stripe")
    builder, _ = make_vectors.repository()
    files = [directory / f"{shard.index}" for shard in builder.packs[0].shards]
    for file, shard in zip(files, builder.packs[0].shards, strict=True):
        file.write_bytes(builder.objects[shard.root])
    return files


@pytest.mark.parametrize("lost", [(0, 1), (1, 4), (3, 4)])
def test_a_stripe_of_any_k_shards(stripe: list[Path], lost: tuple[int, int]) -> None:
    have = [f"{index}:{file}" for index, file in enumerate(stripe) if index not in lost]
    result = verify("stripe", "3+2", *have, "--key", KEY)
    assert result.returncode == 0, result.stderr
    roots = [line.split()[-1] for line in result.stdout.splitlines() if line.startswith("shard ")]
    assert roots == REPOSITORY["agreement"]["objects"][:5]
    assert result.stdout.count(" kind 0 at ") == 3


def test_a_stripe_of_too_few_shards_or_of_a_damaged_one_is_wrong(stripe: list[Path], tmp_path: Path) -> None:
    few = verify("stripe", "3+2", f"0:{stripe[0]}", f"4:{stripe[4]}", "--key", KEY)
    assert (few.returncode, few.stderr) == (1, "wrong: 2 shards of 3+2\n")
    damaged = tmp_path / "damaged"
    damaged.write_bytes(bytes([stripe[3].read_bytes()[0] ^ 1]) + stripe[3].read_bytes()[1:])
    result = verify("stripe", "3+2", f"1:{stripe[1]}", f"2:{stripe[2]}", f"3:{damaged}", "--key", KEY)
    assert result.returncode == 1
    assert result.stderr.startswith("wrong: ")


def test_a_pack_and_its_damage(stripe: list[Path], tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    data = b"".join(file.read_bytes() for file in stripe[:3])
    pack.write_bytes(data)
    assert verify("pack", pack, "--key", KEY).stdout.count(" kind 0 at ") == 3
    length = len(data.rstrip(b"\0"))
    for place in (9, 20, 60, length // 2, length - 30, length - 5):
        pack.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        result = verify("pack", pack, "--key", KEY)
        assert result.returncode == 1, place
        assert result.stderr.startswith("wrong: "), result.stderr


def test_a_head(tmp_path: Path) -> None:
    head = tmp_path / "head"
    head.write_bytes(bytes.fromhex(REPOSITORY["objects"][REPOSITORY["head"]]))
    result = verify("head", head, "--wrap-key", REPOSITORY["wrap_key"])
    (summary,) = json.loads(result.stdout)["snapshots"]
    assert summary["id"] == REPOSITORY["snapshot"]
    assert verify("head", head, "--wrap-key", "00" * 32).stderr == "wrong: a tag does not fit\n"
