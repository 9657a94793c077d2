"""What schemathesis is told about the interfaces: see exploring.py. Loaded by name, in its own process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import schemathesis

from peerage.net import frames

WORK = Path(os.environ["EXPLORING_WORK"])


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """Whatever the owner's verbs are told to read or write lies below the working directory."""
    if isinstance(body, dict):
        for name, value in body.items():
            if name == "target" and isinstance(value, str):
                body[name] = str(WORK / "target" / _plain(value))
            elif name == "paths" and isinstance(value, list):
                body[name] = [str(WORK / "source" / _plain(v)) if isinstance(v, str) else v for v in value]
    return body


def _plain(value: str) -> str:
    return "".join(c for c in value if c.isalnum())[:40]


@schemathesis.check
def ends_with_a_result_or_an_error(_context: Any, response: Any, case: Any) -> None:
    """The owner's interface: each line an event, the last one a result or an error; never the node's own failure."""
    kind = response.headers.get("content-type", [""])[0]
    if kind.startswith("application/octet-stream") and "/v1/data/" in case.path:
        at, tag, body = 0, -1, b""
        while at < len(response.content):
            tag, size = frames.read_header(response.content[at : at + frames.HEADER_SIZE])
            at += frames.HEADER_SIZE
            body, at = response.content[at : at + size], at + size
        assert (tag, at) == (frames.LAST, len(response.content)), "the answer has no end"
        assert json.loads(body).get("kind") != "Internal", body
    if not kind.startswith("application/x-ndjson"):
        return
    lines = [json.loads(line) for line in response.content.splitlines()]
    assert lines, "an answer without a line"
    assert lines[-1]["event"] in ("result", "error"), lines[-1]
    assert all(line["event"] in ("progress", "note", "warning") for line in lines[:-1]), lines
    assert lines[-1].get("kind") != "Internal", lines[-1]
