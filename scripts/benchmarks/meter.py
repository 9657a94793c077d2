"""Seconds, CPU seconds and peak memory of commands and of the daemons that work for them. Linux: reads /proc."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_EVERY_S = 0.1


@dataclass(slots=True)
class Reading:
    """One measured operation. cpu: seconds by process name; memory: peak bytes by process name, children added."""

    seconds: float
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    more: dict[str, float] = field(default_factory=dict)


class Failed(Exception):
    """A tool that was to be measured failed."""


def need_room(work: Path, needed: int) -> None:
    """Raises Failed unless `needed` bytes, and 2 GiB besides, are free."""
    needed += 2 << 30
    free = shutil.disk_usage(work).free
    if free < needed:
        raise Failed(f"{work} has {free >> 30} GiB free and {needed >> 30} are needed: name another with --work")


def run(command: Sequence[str | Path], environment: dict[str, str] | None = None, cwd: Path | None = None) -> Reading:
    """Run to its end. Raises Failed."""
    began = time.monotonic()
    with subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
        cwd=cwd,
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"{command[0]} exited with {process.returncode}: {said.decode(errors='replace')[-400:]}")
    name = Path(str(command[0])).name
    cpu = usage.ru_utime + usage.ru_stime
    return Reading(time.monotonic() - began, {name: cpu}, {name: usage.ru_maxrss * 1024})


class Watch:
    """What named daemons and their children use while something is done."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._peak = dict.fromkeys(pids, 0)
        self._children: dict[str, int] = dict.fromkeys(pids, 0)
        self._done = threading.Event()

    def measure(self, work: Callable[[], dict[str, float]]) -> Reading:
        """Do `work`, whose figures are kept as `more`."""
        before = {name: _cpu_s(pid) for name, pid in self._pids.items()}
        for pid in self._pids.values():
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")  # peak memory begins anew
        sampler = threading.Thread(target=self._sample)
        sampler.start()
        began = time.monotonic()
        try:
            more = work()
        finally:
            seconds = time.monotonic() - began
            self._done.set()
            sampler.join()
        cpu = {name: _cpu_s(pid) - before[name] for name, pid in self._pids.items()}
        memory = {name: max(_status(pid, "VmHWM"), self._peak[name]) for name, pid in self._pids.items()}
        memory.update({f"{name}, its workers": peak for name, peak in self._children.items() if peak})
        return Reading(seconds, cpu, memory, more)

    def _sample(self) -> None:
        while not self._done.wait(_EVERY_S):
            for name, pid in self._pids.items():
                self._peak[name] = max(self._peak[name], _status(pid, "VmRSS"))
                workers = sum(_status(child, "VmRSS") for child in _children(pid))
                self._children[name] = max(self._children[name], workers)


def _cpu_s(pid: int) -> float:
    """Of the process and of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def _status(pid: int, name: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return 0


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found
