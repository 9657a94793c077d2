"""`peerage up`: one node of one member, in the foreground."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
from pathlib import Path

import structlog
import uvloop

from peerage.daemon.node import Node
from peerage.keys.keystore import Keystore
from peerage.store.home import Home

_SWITCH_INTERVAL_S = 0.001
"""Worker threads release the GIL for most of their work and want it back soon; the default of 5 ms makes them wait."""

_GC_THRESHOLDS = (20_000, 50, 50)
"""A backup makes many objects and hardly a cycle: with the default of 700 the collector takes 5 % of a restore."""


def run(home_path: Path, passphrase: str) -> int:
    """Run the daemon until SIGINT or SIGTERM; returns the exit code. Raises PeerageError before it is up."""
    configure_logging()
    home = Home.open(home_path)
    with home.lock():
        keystore = Keystore.open(home.read_file(home.keystore), passphrase)
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        raise_file_limit()
        return uvloop.run(_serve(home, keystore))


async def _serve(home: Home, keystore: Keystore) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    node = Node(home, keystore)
    running = asyncio.create_task(node.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not running.done():
        running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        return 0
    return 0


def configure_logging() -> None:
    """Structured lines on stderr; PEERAGE_LOG sets the level (info)."""
    level = logging.getLevelNamesMapping().get(os.environ.get("PEERAGE_LOG", "info").upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def raise_file_limit() -> None:
    """As many open files as the system allows us: a backup keeps a descriptor per level of a deep tree."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
