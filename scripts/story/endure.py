"""A network lives for an hour with everything that goes wrong in years. See scripts/endure.

One client backs up every minute. Meanwhile members join and one leaves, a provider's bytes rot, two providers die for
good, one becomes slow, one's disk fills, the chain stops, and daemons are killed (SIGKILL) at random moments and come
back. Nobody helps: at the end every snapshot must be there and come back as it was, every stripe be whole, every credit
be accounted for, and no process have grown. The first violation ends it with an error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.dont_write_bytecode = True

from changing import Tree  # noqa: E402 - the lines above make it importable
from command import StoryBroken, User  # noqa: E402
from mishaps import Faults  # noqa: E402
from watching import Watch  # noqa: E402

CLIENT = "node1"
OLD_EVERY = 5  # backups between restores of an older snapshot
CALM = 0.9  # of the time has passed when the last random kill is done
HEAL_EPOCHS = 60  # patience at the end, until everything is whole


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/endure", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long (60)")
    parser.add_argument("--nodes", type=int, default=12, help="members at the beginning (12)")
    parser.add_argument("--epoch", type=int, default=6, metavar="SECONDS", help="length of an epoch (6)")
    parser.add_argument("--every", type=float, default=60, metavar="SECONDS", help="between backups (60)")
    parser.add_argument("--seed", type=int, default=1, help="of every choice (1)")
    parser.add_argument("--keep", action="store_true", help="keep the working directory")
    options = parser.parse_args()
    if options.nodes < 11:
        parser.error("11 nodes at least: two die for good, one leaves, and the rest must still hold a 4+2 stripe apart")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = Path(tempfile.mkdtemp(prefix="peerage-endure-"))
    life = Life(work, options)
    try:
        life.live()
    except (StoryBroken, KeyboardInterrupt) as error:
        print(f"\nendure: FAILED with seed {options.seed}: {error or 'interrupted'}", file=sys.stderr)
        options.keep = True
        return 1
    finally:
        life.tell_memory()
        life.down()
        if options.keep:
            print(f"endure: kept {work}", file=sys.stderr)
        else:
            shutil.rmtree(work, ignore_errors=True)
    return 0


class Life:
    """One network, one client that backs up, and what befalls them."""

    def __init__(self, work: Path, options: argparse.Namespace) -> None:
        self.rng = random.Random(options.seed)
        self.options = options
        self.length_s = options.minutes * 60
        self.net = work / "net"
        self.out = work / "out"
        self.user = User(work / "user")
        self.tree = Tree(work / "tree", self.rng)
        self.watch = Watch(self.net, CLIENT)
        self.kept: dict[str, dict[str, str]] = {}
        self.began_s = time.monotonic()
        self.counts: dict[str, int] = dict.fromkeys(
            ("backups", "cut short by a kill", "snapshots compared", "kills"), 0
        )
        self.alive = (
            threading.Lock()
        )  # held while a node is dead for a moment: the script must not mistake it for a fault
        self.stop = threading.Event()
        self.errors: list[BaseException] = []

    # --- the hour -----------------------------------------------------------------------------------------------------

    def live(self) -> None:
        options = self.options
        arguments = ("--nodes", str(options.nodes), "--epoch", str(options.epoch), "--home", self.net, "--detach")
        self.network = self.json("devnet", "up", *arguments)
        self.rpc = str(self.network["rpc"])
        self.json("--home", self.net / CLIENT, "policy", "set", "take.retention_epochs", "2")
        self.began_s = time.monotonic()
        self.say(f"{options.nodes} members, epochs of {options.epoch} s, {options.minutes:g} minutes")
        self.faults = Faults(self.net, self.rng, self.json, self.watch, self.say)
        self.backup()
        threads = [threading.Thread(target=self._guard, args=(work,)) for work in (self._watch, self._kill)]
        for thread in threads:
            thread.start()
        try:
            self._hour()
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()
            self.faults.end()
        if self.errors:
            raise self.errors[0]
        self._heal()
        self._judge()

    def _hour(self) -> None:
        f = self.faults
        plan: list[tuple[float, Callable[[], None]]] = [
            (0.05, f.join),
            (0.12, f.rot),
            (0.22, f.die),
            (0.34, f.slow),
            (0.42, f.fill_disk),
            (0.50, lambda: f.stop_chain(self.length_s / 12)),
            (0.64, f.leave),
            (0.74, f.die),
            (0.84, f.join),
        ]
        number, next_backup_s = 0, self.options.every
        while (now_s := self.passed_s) < self.length_s and not self.errors:
            if plan and not self.watch.chain_stopped and now_s >= plan[0][0] * self.length_s:
                with self.alive:
                    plan.pop(0)[1]()
            f.tick()
            if self.passed_s >= next_backup_s:
                next_backup_s = max(next_backup_s + self.options.every, self.passed_s)
                number += 1
                self.tree.change()
                if self.backup() and number % OLD_EVERY == 0:
                    self._compare_old()
            self.stop.wait(0.5)
        if plan:
            raise StoryBroken(f"the time was too short for {len(plan)} of the faults")

    def backup(self) -> bool:
        """One backup; False when the client was killed in the middle of it. Raises StoryBroken for other failures."""
        began_s = time.monotonic()
        done = self.json("--home", self.net / CLIENT, "backup", self.tree.root, may_fail=True)
        if "snapshot_id" not in done:
            if self.watch.killed_since(CLIENT, began_s):
                self.counts["cut short by a kill"] += 1
                return False
            raise StoryBroken(f"a backup failed: {done.get('error', done)}")
        self.kept[done["snapshot_id"]] = self.tree.manifest()
        self.counts["backups"] += 1
        return True

    # --- beside it ----------------------------------------------------------------------------------------------------

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # shown by the main thread
            self.errors.append(error)

    def _watch(self) -> None:
        while not self.stop.wait(1.0):
            self.watch.look()

    def _kill(self) -> None:
        """Daemons die at random moments and come back seconds later."""
        pause_s = min(75.0, self.length_s / 12)
        while not self.stop.wait(self.rng.uniform(0.4, 1.6) * pause_s):
            if self.passed_s > CALM * self.length_s or self.watch.chain_stopped:
                continue
            names = [name for name in self.faults.living() if name not in self.faults.troubled]
            victim = CLIENT if self.rng.random() < 0.25 else self.rng.choice(names)
            with self.alive:
                if self.watch.chain_stopped or victim not in self.faults.living():
                    continue
                self.watch.note_kill(victim)
                self.json("devnet", "kill", victim, "--home", self.net)
                self.stop.wait(self.rng.uniform(0, self.options.epoch))
                self.json("devnet", "start", victim, "--home", self.net)
                self.watch.note_kill(victim)
            self.counts["kills"] += 1
            self.say(f"kill -9 of {victim}; it is back")

    # --- what must hold -----------------------------------------------------------------------------------------------

    def _compare_old(self) -> None:
        snapshot = self.rng.choice(sorted(self.kept))
        began_s = time.monotonic()
        try:
            self._compare(snapshot)
        except StoryBroken:
            if not self.watch.killed_since(CLIENT, began_s):
                raise
            self.counts["cut short by a kill"] += 1

    def _compare(self, snapshot: str) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        self.json("--home", self.net / CLIENT, "restore", snapshot, "--target", self.out)
        if Tree.manifest_of(self.out / self.tree.root.name) != self.kept[snapshot]:
            raise StoryBroken(f"snapshot {snapshot} came back different")
        self.counts["snapshots compared"] += 1

    def _heal(self) -> None:
        """Until every stripe is whole and every open fault is over, without a hand."""
        deadline_s = time.monotonic() + HEAL_EPOCHS * self.options.epoch
        while True:
            self.watch.look()
            self.faults.tick()
            open_faults = [m.name for m in self.faults.mishaps if m.awaited and m.mended_s is None]
            if self.watch.whole and not open_faults:
                return
            if time.monotonic() > deadline_s:
                raise StoryBroken(f"not healed: {self.watch.last}; open: {open_faults}")
            time.sleep(1)

    def _judge(self) -> None:
        listed = {s["id"] for s in self.json("--home", self.net / CLIENT, "snapshots")["snapshots"]}
        if lost := set(self.kept) - listed:
            raise StoryBroken(f"snapshots {sorted(lost)} are no longer listed")
        if not self.backup():
            raise StoryBroken("the last backup was cut short")
        newest = list(self.kept)[-1]
        for snapshot in {newest, *self.rng.sample(sorted(self.kept), min(10, len(self.kept)))}:
            self._compare(snapshot)
        money = self.json("audit", "money", "--rpc", self.rpc)
        if not money["verified"]:
            raise StoryBroken(f"the money does not add up: {money}")
        conduct = self.json("audit", "qos", "--rpc", self.rpc)
        for _ in range(2):
            if conduct["verified"]:
                break
            rows = [row["member"] for row in conduct["members"] if not row["verified"]]
            self.say(f"the audit at block {conduct['block']} does not follow for members {rows}: auditing again")
            conduct = self.json("audit", "qos", "--rpc", self.rpc)
        if not conduct["verified"]:
            raise StoryBroken("not everything that the contracts decided follows from the events")
        grown = self.watch.grown()
        if grown:
            raise StoryBroken(f"memory grew: {grown}")
        self._table(money, conduct)

    def _table(self, money: dict[str, Any], conduct: dict[str, Any]) -> None:
        print("\nfault                             after  found in  mended in  shards   moved MB  least MB")
        for m in self.faults.mishaps:
            print(m.row())
        rows = {
            "snapshots lost": 0,
            **self.counts,
            "stripes": self.watch.last["stripes"],
            "health at its lowest": self.watch.lowest,
            "health at the end": self.watch.last["health"],
            "epochs": conduct["to_epoch"] - conduct["from_epoch"] + 1,
            "void epochs": len(conduct["void_epochs"]),
            "money": f"{money['sum']} = {money['total']} = {money['tokens']} credits",
            "memory": self.watch.memory(),
        }
        print()
        for name, value in rows.items():
            print(f"{name:26} {value}")
        faults = [m.figures() for m in self.faults.mishaps]
        print(
            json.dumps(
                {"faults": faults, "counts": self.counts, "losses": 0, "money": money, "memory": self.watch.memory()}
            )
        )

    # --- help ---------------------------------------------------------------------------------------------------------

    @property
    def passed_s(self) -> float:
        return time.monotonic() - self.began_s

    def say(self, what: str) -> None:
        minutes, seconds = divmod(int(self.passed_s), 60)
        print(f"{minutes:3}:{seconds:02}  {what}", flush=True)

    def json(self, *arguments: str | Path, may_fail: bool = False) -> dict[str, Any]:
        return self.user.json(*arguments, may_fail=may_fail, quiet=True)

    def tell_memory(self) -> None:
        """Also of a life that ended early."""
        for process, course in self.watch.course().items():
            print(f"memory of {process:18} MB every ten minutes: {' '.join(map(str, course))}", flush=True)

    def down(self) -> None:
        if self.net.exists():
            with contextlib.suppress(StoryBroken):
                self.json("devnet", "down", "--home", self.net)


if __name__ == "__main__":
    sys.exit(main())
