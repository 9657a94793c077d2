"""scripts/bench: see there."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import engine  # noqa: E402 - the lines above make it importable
import proving  # noqa: E402
import scale  # noqa: E402
from meter import Failed  # noqa: E402

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size(text: str) -> int:
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in "KMGT" else (text, "")
    return int(float(number) * UNITS[unit])


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Exit codes: 0 measured; 1 a tool failed, or there is not enough room; 2 usage; 130 interrupted.",
    )
    parts = parser.add_subparsers(dest="part", required=True)
    one = parts.add_parser("engine", help="Peerage beside restic, borg and Tahoe-LAFS on one tree")
    one.add_argument("path", nargs="?", type=Path, help="the tree (one is made)")
    one.add_argument("--rounds", type=int, default=3, help="rounds, in alternation (3)")
    one.add_argument("--tools", default="peerage,restic,borg,tahoe", help="which of peerage,restic,borg,tahoe")
    one.add_argument("--tahoe", default="tahoe", metavar="PROGRAM", help="Tahoe's program (tahoe)")
    one.add_argument("--size", type=size, default=size("5G"), help="bytes of the tree that is made (5G)")
    one.add_argument("--files", type=int, default=50_000, help="files of the tree that is made (50000)")
    one.add_argument("--single", type=size, default=size("200M"), help="bytes of the file that is put and got (200M)")
    many = parts.add_parser("scale", help="cost and memory from few files to many")
    many.add_argument("--files", type=numbers, default=[10_000, 100_000, 1_000_000], help="10000,100000,1000000")
    many.add_argument(
        "--big-file", type=size, default=size("20G"), help="bytes of the one large file (20G); 0 leaves it out"
    )
    many.add_argument(
        "--directory", type=int, default=100_000, help="entries of one directory (100000); 0 leaves it out"
    )
    prove = parts.add_parser("prove", help="an epoch's proofs: CPU seconds and bytes kept for each terabyte held")
    prove.add_argument("--held", type=size, default=10**12, help="bytes that the provider holds, sparse (10^12)")
    prove.add_argument("--shard", type=size, default=size("8M"), help="bytes of a shard (8M)")
    prove.add_argument("--agreements", type=numbers, default=[10, 100, 1000], help="how many hold them (10,100,1000)")
    prove.add_argument("--dense", type=size, default=size("1G"), help="bytes of shards full of data, for the disk (1G)")
    for part in (one, many, prove):
        part.add_argument(
            "--out", type=Path, default=Path("bench-results"), help="for results.json and chart.svg (bench-results)"
        )
        part.add_argument(
            "--work", type=Path, help="where trees and repositories lie meanwhile (a new temporary directory)"
        )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = Path(tempfile.mkdtemp(prefix="peerage-bench-", dir=options.work))
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"bench: {machine()}; working in {work}", file=sys.stderr)
    try:
        {"engine": engine, "scale": scale, "prove": proving}[options.part].measure(options, work)
    except Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


def machine() -> str:
    return f"{os.cpu_count()} processors, {platform.system()} {platform.release()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
