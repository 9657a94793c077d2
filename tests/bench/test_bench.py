"""scripts/bench: its arithmetic, its charts, and one small run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module", autouse=True)
def _importable() -> None:
    sys.path.insert(0, str(SCRIPTS / "benchmarks"))


def test_ratios_are_of_medians_and_the_chart_shows_them() -> None:
    import engine
    from chart import bars
    from meter import Reading

    def readings(*seconds: float, fetched: float = 0) -> list[Reading]:
        return [Reading(s, {"client": s}, {"client": 10}, {"bytes_fetched": fetched}) for s in seconds]

    report = engine.summarise(
        {
            "peerage": {"first": readings(2, 90, 4), "partial": readings(1, fetched=110)},
            "restic": {"first": readings(6, 6, 6)},
        },
        {"peerage": {"before": 100.0, "after": 150.0}, "restic": {"before": 101.0}},
        100,
    )
    assert [(r["what"], round(r["ratio"], 3)) for r in report["ratios"]] == [
        ("first backup, restic = 1", 1.5),
        ("stored before redundancy, restic = 1", 0.99),
        ("one file of 5 %: bytes fetched / needed", 1.1),
    ]
    assert all(row.met for row in engine.chart_rows(report))
    assert report["tools"]["peerage"]["operations"]["first"]["most"] == 90
    chart = bars("a < b", engine.chart_rows(report))
    ElementTree.fromstring(chart)
    assert "1.50 (at least 1.5)" in chart


def test_a_line_that_is_linear_is_straight_through_the_corner() -> None:
    from chart import Line, lines

    drawn = ElementTree.fromstring(lines("t", "files", "s", [Line("cost", [(0, 0), (10, 5), (20, 10)])]))
    (points,) = [e.attrib["points"] for e in drawn.iter() if e.tag.endswith("polyline")]
    (x0, y0), (x1, y1), (x2, y2) = [tuple(map(float, p.split(","))) for p in points.split()]
    assert abs((x1 - x0) - (x2 - x1)) < 0.2
    assert abs((y1 - y0) - (y2 - y1)) < 0.2


def test_the_tree_is_the_same_every_time_and_of_the_size_asked_for(tmp_path: Path) -> None:
    from trees import PART, make_tree, measure_tree

    for name in ("a", "b"):
        make_tree(tmp_path / name, 4 << 20, 60)
    assert subprocess.run(["diff", "-r", tmp_path / "a", tmp_path / "b"], check=False).returncode == 0
    files, size = measure_tree(tmp_path / "a")
    assert files == 60
    assert (tmp_path / "a" / PART).stat().st_size == int((4 << 20) * 0.05)
    assert 0.4 < size / (4 << 20) < 2


@pytest.mark.devnet
@pytest.mark.timeout(300)
def test_a_small_run_writes_figures_and_a_chart(tmp_path: Path) -> None:
    command = [
        sys.executable,
        SCRIPTS / "benchmarks" / "main.py",
        "engine",
        "--size",
        "5M",
        "--files",
        "60",
        "--rounds",
        "1",
    ]
    more = ["--single", "1M", "--tools", "peerage,restic", "--out", tmp_path / "out", "--work", tmp_path]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    operations = report["tools"]["peerage"]["operations"]
    assert set(operations) == {"first", "again", "restore", "partial", "put", "get"}
    assert operations["first"]["peak_bytes"]["client"] > 20 << 20
    assert ("restic" in report["tools"]) == (shutil.which("restic") is not None)
    ElementTree.parse(tmp_path / "out" / "chart.svg")
    assert [p.name for p in tmp_path.iterdir()] == ["out"], "nothing is left behind"


@pytest.mark.devnet
@pytest.mark.timeout(300)
def test_a_small_scale_run_ends_with_a_recovery(tmp_path: Path) -> None:
    command = [sys.executable, SCRIPTS / "benchmarks" / "main.py", "scale", "--files", "300,600", "--directory", "0"]
    more = ["--big-file", "0", "--out", tmp_path / "out", "--work", tmp_path]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads((tmp_path / "out" / "scale.json").read_text())
    assert [row["files"] for row in rows] == [300, 600]
    assert [("first_byte_s" in row) for row in rows] == [False, True]
    ElementTree.parse(tmp_path / "out" / "scale.svg")


def test_a_small_run_tells_what_proofs_cost(tmp_path: Path) -> None:
    command = [sys.executable, SCRIPTS / "benchmarks" / "main.py", "prove", "--held", "64M", "--shard", "1M"]
    more = ["--agreements", "1,4", "--dense", "8M", "--out", tmp_path / "out", "--work", tmp_path]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads((tmp_path / "out" / "prove.json").read_text())["cases"]
    assert [(row["agreements"], row["shards"]) for row in rows] == [(1, 64), (4, 64)]
    for row in rows:
        assert row["epoch_s"] == pytest.approx(row["open_s"] + row["disk_s"] + row["send_s"])
        assert 400e6 < row["index_bytes"] < 3e9
    assert rows[1]["open_s"] > rows[0]["open_s"], "four times as many leaves"
    assert [p.name for p in tmp_path.iterdir()] == ["out"], "nothing is left behind"
