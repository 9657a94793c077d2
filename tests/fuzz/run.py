"""Fuzzes parsers with atheris, one process each, and prints a table of what was done. See scripts/fuzz."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.targets import SEEDS, TARGETS

ROOT = Path(__file__).parents[2]
MEMORY_MIB = 1024
"""Resident, of one process: more is a crash."""
SLOWEST_S = 10
"""For one input: longer is a crash."""
_EXECUTIONS = re.compile(r"stat::number_of_executed_units: +(\d+)")
_COVERAGE = re.compile(r"cov: (\d+)")
_PEAK = re.compile(r"stat::peak_rss_mb: +(\d+)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What fuzzing one target did. crash: the input that broke the parser, if one did; log: its last words."""

    target: str
    executions: int
    seconds: float
    coverage: int
    peak_mib: int
    failed: bool
    crash: Path | None
    log: str


def available() -> bool:
    """Whether atheris is installed: it has wheels for some platforms only."""
    return find_spec("atheris") is not None


def fuzz(target: str, bound: list[str], crashes: Path, corpus: Path | None = None, seed: int = 0) -> Outcome:
    """bound: libFuzzer's -runs or -max_total_time. corpus: where inputs that reach new code are kept, and read from."""
    with tempfile.TemporaryDirectory(prefix="peerage-fuzz-") as temporary:
        found = corpus / target if corpus is not None else Path(temporary)
        found.mkdir(parents=True, exist_ok=True)
        prefix = crashes / f"{target}-"
        before = set(crashes.glob(f"{target}-*"))
        options = [*bound, f"-rss_limit_mb={MEMORY_MIB}", f"-timeout={SLOWEST_S}", f"-artifact_prefix={prefix}"]
        options += [f"-seed={seed}", "-print_final_stats=1", "-use_value_profile=1", str(found), str(SEEDS / target)]
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.child", target, *options],
            capture_output=True,
            check=False,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        seconds = time.monotonic() - began
    log = done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace")
    new = sorted(set(crashes.glob(f"{target}-*")) - before)
    return Outcome(
        target=target,
        executions=_last(_EXECUTIONS, log),
        seconds=seconds,
        coverage=_last(_COVERAGE, log),
        peak_mib=_last(_PEAK, log),
        failed=done.returncode != 0,
        crash=new[0] if new else None,
        log="\n".join(line for line in log.splitlines() if not line.startswith(("#", "INFO:")))[:4000],
    )


def _last(pattern: re.Pattern[str], log: str) -> int:
    found = pattern.findall(log)
    return int(found[-1]) if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Fuzz the parsers of bytes from outside.")
    parser.add_argument("target", nargs="*", metavar="TARGET", help=f"of: {', '.join(TARGETS)}; all without any")
    bound = parser.add_mutually_exclusive_group()
    bound.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    bound.add_argument("--runs", type=int, help="for each target, instead of a time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at once (one per processor)")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations; 0, the default, draws one")
    parser.add_argument("--corpus", type=Path, help="keep the inputs that reach new code here, and begin with them")
    parser.add_argument("--crashes", type=Path, default=Path("fuzz-crashes"), help="where broken inputs are put")
    given = parser.parse_args()
    names = given.target or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; the targets are: {', '.join(TARGETS)}")
    if not available():
        print(
            "fuzz: atheris has no wheel for this platform: use x86-64 Linux with Python 3.11 to 3.13", file=sys.stderr
        )
        return 2
    crashes, corpus = given.crashes.resolve(), given.corpus and given.corpus.resolve()
    crashes.mkdir(parents=True, exist_ok=True)
    limit = [f"-runs={given.runs}" if given.runs else f"-max_total_time={given.seconds}"]
    print(f"{'target':22} {'executions':>12} {'seconds':>8} {'coverage':>8} {'peak MiB':>8}  crashes", flush=True)
    failures = []
    total = 0
    with ThreadPoolExecutor(given.jobs) as pool:
        for outcome in pool.map(lambda name: fuzz(name, limit, crashes, corpus, given.seed), names):
            broken = str(outcome.crash) if outcome.crash else "broke off" if outcome.failed else "0"
            print(
                f"{outcome.target:22} {outcome.executions:12,} {outcome.seconds:8.0f} {outcome.coverage:8} "
                f"{outcome.peak_mib:8}  {broken}",
                flush=True,
            )
            total += outcome.executions
            failures += [outcome] if outcome.failed else []
    print(f"{'all':22} {total:12,}  {len(failures)} of {len(names)} targets crashed")
    for outcome in failures:
        print(f"\n{outcome.target}:\n{outcome.log}", file=sys.stderr)
    if not any(crashes.iterdir()):
        crashes.rmdir()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
