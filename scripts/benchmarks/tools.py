"""The tools that are measured, each with a fresh repository for every round."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "story"))

from command import User
from meter import Failed, Reading, Watch, run

from trees import size_of

PROVIDERS = 6
CODE = "4+2"


class Tool(Protocol):
    """begin, then first, again, restore and partial (put and get) as often as asked for, then end. store(): the
    directories that its repository lies in."""

    name: str

    def begin(self, work: Path) -> None: ...
    def first(self, tree: Path) -> Reading: ...
    def again(self, tree: Path) -> Reading: ...
    def restore(self, target: Path) -> Reading: ...
    def partial(self, file: Path, target: Path) -> Reading: ...
    def store(self) -> list[Path]: ...
    def end(self) -> None: ...


class Peerage:
    """A devnet: the client's node, six providers, the chain; code 4+2, over TLS, each receipt after fdatasync."""

    name = "peerage"

    def __init__(self, epoch_s: int = 10) -> None:
        self.epoch_s = epoch_s

    def begin(self, work: Path) -> None:
        self.work = work
        self.net = work / "net"
        self.client = self.net / "node1"
        self.user = User(work / "user")
        up = (
            "devnet",
            "up",
            "--nodes",
            str(PROVIDERS + 1),
            "--epoch",
            str(self.epoch_s),
            "--home",
            self.net,
            "--detach",
        )
        self.started = self.user.json(*up, quiet=True)
        self.user.json("--home", self.client, "policy", "set", "take.code", CODE, quiet=True)

    def first(self, tree: Path) -> Reading:
        return self._measure("backup", tree)

    again = first

    def restore(self, target: Path) -> Reading:
        return self._measure("restore", "latest", "--target", target)

    def partial(self, file: Path, target: Path) -> Reading:
        return self._measure("restore", "latest", "--target", target, "--include", file)

    def put(self, file: Path) -> Reading:
        return self._measure("backup", file)

    def get(self, target: Path) -> Reading:
        return self.restore(target)

    def store(self) -> list[Path]:
        return [self.net / f"node{number}" / "objects" for number in range(2, PROVIDERS + 2)]

    def stored(self) -> dict[str, float]:
        """before: bytes of packs before redundancy; after: at the providers."""
        stats = self.user.json("--home", self.client, "stats", quiet=True)
        return {"before": stats["sealed_bytes"] + stats["listing_bytes"], "after": stats["stored_bytes"]}

    def _measure(self, *command: str | Path) -> Reading:
        def work() -> dict[str, float]:
            result = self.user.json("--home", self.client, *command, quiet=True)
            if result.get("failed") or result.get("unreadable"):
                raise Failed(f"peerage {command[0]} did not do all: {str(result)[:300]}")
            return {k: v for k, v in result.items() if isinstance(v, int | float) and not isinstance(v, bool)}

        nodes = self.user.json("devnet", "status", "--home", self.net, quiet=True)["nodes"]
        pids = {"client" if n["name"] == "node1" else n["name"].replace("node", "provider"): n["pid"] for n in nodes}
        return Watch(pids).measure(work)

    def end(self) -> None:
        with contextlib.suppress(Exception):
            self.user.json("devnet", "down", "--home", self.net, quiet=True)
        shutil.rmtree(self.work, ignore_errors=True)


class _Local:
    """A repository in one directory of this machine."""

    work: Path
    repository: Path

    def store(self) -> list[Path]:
        return [self.repository]

    def stored(self) -> dict[str, float]:
        return {"before": size_of(self.repository)}

    def end(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)


class Restic(_Local):
    """One local repository, defaults, its own cache."""

    name = "restic"

    def begin(self, work: Path) -> None:
        self.work = work
        self.repository = work / "restic"
        self._environment = {"RESTIC_PASSWORD": "bench", "RESTIC_CACHE_DIR": str(work / "cache")}
        self._run("init")

    def first(self, tree: Path) -> Reading:
        return self._run("backup", tree)

    again = first

    def restore(self, target: Path) -> Reading:
        return self._run("restore", "latest", "--target", target)

    def partial(self, file: Path, target: Path) -> Reading:
        return self._run("restore", "latest", "--target", target, "--include", file)

    def _run(self, *command: str | Path) -> Reading:
        return run(["restic", "--quiet", "--repo", self.repository, *command], self._environment)


class Borg(_Local):
    """One local repository, repokey encryption, defaults (lz4)."""

    name = "borg"

    def begin(self, work: Path) -> None:
        self.work = work
        self.repository = work / "borg"
        self._environment = {
            "BORG_PASSPHRASE": "bench",
            "BORG_BASE_DIR": str(work),
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }
        self._count = 0
        work.mkdir(parents=True)
        run(["borg", "init", "--encryption", "repokey", self.repository], self._environment)

    def first(self, tree: Path) -> Reading:
        self._count += 1
        return run(["borg", "create", f"{self.repository}::{self._count}", tree], self._environment)

    again = first

    def restore(self, target: Path) -> Reading:
        target.mkdir(parents=True, exist_ok=True)
        return run(["borg", "extract", f"{self.repository}::{self._count}"], self._environment, target)

    def partial(self, file: Path, target: Path) -> Reading:
        target.mkdir(parents=True, exist_ok=True)
        inside = str(file).lstrip("/")
        return run(["borg", "extract", f"{self.repository}::{self._count}", inside], self._environment, target)


class Tahoe:
    """An introducer, six storage servers and a client on this machine, 4-of-6: put and get of one file."""

    name = "tahoe"

    def __init__(self, program: str) -> None:
        self._program = program
        self._running: list[subprocess.Popen[bytes]] = []
        self._cap = ""

    def begin(self, work: Path) -> None:
        self.work = work
        work.mkdir(parents=True)
        port = _free_port()
        self._tahoe(
            "create-introducer",
            "--listen=tcp",
            f"--port=tcp:{port}",
            f"--location=tcp:127.0.0.1:{port}",
            work / "intro",
        )
        self._start(work / "intro")
        furl = self._wait_for(work / "intro" / "private" / "introducer.furl")
        for number in range(PROVIDERS):
            port = _free_port()
            listen = ("--listen=tcp", f"--port=tcp:{port}:interface=127.0.0.1", f"--location=tcp:127.0.0.1:{port}")
            self._tahoe("create-node", f"--introducer={furl}", "--webport=none", *listen, work / f"s{number}")
            self._start(work / f"s{number}")
        shares = ("--shares-needed=4", "--shares-happy=6", "--shares-total=6")
        web = f"--webport=tcp:{_free_port()}:interface=127.0.0.1"
        self._tahoe("create-client", f"--introducer={furl}", web, *shares, work / "client")
        self._start(work / "client")
        self._wait_for(work / "client" / "node.url")
        probe = work / "probe"
        probe.write_bytes(os.urandom(4096))
        deadline = time.monotonic() + 60
        while subprocess.run(
            [self._program, "-d", work / "client", "put", probe], capture_output=True, check=False
        ).returncode:
            if time.monotonic() > deadline:
                raise Failed("tahoe: the storage servers did not come up within a minute")
            time.sleep(0.5)

    def put(self, file: Path) -> Reading:
        def work() -> dict[str, float]:
            done = subprocess.run(
                [self._program, "-d", self.work / "client", "put", file], capture_output=True, check=False
            )
            if done.returncode:
                raise Failed(f"tahoe put: {done.stderr.decode(errors='replace')[-300:]}")
            self._cap = done.stdout.decode().strip().splitlines()[-1]
            return {}

        return self._watch().measure(work)

    def get(self, target: Path) -> Reading:
        def work() -> dict[str, float]:
            target.mkdir(parents=True, exist_ok=True)
            done = subprocess.run(
                [self._program, "-d", self.work / "client", "get", self._cap, target / "file"],
                capture_output=True,
                check=False,
            )
            if done.returncode:
                raise Failed(f"tahoe get: {done.stderr.decode(errors='replace')[-300:]}")
            return {}

        return self._watch().measure(work)

    def store(self) -> list[Path]:
        return [self.work / f"s{number}" / "storage" for number in range(PROVIDERS)]

    def _watch(self) -> Watch:
        servers = {f"server {i}": p.pid for i, p in enumerate(self._running[1:-1], 1)}
        return Watch({"client": self._running[-1].pid, **servers})

    def _tahoe(self, *arguments: str | Path) -> None:
        run([self._program, *arguments])

    def _start(self, directory: Path) -> None:
        self._running.append(
            subprocess.Popen(
                [self._program, "run", "--allow-stdin-close", str(directory)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
            )
        )

    def _wait_for(self, path: Path) -> str:
        deadline = time.monotonic() + 60
        while not path.exists() or not path.read_text().strip():
            if time.monotonic() > deadline:
                raise Failed(f"tahoe: {path} did not appear within a minute")
            time.sleep(0.2)
        return path.read_text().strip()

    def end(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
        self._running.clear()
        shutil.rmtree(self.work, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
