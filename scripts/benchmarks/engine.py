"""Peerage beside other tools, on the same tree, in one run, in alternation."""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from chart import Bar, bars
from meter import Failed, Reading, need_room
from tools import Borg, Peerage, Restic, Tahoe, Tool

from trees import PART, PART_SHARE, evict, largest_near, make_tree, measure_tree

GOALS: tuple[tuple[str, str, str, float], ...] = (
    ("first backup", "first", "restic", 1.5),
    ("full restore", "restore", "restic", 1.5),
    ("unchanged re-run", "again", "restic", 2.0),
    ("put of one file", "put", "tahoe", 10.0),
    ("get of one file", "get", "tahoe", 10.0),
)
"""(what, operation, beside whom, at least so many times as fast)."""
STORED_GOAL, PARTIAL_GOAL, MEMORY_GOAL = 1.02, 1.3, 600 << 20
Readings = dict[str, dict[str, list[Reading]]]


def measure(options: argparse.Namespace, work: Path) -> None:
    tools = _available(options)
    tree, part, part_size = _tree(options, work)
    files, size = measure_tree(tree)
    need_room(work, int(size * 3.5))
    single = work / "single.bin"
    single.write_bytes(os.urandom(options.single))
    readings: Readings = defaultdict(lambda: defaultdict(list))
    stored: dict[str, dict[str, float]] = {}
    for number in range(options.rounds):
        turn = number % len(tools)
        for tool in [*tools[turn:], *tools[:turn]]:
            print(f"bench: round {number + 1} of {options.rounds}: {tool.name}", file=sys.stderr)
            try:
                tool.begin(work / tool.name)
                if not isinstance(tool, Tahoe):
                    stored[tool.name] = _tree_round(tool, tree, part, work / "out", readings[tool.name], number == 0)
                if isinstance(tool, Peerage | Tahoe):
                    _single_round(tool, single, work / "out", readings[tool.name])
            finally:
                tool.end()
    report = summarise(readings, stored, part_size)
    report.update(tree={"files": files, "bytes": size}, rounds=options.rounds)
    show(report)
    (options.out / "results.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.out / "chart.svg").write_text(bars("Peerage: six providers, 4+2, TLS, durable", chart_rows(report)))
    print(f"bench: wrote {options.out}/results.json and {options.out}/chart.svg", file=sys.stderr)


def _available(options: argparse.Namespace) -> list[Tool]:
    wanted = options.tools.split(",")
    unknown = set(wanted) - {"peerage", "restic", "borg", "tahoe"}
    if unknown:
        raise Failed(f"no tool is called {', '.join(sorted(unknown))}")
    tools: list[Any] = []
    for name in wanted:
        program = options.tahoe if name == "tahoe" else name
        if name == "peerage":
            tools.append(Peerage())
        elif shutil.which(program) is None:
            print(f"bench: {program} is not installed: left out", file=sys.stderr)
        else:
            tools.append({"restic": Restic, "borg": Borg}[name]() if name != "tahoe" else Tahoe(program))
    return tools


def _tree(options: argparse.Namespace, work: Path) -> tuple[Path, Path, int]:
    """(the tree, the file that is restored by itself, its size)."""
    if options.path is not None:
        tree = options.path.resolve()
        if not tree.is_dir():
            raise Failed(f"{options.path} is no directory")
        return tree, *largest_near(tree, PART_SHARE)
    need_room(work, int(options.size * 3.5))
    print(f"bench: making a tree of {options.files} files, {options.size >> 20} MiB", file=sys.stderr)
    make_tree(work / "tree", options.size, options.files)
    return work / "tree", work / "tree" / PART, (work / "tree" / PART).stat().st_size


def _tree_round(
    tool: Any, tree: Path, part: Path, out: Path, readings: dict[str, list[Reading]], verify: bool
) -> dict[str, float]:
    def fresh(operation: Callable[[Path], Reading], name: str, *cold: Path) -> None:
        shutil.rmtree(out, ignore_errors=True)
        evict(*cold)
        readings[name].append(operation(out))
        print(f"bench:   {name} {readings[name][-1].seconds:.1f} s", file=sys.stderr)

    fresh(lambda _: tool.first(tree), "first", tree)
    figures: dict[str, float] = tool.stored()
    fresh(lambda _: tool.again(tree), "again")
    fresh(tool.restore, "restore", *tool.store())
    if verify:
        _same(tree, next(p for p in (out / str(tree).lstrip("/"), out / tree.name) if p.is_dir()))
    fresh(lambda target: tool.partial(part, target), "partial", *tool.store())
    shutil.rmtree(out, ignore_errors=True)
    return figures


def _single_round(tool: Any, single: Path, out: Path, readings: dict[str, list[Reading]]) -> None:
    shutil.rmtree(out, ignore_errors=True)
    evict(single.parent / "nothing")
    readings["put"].append(tool.put(single))
    evict(*tool.store())
    readings["get"].append(tool.get(out))
    got = next(p for p in out.rglob("*") if p.is_file())
    if not filecmp.cmp(single, got, shallow=False):
        raise Failed(f"{tool.name} gave another file back than it was given")
    print(f"bench:   put {readings['put'][-1].seconds:.1f} s, get {readings['get'][-1].seconds:.1f} s", file=sys.stderr)
    shutil.rmtree(out, ignore_errors=True)


def _same(source: Path, target: Path) -> None:
    """Every regular file, by its bytes."""
    for base, _, names in os.walk(source):
        for name in names:
            path = Path(base) / name
            if path.is_symlink() or not path.is_file():
                continue
            other = target / path.relative_to(source)
            if not other.is_file() or not filecmp.cmp(path, other, shallow=False):
                raise Failed(f"{path} came back different or not at all")


def summarise(readings: Readings, stored: dict[str, dict[str, float]], part_size: int) -> dict[str, Any]:
    """Medians, spreads and ratios, as results.json has them."""
    tools: dict[str, Any] = {}
    for tool, operations in readings.items():
        tools[tool] = {"stored": stored.get(tool, {}), "operations": {}}
        for name, all_of in operations.items():
            seconds = [r.seconds for r in all_of]
            tools[tool]["operations"][name] = {
                "seconds": median(seconds),
                "least": min(seconds),
                "most": max(seconds),
                "cpu_seconds": {k: median(r.cpu[k] for r in all_of) for k in all_of[0].cpu},
                "peak_bytes": {k: max(r.memory.get(k, 0) for r in all_of) for k in all_of[0].memory},
                "more": all_of[-1].more,
            }
    report: dict[str, Any] = {"tools": tools, "ratios": []}
    for what, operation, other, goal in GOALS:
        ours, theirs = (tools.get(t, {}).get("operations", {}).get(operation) for t in ("peerage", other))
        if ours and theirs:
            ratio = theirs["seconds"] / ours["seconds"]
            report["ratios"].append({"what": f"{what}, {other} = 1", "ratio": ratio, "goal": goal, "less": False})
    ours = tools.get("peerage", {})
    if ours.get("stored") and tools.get("restic", {}).get("stored"):
        ratio = ours["stored"]["before"] / tools["restic"]["stored"]["before"]
        what = "stored before redundancy, restic = 1"
        report["ratios"].append({"what": what, "ratio": ratio, "goal": STORED_GOAL, "less": True})
    if "partial" in ours.get("operations", {}):
        ratio = ours["operations"]["partial"]["more"]["bytes_fetched"] / part_size
        what = "one file of 5 %: bytes fetched / needed"
        report["ratios"].append({"what": what, "ratio": ratio, "goal": PARTIAL_GOAL, "less": True})
    return report


def chart_rows(report: dict[str, Any]) -> list[Bar]:
    return [Bar(r["what"], r["ratio"], r["goal"], r["less"]) for r in report["ratios"]]


def show(report: dict[str, Any]) -> None:
    tree = report["tree"]
    print(f"{tree['files']} files, {tree['bytes'] / 1e9:.2f} GB, {report['rounds']} rounds")
    print("seconds: median (least–most)\n")
    names = list(report["tools"])
    print(f"{'':10}" + "".join(f"{name:>26}" for name in names))
    for operation in ("first", "again", "restore", "partial", "put", "get"):
        row = ""
        for name in names:
            found = report["tools"][name]["operations"].get(operation)
            told = f"{found['seconds']:.2f} ({found['least']:.2f}–{found['most']:.2f})" if found else "–"
            row += f"{told:>26}"
        print(f"{operation:10}{row}")
    print(f"{'stored':10}" + "".join(_stored(report["tools"][name]["stored"]) for name in names))
    for name in names:
        first = report["tools"][name]["operations"].get("first") or report["tools"][name]["operations"].get("put")
        cpu = ", ".join(f"{k} {v:.1f}" for k, v in first["cpu_seconds"].items())
        memory = ", ".join(f"{k} {v >> 20}" for k, v in first["peak_bytes"].items())
        print(f"\n{name}: CPU seconds {cpu}\n{'':{len(name) + 2}}peak MiB {memory}")
    print(f"\n{'beside others':44}{'ratio':>8}{'goal':>12}")
    for r in report["ratios"]:
        met = r["ratio"] <= r["goal"] if r["less"] else r["ratio"] >= r["goal"]
        sign = "≤" if r["less"] else "≥"
        print(f"{r['what']:44}{r['ratio']:8.2f}{sign + ' ' + format(r['goal'], 'g'):>12}  {'met' if met else 'missed'}")


def _stored(figures: dict[str, float]) -> str:
    if not figures:
        return f"{'–':>26}"
    after = f" / {figures['after'] / 1e9:.2f}" if "after" in figures else ""
    return f"{figures['before'] / 1e9:.2f}{after} GB".rjust(26)
