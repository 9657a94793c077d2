"""What befalls a devnet's members, one fault at a time, and how long it takes until it is found and mended."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from watching import Watch

CLIENT = "node1"
SLOW_STOPPED_S, SLOW_RUNNING_S = 0.45, 0.05  # a machine that has a tenth of its time
DISK_SPARE_BYTES = 6 << 20  # what a full disk's file system has besides what lies on it already
ROT = 0.3  # share of a provider's objects that rot


@dataclass
class Mishap:
    """One fault. Times in seconds: at since the beginning, found and mended since the fault.
    awaited: it must be mended.

    moved, least: bytes that repair read and wrote, and the least by which a lost shard is made anew: k shards read and
    one written, or one read and one written while the old one can still be had.
    """

    name: str
    at_s: float
    began_s: float
    is_found: Callable[[], bool]
    is_mended: Callable[[], bool]
    awaited: bool = True
    shards: int = 0
    least: int = 0
    moved_before: int = 0
    moved: int = 0
    found_s: float | None = None
    mended_s: float | None = None

    def row(self) -> str:
        def shown(seconds: float | None) -> str:
            return "–" if seconds is None else f"{seconds:.0f} s"

        mega = [f"{n / 1e6:.1f}" if self.least else "–" for n in (self.moved, self.least)]
        return (
            f"{self.name:32} {self.at_s / 60:4.1f} m {shown(self.found_s):>9} {shown(self.mended_s):>10}"
            f" {self.shards or '–':>7} {mega[0]:>10} {mega[1]:>9}"
        )

    def figures(self) -> dict[str, Any]:
        names = ("name", "at_s", "found_s", "mended_s", "shards", "moved", "least")
        return {name: getattr(self, name) for name in names}


def _digest(path: Path) -> str:
    """Of a file; of one that is not there, nothing."""
    try:
        return sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


@dataclass
class Faults:
    """Chooses victims that no other fault has. Call `tick` every second or so, and `end` at the end."""

    net: Path
    rng: random.Random
    json: Callable[..., dict[str, Any]]
    watch: Watch
    say: Callable[[str], None]
    mishaps: list[Mishap] = field(default_factory=list)
    troubled: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    _began_s: float = field(default_factory=time.monotonic)
    _chain_back_s: float = 0.0
    _slow: threading.Event = field(default_factory=threading.Event)
    _slowing: threading.Thread | None = None
    _mounted: list[Path] = field(default_factory=list)

    # --- the faults ---------------------------------------------------------------------------------------------------

    def join(self) -> None:
        joined = self.json("devnet", "join", "--home", self.net)
        self.say(f"{joined['name']} joins as member {joined['member']}")

    def rot(self) -> None:
        name, member = self._victim()
        rotten: dict[bytes, tuple[Path, str]] = {}  # root -> the file and what it held
        objects = [p for p in (self.net / name / "objects").rglob("*") if p.is_file() and p.stat().st_size > 4096]
        for path in self.rng.sample(objects, max(1, int(len(objects) * ROT))):
            held = _digest(path)
            with path.open("r+b") as file:
                file.seek(self.rng.randrange(path.stat().st_size // 2))
                file.write(self.rng.randbytes(1024))
            with contextlib.suppress(ValueError):
                rotten[bytes.fromhex(path.name)] = path, held
        there = self.watch.roots_at(member)
        rotten = {root: kept for root, kept in rotten.items() if root in there}
        at = self.watch.shards_at(member)
        self.say(f"bit rot at {name} (member {member}): {len(rotten)} of its {len(at)} shards")

        def still() -> list[bytes]:
            """Those that nobody has put elsewhere or made anew in their place."""
            needed = self.watch.roots_at(member)
            return [root for root, (path, held) in rotten.items() if root in needed and _digest(path) != held]

        mishap = self._mishap(
            f"bit rot at member {member}",
            member,
            lambda: not still() and not self.watch.debts(),
        )
        mishap.is_found = lambda: bool(self.watch.debts()) or len(still()) < len(rotten)
        mishap.shards = len(rotten)
        mishap.least = sum((k + 1) * length for k, length in at[: len(rotten)])

    def die(self) -> None:
        name, member = self._victim()
        self.json("devnet", "kill", name, "--home", self.net)
        shutil.rmtree(self.net / name)
        self.dead.add(name)
        self.say(f"{name} (member {member}) dies for good, with {len(self.watch.shards_at(member))} shards")
        self._mishap(f"death of member {member}", member, lambda: not self.watch.shards_at(member))

    def slow(self) -> None:
        name, member = self._victim()
        self._slowing = threading.Thread(target=self._hold_back, args=(name,))
        self._slowing.start()
        self.say(f"{name} (member {member}) has a tenth of its time from now on")
        self._mishap(f"slowness of member {member}", member, lambda: True, awaited=False)

    def fill_disk(self) -> None:
        name, member = self._victim()
        objects = self.net / name / "objects"
        held = sum(p.stat().st_size for p in objects.rglob("*") if p.is_file())
        if os.geteuid() != 0:
            self.say("no disk is filled: mounting a small one needs root")
            return
        self.json("devnet", "kill", name, "--home", self.net)
        moved = objects.with_name("objects.moved")
        objects.rename(moved)
        objects.mkdir(mode=0o700)
        size = held + held // 8 + DISK_SPARE_BYTES
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", objects], check=True)
        self._mounted.append(objects)
        shutil.copytree(moved, objects, dirs_exist_ok=True)
        shutil.rmtree(moved)
        with contextlib.suppress(OSError), (objects / "filler").open("wb") as filler:
            while True:
                filler.write(bytes(1 << 16))
                filler.flush()
        self.json("devnet", "start", name, "--home", self.net)
        self.say(f"the disk of {name} (member {member}) is full")
        self._mishap(f"full disk at member {member}", member, lambda: True, awaited=False)

    def stop_chain(self, for_s: float) -> None:
        self.watch.chain_stopped = True
        self.json("devnet", "kill", "chain", "--home", self.net)
        self._chain_back_s = time.monotonic() + for_s
        self.say(f"the chain stops for {for_s:.0f} s")
        mishap = self._mishap(
            f"no chain for {for_s:.0f} s",
            0,
            lambda: not self._chain_back_s and self.watch.last.get("records_waiting") == 0,
        )
        mishap.is_found = lambda: True

    def leave(self) -> None:
        name, member = self._victim()
        self.json("account", "leave", "--words-file", self.net / f"{name}.words")
        self.say(f"member {member} ({name}) leaves, with {len(self.watch.shards_at(member))} shards")
        at = self.watch.shards_at(member)
        mishap = self._mishap(f"leaving of member {member}", member, lambda: not self.watch.shards_at(member))
        mishap.is_found = lambda: True
        mishap.least = sum(2 * length for _, length in at)

    # --- their course -------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Bring the chain back when its time has come; note what was found and mended."""
        if self._chain_back_s and time.monotonic() >= self._chain_back_s:
            self.json("devnet", "start", "chain", "--home", self.net)
            self._chain_back_s = 0.0
            self.watch.chain_stopped = False
            self.say("the chain is back")
        for mishap in self.mishaps:
            if mishap.mended_s is not None:
                continue
            since_s = time.monotonic() - mishap.began_s
            if mishap.found_s is None and mishap.is_found():
                mishap.found_s = since_s
                if mishap.awaited:
                    self.say(f"{mishap.name}: found after {since_s:.0f} s")
            if mishap.awaited and mishap.is_mended():
                mishap.mended_s = since_s
                self.watch.look()
                mishap.moved = self._moved() - mishap.moved_before
                self.say(f"{mishap.name}: mended after {since_s:.0f} s")

    def end(self) -> None:
        self._slow.set()
        if self._slowing:
            self._slowing.join()
        for path in self._mounted:
            subprocess.run(["umount", "--lazy", path], check=False)

    def living(self) -> list[str]:
        """Names of the nodes that run, but for the client."""
        nodes = self.json("devnet", "status", "--home", self.net)["nodes"]
        return [n["name"] for n in nodes if n["name"] != CLIENT and n["state"] == "running"]

    def _victim(self) -> tuple[str, int]:
        """A provider that holds shards and has no trouble yet."""
        nodes = self.json("devnet", "status", "--home", self.net)["nodes"]
        free = [n for n in nodes if n["name"] not in self.troubled | {CLIENT} and n["state"] == "running"]
        holding = [n for n in free if self.watch.shards_at(n["member"])]
        chosen = self.rng.choice(holding or free)
        self.troubled.add(chosen["name"])
        return chosen["name"], chosen["member"]

    def _mishap(self, name: str, member: int, is_mended: Callable[[], bool], awaited: bool = True) -> Mishap:
        at, epoch = self.watch.shards_at(member), self.watch.newest_check() + 1
        now_s = time.monotonic()
        mishap = Mishap(
            name,
            now_s - self._began_s,
            now_s,
            is_found=lambda: self.watch.missed_since(member, epoch) or len(self.watch.shards_at(member)) < len(at),
            is_mended=is_mended,
            awaited=awaited,
            shards=len(at),
            least=sum((k + 1) * length for k, length in at) if awaited else 0,
            moved_before=self._moved(),
        )
        self.mishaps.append(mishap)
        return mishap

    def _moved(self) -> int:
        return int(self.watch.last.get("repair_bytes", 0))

    def _hold_back(self, name: str) -> None:
        while not self._slow.is_set():
            nodes = self.json("devnet", "status", "--home", self.net)["nodes"]
            pid = next((n["pid"] for n in nodes if n["name"] == name), None)
            end_s = time.monotonic() + 5
            with contextlib.suppress(ProcessLookupError, TypeError):
                while pid and time.monotonic() < end_s and not self._slow.is_set():
                    os.kill(pid, signal.SIGSTOP)
                    time.sleep(SLOW_STOPPED_S)
                    os.kill(pid, signal.SIGCONT)
                    time.sleep(SLOW_RUNNING_S)
