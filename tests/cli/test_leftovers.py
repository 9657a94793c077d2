"""What a killed supervisor leaves behind is gone, with its ports, before anything is started in its place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from peerage.cli.devnet.nodes import end_leftover
from peerage.cli.devnet.state import port_taken

LISTENER = """
import socket, sys, threading, time
server = socket.create_server(("127.0.0.1", 0))
threads = [threading.Thread(target=time.sleep, args=(60,)) for _ in range(8)]
for thread in threads:
    thread.start()
held = bytearray(b"x") * (200 << 20)
print(server.getsockname()[1], flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("dying", [False, True])
def test_its_port_is_free_afterwards(dying: bool) -> None:
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", LISTENER, "marker"], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            assert port_taken(port)
            if dying:
                os.kill(process.pid, signal.SIGKILL)
            assert end_leftover(process.pid, "marker") or dying
            assert not port_taken(port)
        finally:
            process.kill()
            process.communicate()


def test_another_program_is_left_alone() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "other"])
    try:
        assert not end_leftover(process.pid, "marker")
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
