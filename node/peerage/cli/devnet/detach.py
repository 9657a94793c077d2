"""A supervisor in the background: started with its own session and log, followed through a pipe until it is ready."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peerage.cli.devnet.nodes import log_of, log_tail
from peerage.errors import LocalFault, PeerageError
from peerage.net.local import RemoteError

DOWN_WAIT_S = 60.0


def start_detached(
    directory: Path, nodes: int | None, epoch_s: int | None, note: Callable[[str], None]
) -> dict[str, Any]:
    """Start a supervisor and return its status once it is ready; notes are its progress. Raises what it raised."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    logs = directory / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    log = log_of(directory, "devnet")
    read_end, write_end = os.pipe()
    arguments = [sys.executable, "-m", "peerage.cli.devnet.detach", str(write_end), str(directory)]
    arguments += [str(nodes or 0), str(epoch_s or 0)]
    log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=log_fd,
            stderr=log_fd,
            pass_fds=(write_end,),
            start_new_session=True,
            cwd="/",
        )
    finally:
        os.close(log_fd)
        os.close(write_end)
    with os.fdopen(read_end, "r", encoding="utf-8") as messages:
        for line in messages:
            message = json.loads(line)
            if "ready" in message:
                ready: dict[str, Any] = message["ready"]
                return ready
            if "error" in message:
                error = message["error"]
                raise RemoteError(error["message"], error["kind"], error["exit_code"])
            note(f"devnet: {message['note']}")
    note(log_tail(log))
    raise LocalFault(f"the devnet's supervisor ended before the devnet was ready: see {log}")


def wait_ended(directory: Path) -> None:
    """Wait until the supervisor of a directory has released it."""
    from peerage.cli.devnet.supervisor import locked
    from peerage.errors import UserError

    deadline_s = time.monotonic() + DOWN_WAIT_S
    while True:
        try:
            with locked(directory):
                return
        except UserError:
            if time.monotonic() > deadline_s:
                raise LocalFault(
                    f"the devnet on {directory} has not ended in {DOWN_WAIT_S:.0f} s: see its log"
                ) from None
            time.sleep(0.1)


def _main(pipe: int, directory: Path, nodes: int, epoch_s: int) -> int:
    """The supervisor's own process. Messages to the starter are JSON lines; once it is ready the pipe is closed."""
    from peerage.cli.devnet.supervisor import supervise

    starter = os.fdopen(pipe, "w", encoding="utf-8", buffering=1)

    def tell(message: dict[str, Any]) -> None:
        try:
            if not starter.closed:
                starter.write(json.dumps(message) + "\n")
        except OSError:
            pass  # the starter was interrupted; the devnet goes on

    def note(line: str) -> None:
        print(time.strftime("%H:%M:%S"), line, flush=True)
        tell({"note": line})

    def ready(status: dict[str, Any]) -> None:
        tell({"ready": status})
        starter.close()

    try:
        supervise(directory, nodes or None, epoch_s or None, note, ready)
    except PeerageError as error:
        print(f"error: {error}", flush=True)
        tell({"error": {"kind": error.kind, "message": str(error), "exit_code": error.exit_code}})
        return error.exit_code
    except Exception as error:
        import traceback

        from peerage_chain.errors import ChainFault

        traceback.print_exc()
        exit_code = 7 if isinstance(error, ChainFault) else 1
        message = f"{error} (the traceback is in {log_of(directory, 'devnet')})"
        tell({"error": {"kind": type(error).__name__, "message": message, "exit_code": exit_code}})
        return exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
