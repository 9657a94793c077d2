"""Backs a tree up, gives up being root, restores it, and prints what could not be restored as JSON. To be run:

python -m tests.flow.as_nobody SOURCE TARGET STATE UID
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import sys
from pathlib import Path

from tests.flow.network import network

from peerage.flow.backup import backup
from peerage.flow.context import silent
from peerage.flow.restore import restore

PR_SET_DUMPABLE = 4


def become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    # As after an exec: else /proc/self stays root's.
    assert ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0


async def run(source: Path, target: Path, state: Path, uid: int) -> list[dict[str, str]]:
    with network(state) as (context, _, _):
        result = await backup(context, [os.fsencode(source)], silent)
        assert result.unreadable == []
        for name in (".", *os.listdir(state)):
            os.chown(state / name, uid, uid)
        become(uid)
        return (await restore(context, "latest", target, [], silent)).failed


def main() -> None:
    source, target, state, uid = sys.argv[1:]
    failed = asyncio.run(run(Path(source), Path(target), Path(state), int(uid)))
    print(json.dumps(failed))


if __name__ == "__main__":
    main()
