"""schemathesis against both interfaces of a running node: every request that the OpenAPI documents allow, and what they
forbid.

schemathesis speaks plain HTTP to a relay here, which speaks mutual TLS to the peer interface, or to the owner's socket.
    python -m tests.net.exploring [--examples 100] [--requests 5000] [--seed 1]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.devnet.conftest import User
from tests.net.conformance import conform
from tests.relays import Connect, Streams, relay

from peerage.daemon import openapi as owner_document
from peerage.keys.keystore import Keystore
from peerage.net import openapi as peer_document
from peerage.net.local import short_path
from peerage.net.owner_client import SOCKET
from peerage.net.tls import TlsIdentity
from peerage.store.home import Home
from peerage_chain import remembered

ROOT = Path(__file__).parents[2]
RATE = "150/s"  # a member may send 200 requests a second
REQUEST_TIMEOUT_S = 30


@dataclass
class Explored:
    """What schemathesis printed last, and how many requests it sent."""

    requests: int
    ok: bool
    output: str


def owner_socket(home: Path) -> Connect:
    async def connect() -> Streams:
        with short_path(home / SOCKET) as path:
            return await asyncio.open_unix_connection(str(path))

    return connect


def peer_listener(client: Home, certificate: bytes, endpoint: str) -> Connect:
    """As the node of a devnet's home, to a node with that certificate (DER)."""
    keystore = Keystore.open(client.read_file(client.keystore), "")
    context = TlsIdentity(keystore.tls_key_pem, keystore.certificate_der).client_context(certificate)
    at = urlsplit(endpoint)

    async def connect() -> Streams:
        return await asyncio.open_connection(at.hostname, at.port, ssl=context)

    return connect


def explore(url: str, which: str, work: Path, examples: int, seed: int) -> Explored:
    """One run of schemathesis against the interface ("peer" or "owner") that answers at a URL; `examples` an operation.

    The paths that the owner's verbs read and write are kept within `work`.
    """
    document = _without_tuples({"peer": peer_document.document, "owner": owner_document.document}[which]())
    path = work / f"{which}.json"
    path.write_text(json.dumps(document))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(path), "--url", url),
        *("--max-examples", str(examples), "--seed", str(seed), "--phases", "examples,coverage,fuzzing"),
        *("--checks", "all", "--exclude-checks", EXCLUDED[which], "--continue-on-failure"),
        *("--request-timeout", str(REQUEST_TIMEOUT_S), "--rate-limit", RATE, "--warnings", "off", "--no-color"),
    ]
    done = subprocess.run(
        command,
        cwd=work,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "node"), str(ROOT / "chain")]),
            "SCHEMATHESIS_HOOKS": "tests.net.exploring_hooks",
            "EXPLORING_WORK": str(work),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    found = re.search(r"(\d+) generated", output)
    return Explored(int(found[1]) if found else 0, done.returncode == 0, output)


def explore_both(net: Path, work: Path, examples: int, seed: int) -> Iterator[tuple[str, Explored]]:
    """The owner's interface of a devnet's node 1, then the peer interface of its node 2 as node 1."""
    home = Home.open(net / "node1")
    roster = remembered.decode(home.read_file(home.chain)).roster
    other = next(m for m in roster if m.id == 2).nodes[-1]
    for which, connect in (
        ("owner", owner_socket(home.path)),
        ("peer", peer_listener(home, other.certificate, other.endpoint)),
    ):
        with relay(connect) as url:
            yield which, explore(url, which, work, examples, seed)


def _without_tuples(schema: Any) -> Any:
    """schemathesis 4 reads prefixItems in an answer's schema as an error of the document; this says a little less."""
    if isinstance(schema, list | tuple):
        return [_without_tuples(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _without_tuples(part) for name, part in schema.items()}
    if "prefixItems" in found:
        found["items"] = {"anyOf": found.pop("prefixItems")}
    return found


EXCLUDED = {
    # A provider may refuse well-formed terms and revisions, and does refuse what it does not hold.
    "peer": "positive_data_acceptance",
    # Answers are lines that end with a result or an error (exploring_hooks); the status says only that one was begun.
    "owner": "positive_data_acceptance,negative_data_rejection",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="of each operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--requests", type=int, default=5000, help="drawn by the other generator")
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="peerage-", ignore_cleanup_errors=True) as directory:
        work = Path(directory)
        user, net = User(work / "user"), work / "net"
        try:
            user.ok("devnet", "up", "--nodes", "4", "--epoch", "10", "--home", net, "--detach")
            (work / "source").mkdir()
            (work / "source" / "file").write_bytes(bytes(1000))
            user.ok("--home", net / "node1", "backup", work / "source")
            for which, found in explore_both(net, work, options.examples, options.seed):
                failed |= not found.ok
                print(f"{which} interface: requests tried: {found.requests}; {'failures 0' if found.ok else 'FAILED'}")
                if not found.ok:
                    print(found.output)
        finally:
            user.run("devnet", "down", "--home", net)
        (work / "drawn").mkdir()
        tally = asyncio.run(conform(work / "drawn", options.requests, options.seed))
        failed |= bool(tally.failures)
        print(f"peer interface, drawn: requests tried: {tally.requests}; failures {len(tally.failures)}")
        print(*tally.failures[:20], sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
