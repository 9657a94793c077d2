"""What a file and a byte cost as they get more, and what memory that takes."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chart import Line, lines
from meter import Failed, Reading, need_room
from tools import Peerage, User

from trees import make_big, make_flat, make_many, measure_tree

MEMORY_GOAL = 600 << 20
FIRST_BYTE_GOAL_S = 10.0


def measure(options: argparse.Namespace, work: Path) -> None:
    cases: list[tuple[str, Callable[[Path], None]]] = [
        (f"{count:,} small files", lambda path, count=count: make_many(path, count)) for count in options.files
    ]
    if options.directory:
        cases.append((f"one directory of {options.directory:,}", lambda path: make_flat(path, options.directory)))
    if options.big_file:
        need_room(work, options.big_file * 2)
        cases.append(
            (f"one file of {options.big_file / 1e9:.1f} GB", lambda path: make_big(path / "big", options.big_file))
        )
    rows: list[dict[str, Any]] = []
    for name, make in cases:
        print(f"bench: {name}: making it", file=sys.stderr)
        tree = work / "tree"
        tree.mkdir()
        make(tree)
        last_of_files = name == cases[len(options.files) - 1][0] if options.files else False
        rows.append({"case": name})
        _case(tree, work, name, last_of_files, rows[-1])
        shutil.rmtree(tree)
        _write(options.out, rows)
    _show(rows)


def _case(tree: Path, work: Path, name: str, recover: bool, found: dict[str, Any]) -> None:
    files, size = measure_tree(tree)
    tool = Peerage()
    try:
        tool.begin(work / "peerage")
        first = tool.first(tree)
        print(f"bench: {name}: backed up in {first.seconds:.1f} s", file=sys.stderr)
        again = tool.again(tree)
        restored = tool.restore(work / "out")
        shutil.rmtree(work / "out")
        found.update(
            files=files,
            bytes=size,
            backup_s=first.seconds,
            again_s=again.seconds,
            restore_s=restored.seconds,
            peak_bytes=max(_peak(reading) for reading in (first, again, restored)),
            workers_peak_bytes=max(_workers(reading) for reading in (first, again, restored)),
        )
        if recover:
            found["first_byte_s"] = _first_byte(tool, work)
            print(f"bench: {name}: first byte {found['first_byte_s']:.1f} s after the words", file=sys.stderr)
    finally:
        tool.end()


def _peak(reading: Reading) -> int:
    """Of the client's daemon."""
    return reading.memory["client"]


def _workers(reading: Reading) -> int:
    return reading.memory.get("client, its workers", 0)


def _first_byte(tool: Peerage, work: Path) -> float:
    """Seconds from `peerage recover` with the words to the first byte of a restored file, on a new home."""
    home, target = work / "recovered", work / "recovered-files"
    words = tool.client.with_name(tool.client.name + ".words")
    tool.user.json("devnet", "kill", "node1", "--home", tool.net, quiet=True)
    seen = threading.Event()
    at: list[float] = []

    def look() -> None:
        while not seen.wait(0.05):
            if target.is_dir() and any(p.is_file() and p.stat().st_size for p in target.rglob("*")):
                at.append(time.monotonic())
                return

    looking = threading.Thread(target=look)
    began = time.monotonic()
    looking.start()
    stranger = User(work / "stranger", PEERAGE_PASSPHRASE="bench")  # noqa: S106 - of a home that is thrown away
    running = stranger.start(
        "--home", home, "recover", "latest", "--words-file", words, "--rpc", tool.started["rpc"], "--target", target
    )
    try:
        while running.poll() is None and not at:
            time.sleep(0.05)
    finally:
        seen.set()
        looking.join()
        running.kill()
        running.wait()
    shutil.rmtree(target, ignore_errors=True)
    if not at:
        raise Failed("the recovery ended before it had restored anything")
    return at[0] - began


def _write(out: Path, rows: list[dict[str, Any]]) -> None:
    (out / "scale.json").write_text(json.dumps(rows, indent=1) + "\n")
    many = [r for r in rows if r["case"].endswith("small files")]
    if len(many) > 1:
        series = [
            Line(what, [(0.0, 0.0), *((float(r["files"]), float(r[key])) for r in many)])
            for what, key in (("first backup", "backup_s"), ("restore", "restore_s"), ("unchanged re-run", "again_s"))
        ]
        (out / "scale.svg").write_text(lines("Cost by the number of small files", "files", "seconds", series))


def _show(rows: list[dict[str, Any]]) -> None:
    titles = (
        ("backup s", 10),
        ("µs a file", 11),
        ("re-run s", 10),
        ("restore s", 11),
        ("daemon MiB", 12),
        ("workers MiB", 13),
    )
    print(" " * 28 + "".join(f"{title:>{width}}" for title, width in titles))
    for r in rows:
        print(
            f"{r['case']:28}{r['backup_s']:10.1f}{r['backup_s'] * 1e6 / r['files']:11.0f}{r['again_s']:10.1f}"
            f"{r['restore_s']:11.1f}{r['peak_bytes'] >> 20:12}{r['workers_peak_bytes'] >> 20:13}"
        )
        if r["peak_bytes"] > MEMORY_GOAL:
            print(f"{'':28}the daemon took more than the goal of {MEMORY_GOAL >> 20} MiB")
        if "first_byte_s" in r:
            told = "met" if r["first_byte_s"] <= FIRST_BYTE_GOAL_S else "missed"
            goal = f"≤ {FIRST_BYTE_GOAL_S:g}: {told}"
            print(f"{'':28}first restored byte {r['first_byte_s']:.1f} s after the words ({goal})")
