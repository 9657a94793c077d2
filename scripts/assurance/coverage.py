"""scripts/assure coverage: how much of contracts/src forge's tests run, by file; fails below LEAST."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEAST = 98.0
MEASURES = ("lines", "branches", "functions")


@dataclass
class File:
    """What a report says of one source file: hit and all, and where it was not."""

    hit: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    all: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    missed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, measure: str, where: str, times: str) -> None:
        self.all[measure] += 1
        if times in ("0", "-"):
            self.missed[measure].append(where)
        else:
            self.hit[measure] += 1


def read(report: str) -> dict[str, File]:
    """An LCOV report by source file."""
    files: dict[str, File] = {}
    for line in report.splitlines():
        tag, _, rest = line.partition(":")
        if tag == "SF":
            current = files.setdefault(rest, File())
        elif tag == "DA":
            number, times = rest.split(",")
            current.add("lines", number, times)
        elif tag == "BRDA":
            number, _, branch, times = rest.split(",")
            current.add("branches", f"{number}/{branch}", times)
        elif tag == "FNDA":
            times, name = rest.split(",")
            current.add("functions", name, times)
    return files


def run() -> str:
    """forge's report. The sources are compiled without the optimizer for it: a build of its own."""
    environment = {
        **os.environ,
        "FOUNDRY_OUT": "contracts/out/coverage",
        "FOUNDRY_CACHE_PATH": "contracts/cache/coverage",
    }
    with tempfile.TemporaryDirectory() as name:
        report = Path(name, "lcov.info")
        command = ["forge", "coverage", "--root", ".", "--report", "lcov", "--report-file", str(report)]
        command += ["--no-match-coverage", "tests/|node_modules/"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"forge coverage failed:\n{done.stdout[-6000:]}{done.stderr[-2000:]}")
        return report.read_text(encoding="utf-8")


def share(hit: int, all_: int) -> float:
    return 100 * hit / all_ if all_ else 100.0


def row(name: str, file: File) -> str:
    cells = (f"{share(file.hit[m], file.all[m]):6.1f} % {file.hit[m]:>5}/{file.all[m]:<5}" for m in MEASURES)
    return f"{name:<32} {' '.join(cells)}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/assure coverage", description=__doc__)
    parser.add_argument("--show", action="store_true", help="name the lines, branches and functions that were not run")
    options = parser.parse_args()
    files = {name.removeprefix("contracts/src/"): file for name, file in read(run()).items()}
    total = File()
    print(f"{'':<32} {' '.join(f'{measure:>20}' for measure in MEASURES)}")
    for name, file in sorted(files.items()):
        print(row(name, file))
        for measure in MEASURES:
            total.hit[measure] += file.hit[measure]
            total.all[measure] += file.all[measure]
            if options.show and file.missed[measure]:
                print(f"    {measure} not run: {', '.join(file.missed[measure])}")
    print(row("all", total))
    low = [measure for measure in ("lines", "branches") if share(total.hit[measure], total.all[measure]) < LEAST]
    if low:
        print(f"coverage: {' and '.join(low)} below {LEAST:g} %", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
