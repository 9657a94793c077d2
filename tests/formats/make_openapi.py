"""Writes node/spec/openapi-*.json anew: python -m tests.formats.make_openapi."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from peerage.daemon import openapi as owner
from peerage.net import openapi as peer

SPEC = Path(__file__).parents[2] / "node" / "spec"
DOCUMENTS = {"openapi-peer.json": peer.document, "openapi-owner.json": owner.document}


def text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    for name, make in DOCUMENTS.items():
        (SPEC / name).write_text(text(make()), encoding="utf-8")
