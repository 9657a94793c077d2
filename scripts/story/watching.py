"""Looks at a running devnet: the client's health, where its shards lie, and everybody's memory."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from peerage.errors import PeerageError
from peerage.net import owner_client

MEMORY_EVERY_S = 10.0
GROWTH_FACTOR, GROWTH_MB = 1.15, 15.0  # of a process, from the middle third of its life to the last, before it counts
LIFE_S = 600.0  # a process that lived for less is not judged


class Watch:
    """last: the client's newest status. chain_stopped: the chain is stopped on purpose."""

    def __init__(self, net: Path, client: str) -> None:
        self._net = net
        self._home = net / client
        self.last: dict[str, Any] = {}
        self.lowest = 1.0
        self.chain_stopped = False
        self._kills: list[tuple[str, float]] = []
        self._memory: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
        self._memory_at_s = 0.0

    def look(self) -> None:
        """One look. A client that is down is passed over."""
        with contextlib.suppress(PeerageError, OSError):
            self.last = owner_client.call(self._home, "status", {})
            self.lowest = min(self.lowest, self.last["health"])
        if time.monotonic() - self._memory_at_s >= MEMORY_EVERY_S:
            self._memory_at_s = time.monotonic()
            self._note_memory()

    @property
    def whole(self) -> bool:
        stripes = self.last.get("stripes", {"total": 0})
        return bool(stripes["total"]) and stripes["whole"] == stripes["total"] and self.last["health"] == 1

    # --- kills --------------------------------------------------------------------------------------------------------

    def note_kill(self, name: str) -> None:
        self._kills.append((name, time.monotonic()))

    def killed_since(self, name: str, since_s: float) -> bool:
        """Whether the node was dead at any time after that moment."""
        return any(killed == name and at_s >= since_s for killed, at_s in self._kills)

    # --- the client's catalogue ---------------------------------------------------------------------------------------

    def shards_at(self, member: int) -> list[tuple[int, int]]:
        """(k, shard length in bytes) of every shard in use that the catalogue sees at a member."""
        with contextlib.closing(self._catalogue()) as db:
            return db.execute(
                "SELECT p.k, p.shard_length FROM shards s JOIN packs p ON p.no = s.pack"
                " WHERE s.provider = ? AND p.dropped = 0",
                (member,),
            ).fetchall()

    def roots_at(self, member: int) -> set[bytes]:
        with contextlib.closing(self._catalogue()) as db:
            return {root for (root,) in db.execute("SELECT root FROM shards WHERE provider = ?", (member,))}

    def debts(self) -> int:
        """Shards in use that no provider holds now."""
        with contextlib.closing(self._catalogue()) as db:
            return int(
                db.execute(
                    "SELECT COUNT(*) FROM shards s JOIN packs p ON p.no = s.pack WHERE s.provider = 0 AND p.dropped = 0"
                ).fetchone()[0]
            )

    def missed_since(self, member: int, epoch: int) -> bool:
        """Whether the client has noticed a missed proof, or the end of an agreement, of a provider."""
        with contextlib.closing(self._catalogue()) as db:
            (found,) = db.execute(
                "SELECT COUNT(*) FROM agreements a LEFT JOIN checks c ON c.agreement = a.id AND c.epoch >= ?"
                " WHERE a.provider = ? AND (a.live = 0 OR c.proven = 0)",
                (epoch, member),
            ).fetchone()
        return bool(found)

    def newest_check(self) -> int:
        """The last epoch whose proofs the client has looked at."""
        with contextlib.closing(self._catalogue()) as db:
            return int(db.execute("SELECT COALESCE(MAX(epoch), 0) FROM checks").fetchone()[0])

    def _catalogue(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self._home / 'catalogue.sqlite'}?mode=ro", uri=True, timeout=30)

    # --- memory -------------------------------------------------------------------------------------------------------

    def _note_memory(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            nodes = json.loads((self._net / "devnet.json").read_bytes())["nodes"]
            for node in nodes:
                name = f"node{node['number']}"
                if megabytes := _resident_mb(node["pid"]):
                    self._memory[name, node["pid"]].append((time.monotonic(), megabytes))

    def grown(self) -> list[str]:
        """Processes that lived long and took more and more memory."""
        found = []
        for (name, _), samples in self._memory.items():
            if samples[-1][0] - samples[0][0] < LIFE_S:
                continue
            third = len(samples) // 3
            middle = statistics.median(mb for _, mb in samples[third : 2 * third])
            last = statistics.median(mb for _, mb in samples[2 * third :])
            if last > GROWTH_FACTOR * middle + GROWTH_MB:
                found.append(f"{name} from {middle:.0f} to {last:.0f} MB")
        return found

    def course(self) -> dict[str, list[int]]:
        """Name and process id -> its MB every ten minutes of its life, for those that lived long."""
        found = {}
        for (name, pid), samples in self._memory.items():
            if samples[-1][0] - samples[0][0] >= LIFE_S:
                step = max(1, round(LIFE_S / MEMORY_EVERY_S))
                found[f"{name} ({pid})"] = [round(mb) for _, mb in samples[step // 2 :: step]]
        return found

    def memory(self) -> str:
        """Medians and the highest of all processes."""
        every = [mb for samples in self._memory.values() for _, mb in samples]
        judged = sum(s[-1][0] - s[0][0] >= LIFE_S for s in self._memory.values())
        return (
            f"{statistics.median(every):.0f} MB a node, {max(every):.0f} MB at most;"
            f" {judged} processes lived {LIFE_S / 60:.0f} minutes or more, none of them grew"
        )


def _resident_mb(pid: int) -> float:
    """0 for a process that is not there."""
    with contextlib.suppress(OSError):
        if found := re.search(r"VmRSS:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text()):
            return int(found.group(1)) * 1024 / 1e6
    return 0.0
