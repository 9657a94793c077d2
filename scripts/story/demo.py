"""The story of scripts/demo: a member loses its machine and two peers, and gets everything back from 24 words.

Uses the command line only, as a user would. Any difference or missing event ends it with an error.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import secrets
import shutil
import signal
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.dont_write_bytecode = True

from command import StoryBroken, User  # noqa: E402 - the line above makes it importable
from compare import assert_same  # noqa: E402

PROOFS_SEEN = 2  # proofs of each agreement before the story goes on
MISSES_SEEN = 2
LOG_TAIL_LINES = 25


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = Path(tempfile.mkdtemp(prefix="peerage-demo-"))
    story = Story(options, work)
    try:
        story.tell()
    except (StoryBroken, KeyboardInterrupt) as error:
        print(f"\ndemo: FAILED: {error or 'interrupted'}", file=sys.stderr)
        story.show_logs()
        return 1
    finally:
        story.clean_up()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    default = Path(sysconfig.get_path("stdlib"))
    parser.add_argument("path", nargs="?", type=Path, default=default, help="what to back up (the standard library)")
    parser.add_argument("--nodes", type=int, default=9, help="members of the network (9)")
    parser.add_argument("--epoch", type=int, default=8, metavar="SECONDS", help="length of an epoch (8)")
    parser.add_argument("--keep", action="store_true", help="keep the working directory")
    options = parser.parse_args()
    if options.nodes < 9:
        parser.error(
            "the story needs 9 nodes: 4+2 shards, one damaged provider, two lost ones, and a quorum for the beacon"
        )
    if not options.path.exists():
        parser.error(f"there is nothing at {options.path}")
    options.path = options.path.resolve()
    return options


class Story:
    """Seven steps; each adds rows to the table of what was measured."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.path: Path = options.path
        self.nodes: int = options.nodes
        self.epoch_s: int = options.epoch
        self.keep: bool = options.keep
        self.work = work
        self.devnet = work / "net"
        self.operator = User(work / "operator")
        self.measured: list[tuple[str, str]] = []
        self.began_s = time.monotonic()
        self.rpc = ""
        self.status: dict[str, Any] = {}

    def tell(self) -> None:
        self._step(1, "the operator deploys the contracts and admits the members", self.found)
        self._step(2, "node 1 backs up; agreements are negotiated, data goes out, the head is anchored", self.back_up)
        self._step(3, "epochs pass: every node beats, every provider proves", self.watch_proofs)
        self._step(4, "a provider's shards are damaged on disk; it misses and pays; node 1 repairs", self.damage)
        self._step(5, "two other providers are killed for good, and node 1's home is deleted", self.lose)
        self._step(6, "on an empty home, recovery from the words alone", self.recover)
        self._step(7, "what the chain says, with no key", self.audit)
        self._table()

    def _step(self, number: int, title: str, act: Callable[[], None]) -> None:
        print(f"\n[{number}/7 {time.monotonic() - self.began_s:6.1f} s] {title}", flush=True)
        act()

    # --- the steps ----------------------------------------------------------------------------------------------------

    def found(self) -> None:
        began_s = time.monotonic()
        arguments = ("--nodes", str(self.nodes), "--epoch", str(self.epoch_s), "--home", self.devnet, "--detach")
        self.status = self.operator.json("devnet", "up", *arguments)
        self.rpc = self.status["rpc"]
        members = self._audit("members")["members"]
        active = [m for m in members if str(m["status"]).lower() == "active"]
        _expect(len(active) == self.nodes, f"{len(active)} members are active, not {self.nodes}")
        _expect(len({n["pid"] for n in self.status["nodes"]}) == self.nodes, "the nodes are not separate processes")
        self._measure("network of", f"{self.nodes} members, epochs of {self.epoch_s} s")
        self._measure("network up in", f"{time.monotonic() - began_s:.1f} s")

    def back_up(self) -> None:
        done = self.operator.json("--home", self.devnet / "node1", "backup", self.path)
        self.snapshot = done["snapshot_id"]
        _expect(done["files"] > 0, "no file was backed up")
        self._measure("backed up", f"{done['files']:,} files, {done['bytes'] / 1e6:,.1f} MB")
        self._measure("backup", f"{done['seconds']:.1f} s, {done['bytes'] / 1e6 / max(done['seconds'], 1e-9):.1f} MB/s")
        self._measure("sent to peers", f"{done['bytes_sent'] / 1e6:,.1f} MB")
        self._measure("peak memory of node 1", f"{_peak_memory_mb(self._node(1)['pid']):.0f} MB")
        agreements = self._agreements_of_node1()
        _expect(len(agreements) >= 6, f"only {len(agreements)} agreements are on the chain")
        _expect(all(a["sequence"] > 0 and a["leaves"] > 0 for a in agreements), "an agreement has no recorded revision")
        self._measure("agreements opened", f"{len(agreements)}, with {sum(a['leaves'] for a in agreements):,} leaves")

    def watch_proofs(self) -> None:
        def proven() -> str:
            qos = {m["member"]: m for m in self._audit("qos")["members"]}
            silent = [i for i, m in qos.items() if m["beats_made"] < 2]
            short = [a["provider"] for a in self._agreements_of_node1() if a["proofs_made"] < PROOFS_SEEN]
            return f"waiting for beats of {silent} and proofs of {short}" if silent or short else ""

        self._until(proven, epochs=12)
        status = self._status_of_node1()
        _expect(status["stripes"]["lost"] == 0, "a stripe is lost")
        shards = status["shards"]
        self._measure("proven lately", f"{shards['proven']} of {shards['total']} shards")

    def damage(self) -> None:
        agreements = self._agreements_of_node1()
        self.victim = sorted(a["provider"] for a in agreements)[1]
        before = {m["member"]: m for m in self._audit("qos")["members"]}[self.victim]
        damaged = _overwrite(self._home_of(self.victim) / "objects")
        _expect(damaged > 0, f"member {self.victim} holds no object")
        print(f"  overwrote all {damaged} objects of member {self.victim} with random bytes", flush=True)
        began_s = time.monotonic()

        def punished_and_repaired() -> str:
            now = {m["member"]: m for m in self._audit("qos")["members"]}[self.victim]
            missed = now["settled_misses"] - before["settled_misses"]
            status = self._status_of_node1()
            penalised = _penalties(now) > _penalties(before)
            if missed >= MISSES_SEEN and penalised and status["repaired_shards"] >= 1 and status["health"] == 1:
                return ""
            return (
                f"member {self.victim} has missed {missed}, penalties {_penalties(now)}; "
                f"repaired shards {status['repaired_shards']}, health {status['health']:.2f}"
            )

        self._until(punished_and_repaired, epochs=30)
        status = self._status_of_node1()
        self._measure("damaged", f"{damaged} objects of member {self.victim}")
        self._measure(
            "repaired", f"{status['repaired_shards']} shards, health 1 after {time.monotonic() - began_s:.0f} s"
        )

    def lose(self) -> None:
        providers = sorted({a["provider"] for a in self._agreements_of_node1()} - {self.victim})
        self.lost = providers[-2:]
        for member in self.lost:
            self.operator.json("devnet", "kill", self._name_of(member), "--home", self.devnet)
        sheet = (self.devnet / "node1.words").read_text()
        found = re.search(r"^words:(.*)$", sheet, re.MULTILINE)
        _expect(found is not None, "the sheet of node 1 names no words")
        assert found is not None
        self.words = found.group(1).split()
        _expect(len(self.words) == 24, f"the sheet of node 1 has {len(self.words)} words")
        self.operator.json("devnet", "kill", "node1", "--home", self.devnet)
        shutil.rmtree(self.devnet / "node1")
        (self.devnet / "node1.words").unlink()
        print(f"  members {self.lost} are dead, and so is node 1 with all it had", flush=True)

    def recover(self) -> None:
        stranger = User(self.work / "stranger", PEERAGE_PASSPHRASE=secrets.token_hex(8))
        words = stranger.home / "words.txt"
        words.write_text(" ".join(self.words) + "\n")
        target = stranger.home / "back"
        began_s = time.monotonic()
        done = stranger.json("recover", "--words-file", words, "--rpc", self.rpc, "--target", target)
        seconds = time.monotonic() - began_s
        _expect(done["snapshot_id"] == self.snapshot, "another snapshot came back")
        self._measure("recovered", f"{done['files']:,} files, {done['bytes'] / 1e6:,.1f} MB")
        self._measure(
            "recovery", f"{seconds:.1f} s, {done['bytes'] / 1e6 / seconds:.1f} MB/s, from 24 words to the last file"
        )
        how = assert_same(self.path, target / self.path.name)
        print(f"  no difference: {how}", flush=True)
        self._measure("differences", f"none ({how.split()[0]})")

    def audit(self) -> None:
        self.operator.show("audit", "qos", "--rpc", self.rpc)
        self.operator.show("audit", "agreements", "--rpc", self.rpc)
        of_victim = {m["member"]: m for m in self._audit("qos")["members"]}[self.victim]
        _expect(of_victim["settled_misses"] >= MISSES_SEEN, "the chain does not show the misses")
        _expect(_penalties(of_victim) > 0, "the chain does not show the penalty")
        self._measure(
            "misses, penalties", f"{of_victim['proofs_missed']}, {_penalties(of_victim)} credits (member {self.victim})"
        )

    # --- help ---------------------------------------------------------------------------------------------------------

    def _audit(self, what: str) -> dict[str, Any]:
        return self.operator.json("audit", what, "--rpc", self.rpc, quiet=True)

    def _agreements_of_node1(self) -> list[dict[str, Any]]:
        client = self._node(1)["member"]
        listed = self._audit("agreements")["agreements"]
        return [a for a in listed if a["client"] == client and str(a["state"]).lower() == "active"]

    def _status_of_node1(self) -> dict[str, Any]:
        return self.operator.json("--home", self.devnet / "node1", "status", quiet=True)

    def _node(self, number: int) -> dict[str, Any]:
        node: dict[str, Any] = self.status["nodes"][number - 1]
        return node

    def _name_of(self, member: int) -> str:
        return str(next(n["name"] for n in self.status["nodes"] if n["member"] == member))

    def _home_of(self, member: int) -> Path:
        return self.devnet / self._name_of(member)

    def _until(self, missing: Callable[[], str], epochs: int) -> None:
        """Wait until `missing` has nothing to name. Raises StoryBroken with what it named, after so many epochs."""
        deadline_s = time.monotonic() + epochs * self.epoch_s + 30
        shown = ""
        while what := missing():
            if what != shown:
                print(f"  {what}", flush=True)
                shown = what
            if time.monotonic() > deadline_s:
                raise StoryBroken(f"after {epochs} epochs still: {what}")
            time.sleep(max(1.0, self.epoch_s / 4))

    def _measure(self, name: str, value: str) -> None:
        self.measured.append((name, value))
        print(f"  {name}: {value}", flush=True)

    def _table(self) -> None:
        rows = [("path", str(self.path)), *self.measured]
        if setup_s := os.environ.get("PEERAGE_DEMO_SETUP_S"):
            rows.append(("set-up", f"{setup_s} s"))
        rows.append(("the whole story", f"{time.monotonic() - self.began_s:.0f} s"))
        width = max(len(name) for name, _ in rows)
        print("\n" + "\n".join(f"{name.ljust(width)}  {value}" for name, value in rows))
        print("\ndemo: everything came back, and every event was seen")

    def show_logs(self) -> None:
        for log in sorted((self.devnet / "logs").glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
            print(f"--- {log}", *lines, sep="\n", file=sys.stderr)

    def clean_up(self) -> None:
        if (self.devnet / "devnet.json").exists():
            with contextlib.suppress(StoryBroken, OSError):
                self.operator.json("devnet", "down", "--home", self.devnet, may_fail=True, quiet=True)
        if self.keep:
            print(f"kept: {self.work}", file=sys.stderr)
        else:
            shutil.rmtree(self.work, ignore_errors=True)


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise StoryBroken(otherwise)


def _overwrite(objects: Path) -> int:
    """Overwrite every file below with random bytes of the same length, in place; return how many."""
    count = 0
    for path in objects.rglob("*"):
        if path.is_file():
            with path.open("r+b") as file:
                left = path.stat().st_size
                while left > 0:
                    left -= file.write(secrets.token_bytes(min(left, 1 << 20)))
            count += 1
    return count


def _peak_memory_mb(pid: int) -> float:
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        if found:
            return int(found.group(1)) * 1024 / 1e6
    return float("nan")


def _penalties(member: dict[str, Any]) -> Decimal:
    """Credits that a member has lost as provider."""
    return Decimal(member["penalties_to_client"]) + Decimal(member["penalties_burned"])


if __name__ == "__main__":
    sys.exit(main())
