"""Runs `peerage` as a user would: another process, a clean environment, JSON on stdout, progress on our stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
PEERAGE = REPOSITORY / ".venv" / "bin" / "peerage"
TIMEOUT_S = 3600.0


class StoryBroken(Exception):
    """The story did not go as it must."""


class User:
    """Somebody at a shell with their own HOME. environment: what they set besides."""

    def __init__(self, home: Path, **environment: str) -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.home = home
        self._environment = {
            "HOME": str(home),
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "TMPDIR": tempfile.gettempdir(),
            # A .pyc written into a tree that is being compared would be a difference of our own making.
            "PYTHONDONTWRITEBYTECODE": "1",
            **{name: os.environ[name] for name in ("PEERAGE_ANVIL", "PEERAGE_LOG") if name in os.environ},
            **environment,
        }

    def json(self, *arguments: str | Path, may_fail: bool = False, quiet: bool = False) -> dict[str, Any]:
        """The result of `peerage ARGUMENTS --json`. Raises StoryBroken unless it exits with 0, or may_fail."""
        command = [str(PEERAGE), *map(str, arguments), "--json"]
        if not quiet:
            print("  $ peerage " + " ".join(map(str, arguments)), flush=True)
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if may_fail or quiet else None,
            stdin=subprocess.DEVNULL,
            env=self._environment,
            cwd=self.home,
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0 and not may_fail:
            sys.stderr.write((done.stderr or b"").decode(errors="replace"))
            raise StoryBroken(f"'peerage {' '.join(map(str, arguments))}' exited with {done.returncode}")
        try:
            result: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise StoryBroken(f"'peerage {arguments[0]} --json' printed no JSON object") from None
        return result

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """`peerage ARGUMENTS`, running on its own; what it prints is dropped."""
        return subprocess.Popen(
            [str(PEERAGE), *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            env=self._environment,
            cwd=self.home,
        )

    def show(self, *arguments: str | Path) -> None:
        """Let the user see what `peerage ARGUMENTS` prints. Raises StoryBroken unless it exits with 0."""
        print("  $ peerage " + " ".join(map(str, arguments)), flush=True)
        done = subprocess.run(
            [str(PEERAGE), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            env=self._environment,
            cwd=self.home,
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise StoryBroken(f"'peerage {' '.join(map(str, arguments))}' exited with {done.returncode}")
