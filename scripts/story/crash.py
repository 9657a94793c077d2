"""Kills nodes (SIGKILL) at random moments of backups, restores, forgets, prunes and rebuilds. See scripts/crash.

After every round: each snapshot that was listed before still is, but for those that were to be forgotten; a chunk whose
stripe had committed before a backup or restore still lies in the same pack, so it was not sent again; the backup that
was cut short goes through when it is asked for again and restores to what the tree holds; and now and then an older
snapshot is restored and compared with what its tree held then. At the end everything but the newest is forgotten and
pruned, and the providers must be left with nothing that no snapshot needs. The first violation ends it with an error,
and the seed repeats the same choices.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.dont_write_bytecode = True

from command import StoryBroken, User  # noqa: E402 - the line above makes it importable
from compare import assert_same  # noqa: E402

FILES = 60
LARGE_BYTES = 72 << 20  # some rounds bring so much that several packs are on their way when the kill comes
ACTIONS = {"backup": 5, "restore": 2, "forget": 2, "prune": 4, "rebuild": 1}  # and how often
KEEP = 4  # snapshots that a forget keeps
EPOCH_S = 6
OLD_EVERY = 5  # rounds between restores of an older snapshot
Manifest = dict[str, str]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/crash", description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=100, help="kills to make (100)")
    parser.add_argument("--seed", type=int, default=1, help="repeats the same choices (1)")
    parser.add_argument("--nodes", type=int, default=9, help="members of the network (9)")
    parser.add_argument("--keep", action="store_true", help="keep the working directory")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = Path(tempfile.mkdtemp(prefix="peerage-crash-"))
    harness = Harness(work, random.Random(options.seed), options.nodes)
    try:
        harness.begin()
        for number in range(1, options.rounds + 1):
            harness.round(number)
        harness.end()
    except (StoryBroken, KeyboardInterrupt) as error:
        print(f"\ncrash: FAILED with seed {options.seed}: {error or 'interrupted'}", file=sys.stderr)
        options.keep = True
        return 1
    finally:
        harness.down()
        if options.keep:
            print(f"crash: kept {work}", file=sys.stderr)
        else:
            shutil.rmtree(work, ignore_errors=True)
    return 0


class Harness:
    """One devnet, one tree, one client. rng: where every choice comes from."""

    def __init__(self, work: Path, rng: random.Random, nodes: int) -> None:
        self.rng = rng
        self.nodes = nodes
        self.net = work / "net"
        self.tree = work / "tree"
        self.out = work / "out"
        self.client = self.net / "node1"
        self.user = User(work / "user")
        self.kept: dict[str, Manifest] = {}
        self.kills: Counter[str] = Counter()
        self.checks: Counter[str] = Counter()
        self.took_s = dict.fromkeys(ACTIONS, 3.0)
        self.looked_at = 0
        self.bytes_sent = 0

    def begin(self) -> None:
        self.tree.mkdir(parents=True)
        self._json("devnet", "up", "--nodes", str(self.nodes), "--epoch", str(EPOCH_S), "--home", self.net, "--detach")
        self._json("--home", self.client, "policy", "set", "take.retention_epochs", "1")
        self._mutate(FILES)
        self._backup()

    def round(self, number: int) -> None:
        """One kill, and everything that must hold after it."""
        action = self.rng.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        victims = self.rng.choices(["client", "provider", "both"], [6, 3, 2])[0]
        if action == "backup":
            self._mutate(self.rng.randrange(1, 12))
        listed = self._listed()
        if action == "forget":
            listed = listed[-KEEP:]
        phase, before = self._cut_short(action, victims)
        self.kills[f"{action}, {phase}, {victims}"] += 1
        left = set(self._listed())
        lost = set(listed) - left
        if lost:
            raise StoryBroken(f"round {number}: snapshots {sorted(lost)} are no longer listed")
        self.kept = {id: manifest for id, manifest in self.kept.items() if id in left}
        self._backup()
        if action in ("backup", "restore"):
            self._not_sent_again(number, before)
        self._same_as_tree()
        if number % OLD_EVERY == 0:
            self._restore_old()
        print(f"crash: round {number}: {action} cut short while {phase}, {victims} killed: nothing lost", flush=True)

    def end(self) -> None:
        """The snapshots that are left restore to what they held, and nothing else is left; then the figures."""
        for snapshot in self.rng.sample(sorted(self.kept), min(5, len(self.kept))):
            self._restore(snapshot)
        self._json("--home", self.client, "forget", "--keep-last", "1")
        self._nothing_left_over()
        self._same_as_tree()
        print(json.dumps({"kills": dict(sorted(self.kills.items())), "checks": dict(self.checks), "losses": 0}))

    def down(self) -> None:
        if self.net.exists():
            with contextlib.suppress(StoryBroken):
                self._json("devnet", "down", "--home", self.net)

    # --- what is done -------------------------------------------------------------------------------------------------

    def _mutate(self, changes: int) -> None:
        for _ in range(changes):
            path = self.tree / f"d{self.rng.randrange(6)}" / f"f{self.rng.randrange(200)}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(self.rng.randbytes(self.rng.choice([0, 10, 3_000, 200_000, 2_000_000])))
        if self.rng.random() < 0.5:
            (self.tree / "large").write_bytes(self.rng.randbytes(LARGE_BYTES))
        time.sleep(0.05)  # a file changed just before it is read is not trusted by its times

    def _backup(self) -> None:
        began_s = time.monotonic()
        done = self._json("--home", self.client, "backup", self.tree)
        self.took_s["backup"] = 0.7 * self.took_s["backup"] + 0.3 * (time.monotonic() - began_s)
        self.bytes_sent += done["bytes_sent"]
        self.kept[done["snapshot_id"]] = _manifest(self.tree)

    def _cut_short(self, action: str, victims: str) -> tuple[str, dict[bytes, bytes]]:
        """Start the action, kill somewhere in it, start the dead again. Returns when that was, and the chunks that the
        catalogue knew then, each with its pack."""
        nodes = self._json("devnet", "status", "--home", self.net)["nodes"]
        pids = {n["name"]: n["pid"] for n in nodes}
        dying = ["node1"] if victims != "provider" else []
        if victims != "client":
            dying.append(f"node{self.rng.randrange(2, self.nodes + 1)}")
        shutil.rmtree(self.out, ignore_errors=True)
        before = _chunks(self.client)
        command = {
            "backup": ["backup", str(self.tree)],
            "restore": ["restore", "latest", "--target", str(self.out)],
            "forget": ["forget", "--keep-last", str(KEEP)],
            "prune": ["prune"],
            "rebuild": ["rebuild"],
        }[action]
        began_s = time.monotonic()
        running = self.user.start("--home", self.client, *command)
        try:
            time.sleep(self.rng.uniform(0.0, 0.9 * self.took_s[action]))
            for name in dying:
                os.kill(pids[name], signal.SIGKILL)
            phase = self._phase(action, before, running)
            running.wait(timeout=300)
            if phase == "done":
                self.took_s[action] = 0.5 * self.took_s[action] + 0.5 * min(3.0, time.monotonic() - began_s)
        finally:
            running.kill()
        held = _chunks(self.client)
        for name in dying:
            self._json("devnet", "start", name, "--home", self.net)
        return phase, held

    def _phase(self, action: str, before: dict[bytes, bytes], running: subprocess.Popen[bytes]) -> str:
        if running.poll() is not None:
            return "done"
        if action != "backup":
            return "running"
        with contextlib.closing(_catalogue(self.client)) as db:
            if db.execute("SELECT COUNT(*) FROM open_runs").fetchone()[0]:
                return "sending" if len(_chunks(self.client)) > len(before) else "reading"
        return "recording"

    # --- what must hold -----------------------------------------------------------------------------------------------

    def _listed(self) -> list[str]:
        """Oldest first."""
        return [s["id"] for s in self._json("--home", self.client, "snapshots")["snapshots"]]

    def _nothing_left_over(self) -> None:
        """Prune until the providers hold nothing co-signed but stripes in use, heads, and shards of zeros."""
        deadline_s = time.monotonic() + 60 * EPOCH_S
        while leaked := self._leaked():
            if time.monotonic() > deadline_s:
                raise StoryBroken(f"{len(leaked)} objects of {sum(leaked)} bytes are left that no snapshot needs")
            self._json("--home", self.client, "prune", "--max-unused", "0")
            time.sleep(EPOCH_S)
        self.checks["objects at providers looked at"] += self.looked_at

    def _leaked(self) -> list[int]:
        """Sizes of co-signed shards at providers that belong to no stripe in use."""
        with contextlib.closing(_catalogue(self.client)) as db:
            needed = set(
                db.execute("SELECT s.agreement, s.root FROM shards s JOIN packs p ON p.no=s.pack WHERE p.dropped=0")
            )
        sizes, self.looked_at = [], 0
        for number in range(2, self.nodes + 1):
            with contextlib.closing(_open(self.net / f"node{number}" / "objects.sqlite")) as db:
                rows = db.execute(
                    "SELECT agreement, root, size FROM objects"
                    " WHERE position IS NOT NULL AND removed IS NULL AND kind=0"
                ).fetchall()
            self.looked_at += len(rows)
            sizes += [size for agreement, root, size in rows if (agreement, root) not in needed and size > 32 << 10]
        return sizes

    def _not_sent_again(self, number: int, before: dict[bytes, bytes]) -> None:
        now = _chunks(self.client)
        moved = [id.hex()[:16] for id, pack in before.items() if now.get(id) != pack]
        if moved:
            raise StoryBroken(f"round {number}: {len(moved)} acknowledged chunks were sent again: {moved[:3]}")
        self.checks["acknowledged chunks still in place"] += len(before)

    def _same_as_tree(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        self._json("--home", self.client, "restore", "latest", "--target", self.out)
        assert_same(self.tree, self.out / self.tree.name)
        self.checks["restores compared"] += 1

    def _restore_old(self) -> None:
        self._restore(self.rng.choice(sorted(self.kept)))

    def _restore(self, snapshot: str) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        self._json("--home", self.client, "restore", snapshot, "--target", self.out)
        if _manifest(self.out / self.tree.name) != self.kept[snapshot]:
            raise StoryBroken(f"snapshot {snapshot} came back different")
        self.checks["older snapshots compared"] += 1

    def _json(self, *arguments: str | Path) -> dict[str, Any]:
        return self.user.json(*arguments, quiet=True)


def _catalogue(home: Path) -> sqlite3.Connection:
    return _open(home / "catalogue.sqlite")


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)


def _chunks(home: Path) -> dict[bytes, bytes]:
    """Every chunk that the catalogue knows, and the pack that it is in."""
    with contextlib.closing(_catalogue(home)) as db:
        return dict(db.execute("SELECT chunks.id, packs.id FROM chunks JOIN packs ON packs.no = chunks.pack"))


def _manifest(tree: Path) -> Manifest:
    files = (p for p in tree.rglob("*") if p.is_file())
    return {str(p.relative_to(tree)): sha256(p.read_bytes()).hexdigest() for p in files}


if __name__ == "__main__":
    sys.exit(main())
