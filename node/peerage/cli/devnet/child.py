"""The process of one devnet node: `peerage --home DIR up`, tied to the life of its supervisor."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from peerage.cli.main import main

PR_SET_PDEATHSIG = 1


def follow_parent(parent_pid: int) -> None:
    """End with the supervisor, even if it is killed. Asked for here, after exec: between fork and exec it is unsafe."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # it ended before the request took hold
        sys.exit(0)


if __name__ == "__main__":
    follow_parent(int(sys.argv.pop(1)))
    main()
