"""scripts/assure invariants: stateful fuzzing of the whole market, and what its actors met: calls, refusals by reason,
violations."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

from peerage_chain.abi import artifact
from peerage_chain.build import CONTRACTS

ROOT = Path(__file__).resolve().parents[2]
JOURNAL = ROOT / "contracts" / "cache" / "journal" / "invariants.txt"
MARKET = ROOT / "contracts" / "out" / "Market.sol" / "Market.json"
LEAST = {"long": 100_000, "default": 10_000}
RESULT = re.compile(r"(invariant_\w+)\(\) \(runs: (\d+), calls: (\d+), reverts: (\d+)")


def run(profile: str) -> tuple[str, bool]:
    """forge's output, and whether all invariants held."""
    JOURNAL.parent.mkdir(parents=True, exist_ok=True)
    JOURNAL.unlink(missing_ok=True)
    environment = {**os.environ, "FOUNDRY_PROFILE": profile, "PEERAGE_JOURNAL": str(JOURNAL)}
    if profile == "default":
        environment.setdefault("FOUNDRY_INVARIANT_RUNS", str(LEAST["default"] // 128 + 1))
    command = ["forge", "test", "--root", ".", "--match-contract", "MarketTest"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr, done.returncode == 0


def journal() -> dict[str, Counter[str]]:
    """How often each action ended how: action -> outcome -> times."""
    methods = json.loads(MARKET.read_text(encoding="utf-8"))["methodIdentifiers"]
    actions = {selector: signature.partition("(")[0] for signature, selector in methods.items()}
    refusals = {selector.hex(): error.name for name in CONTRACTS for selector, error in artifact(name).errors.items()}
    refusals["00000000"] = "done"
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for line in JOURNAL.read_text(encoding="utf-8").splitlines():
        both, times = line.split()
        action, refusal = both[2:10], both[10:18]
        if action not in actions:
            continue  # while the stage was set
        outcomes[actions[action]][refusals.get(refusal, f"0x{refusal}")] += int(times)
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/assure invariants", description=__doc__)
    parser.add_argument("--short", action="store_true", help=f"{LEAST['default']:,} calls, not {LEAST['long']:,}")
    profile = "default" if parser.parse_args().short else "long"
    output, held = run(profile)
    found = RESULT.findall(output)
    if not found or not held:
        print(output[-12_000:])
    calls = sum(int(number) for _, _, number, _ in found)
    if JOURNAL.exists():
        for action, outcomes in sorted(journal().items()):
            done = outcomes.pop("done", 0)
            reasons = ", ".join(f"{reason} {times:,}" for reason, times in outcomes.most_common())
            print(
                f"{action:<18} {done:>8,} done {sum(outcomes.values()):>8,} refused{': ' if reasons else ''}{reasons}"
            )
    for name, runs, number, _ in found:
        print(f"{name}: {int(runs):,} runs, {int(number):,} calls")
    print(f"invariants: {calls:,} calls, {0 if held else 'some'} violations")
    return 0 if held and calls >= LEAST[profile] else 1


if __name__ == "__main__":
    sys.exit(main())
