"""Every parser of bytes from outside: the seeds, among them what once broke it, and a short run of the fuzzer."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from tests.fuzz.mutate import mutated
from tests.fuzz.run import ROOT, available, fuzz
from tests.fuzz.targets import SEEDS, TARGETS, seeds_of

from peerage.wire import messages

RUNS = 2000


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    target = TARGETS[name]
    parse = target.make()
    seeds = seeds_of(name)
    assert seeds
    for seed in seeds:
        with contextlib.suppress(*target.allowed):
            parse(seed.read_bytes())


def test_every_seed_has_a_target() -> None:
    assert {folder.name for folder in SEEDS.iterdir()} == set(TARGETS)


def test_every_message_has_a_target() -> None:
    """But those that stand inside others."""
    fuzzed = {
        cast("partial[object]", target.make).args[0] for name, target in TARGETS.items() if name.startswith("wire-")
    }
    kinds = {kind.__name__ for kind in messages.Message.__subclasses__()}
    assert kinds - fuzzed == {"TermsBody", "AmendmentBody", "RevisionBody"}
    assert fuzzed - kinds == {"ErrorBody"}


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.structured])
def test_values_are_mutated_as_values(name: str) -> None:
    """Some of the changed inputs are still taken, and some refused for what they say."""
    target = TARGETS[name]
    parse = target.make()
    outcomes = Counter[str]()
    for seed in seeds_of(name):
        for number in range(150):
            changed = mutated(seed.read_bytes(), random.Random(number))
            if changed is None:
                continue
            try:
                parse(changed)
                outcomes["taken"] += 1
            except target.allowed:
                outcomes["refused"] += 1
    assert min(outcomes["taken"], outcomes["refused"]) >= 3, outcomes


@pytest.mark.skipif(not available(), reason="atheris has no wheel for this platform")
@pytest.mark.parametrize("name", TARGETS)
def test_a_short_run(name: str, tmp_path: Path) -> None:
    outcome = fuzz(name, [f"-runs={RUNS}"], tmp_path, seed=1)
    assert not outcome.failed, outcome.log
    assert outcome.executions >= RUNS


@pytest.mark.skipif(not available(), reason="atheris has no wheel for this platform")
def test_a_broken_parser_is_found(tmp_path: Path) -> None:
    """The harness itself: with no error allowed, the first refusal is a crash that is kept and told."""
    program = (
        "import sys, tests.fuzz.targets as t\n"
        "t.TARGETS['tree'] = t.TARGETS['tree']._replace(allowed=())\n"
        f"sys.argv = ['child', 'tree', '-runs=2000', '-seed=1', '-artifact_prefix={tmp_path}/']\n"
        "from tests.fuzz.child import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=ROOT, check=False, timeout=110)
    assert done.returncode != 0
    assert b"IntegrityError" in done.stdout + done.stderr
    assert [path.name.startswith("crash-") for path in tmp_path.iterdir()] == [True]


def test_the_script_prints_a_table(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.run", "summary", "wire-hello", "--runs=50", f"--crashes={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=110)
    if not available():
        assert (done.returncode, done.stdout) == (2, "")
        return
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["target", "summary", "wire-hello", "all"]
    assert lines[-1].endswith("0 of 2 targets crashed")
    assert not tmp_path.exists()
