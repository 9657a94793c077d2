"""Changes files while another process backs them up. A program of its own: python -m tests.flow.meddler MODE DIR PID

MODE once: waits until PID, or a process of its, has opened a file of DIR/last, then changes what comes later there.
grow: lengthens DIR/log for ever. cut: shortens DIR/large once it is open. storm: puts other kinds of files in each
other's places for ever. Prints a line when it stands ready, and one when it is done.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

SECRET = "/etc/passwd"
READY, DONE = "ready", "done"


def processes(pid: int) -> list[int]:
    """A process and its children."""
    found = [pid]
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, tasks.read_text().split())
    return found


def has_open(pid: int, prefix: str) -> bool:
    """Whether a file is open whose path begins so."""
    for process in processes(pid):
        folder = f"/proc/{process}/fd"
        with contextlib.suppress(OSError):
            for fd in os.listdir(folder):
                with contextlib.suppress(OSError):
                    if os.readlink(f"{folder}/{fd}").startswith(prefix):
                        return True
    return False


def wait_for(pid: int, prefix: str) -> None:
    while not has_open(pid, prefix):
        time.sleep(0.0005)


def once(directory: Path, pid: int) -> None:
    """The first files are open, so the directory was listed; the names come after thousands of others, so none of them
    has been looked at."""
    last = directory / "last"
    wait_for(pid, f"{last}/a ")
    (last / "z vanishes").unlink()
    shutil.rmtree(last / "z vanishes too")
    for name in ("z becomes a symlink", "z becomes a fifo", "z becomes a directory", "z becomes another"):
        (last / name).unlink()
    (last / "z becomes a symlink").symlink_to(SECRET)
    os.mkfifo(last / "z becomes a fifo")
    (last / "z becomes a directory").mkdir()
    (last / "z becomes a directory" / "inside").write_text("inside")
    (last / "z becomes another").write_text("another")
    (last / "z appears").write_text("too late to be listed")


def grow(directory: Path, pid: int) -> None:
    with open(directory / "log", "ab", buffering=0) as log:
        while True:
            log.write(b"one more line\n" * 100)
            time.sleep(0.0005)


def cut(directory: Path, pid: int) -> None:
    wait_for(pid, f"{directory}/large")
    os.truncate(directory / "large", 1000)


def storm(directory: Path, pid: int) -> None:
    """Every kind in every place, by rename and by unlinking, so that a name is of another kind at every look."""
    chance = random.Random(1)
    spare = directory.with_name("spare")
    makers: list[Callable[[Path], object]] = [
        lambda path: path.write_bytes(b"content\n" * chance.choice([1, 1000, 100_000])),
        lambda path: path.symlink_to(SECRET),
        os.mkfifo,
        Path.mkdir,
    ]
    names = sorted(path.name for path in directory.iterdir())
    while True:
        path = directory / chance.choice(names)
        with contextlib.suppress(OSError):
            chance.choice(makers)(spare)
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            elif spare.is_dir() and not spare.is_symlink():
                path.unlink()
            spare.rename(path)


def main() -> None:
    mode, directory, pid = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    print(READY, flush=True)
    {"once": once, "grow": grow, "cut": cut, "storm": storm}[mode](directory, pid)
    print(DONE, flush=True)


if __name__ == "__main__":
    main()
