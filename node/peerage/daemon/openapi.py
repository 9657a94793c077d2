"""The owner's interface as an OpenAPI 3.1 document: GET /openapi.json on its socket; node/spec/openapi-owner.json."""

from __future__ import annotations

from functools import cache
from typing import Any

from peerage.model import MIB
from peerage.net import frames

_TEXT_MAX = 1 << 20
_MANY = 100_000
_TEXT: dict[str, Any] = {"type": "string", "maxLength": _TEXT_MAX}
_WHOLE: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": (1 << 63) - 1}
_TYPES: dict[str, dict[str, Any]] = {
    "text": _TEXT,
    "flag": {"type": "boolean"},
    "texts": {"type": "array", "items": _TEXT, "maxItems": _MANY},
    "whole": _WHOLE,
    "wholes": {"type": "array", "items": _WHOLE, "maxItems": _MANY},
    "count": {"type": "integer", "minimum": -1, "maximum": (1 << 63) - 1},
    "number": {"type": "number", "exclusiveMinimum": 0},
    "percent": {"type": "number", "minimum": 0, "maximum": 100},
}
_RESTORE = (
    "snapshot*:text target*:text include:texts patterns:texts exclude:texts in_place:flag delete:flag verify:flag"
)
_KEEP = " ".join(f"keep_{name}:count" for name in ("last", "hourly", "daily", "weekly", "monthly", "yearly"))
VERBS = {
    "ping": "",
    "status": "",
    "backup": "paths*:texts exclude:texts one_file_system:flag exclude_caches:flag tags:texts host:text limit_up:text "
    "dry_run:flag",
    "snapshots": "",
    "ls": "snapshot*:text path:text",
    "stats": "",
    "risk": "without:wholes repair_hours:number",
    "quality": "",
    "restore": _RESTORE,
    "forget": f"snapshots:texts {_KEEP} keep_within:text keep_tags:texts policy:text hosts:texts tags:texts "
    "paths:texts dry_run:flag",
    "hold": "snapshot*:text reason:text",
    "release": "snapshot*:text",
    "prune": "max_unused_percent:percent dry_run:flag cancel:flag",
    "check": "read:text",
    "rebuild": "",
    "schedule": "",
    "schedule.run": "name*:text",
    "agreements": "why:flag",
    "demand": "agreement:text leaves:wholes",
    "policy.show": "",
    "policy.set": "key*:text value*:text",
    "policy.check": "toml:text",
}
"""Parameters of each verb, `name:type`, a star behind those that must be there."""
DATA_VERBS = {
    "cat": "snapshot*:text path*:text offset:whole length:whole",
    "find": "patterns:texts snapshot:text all:flag types:texts newer_ns:text older_ns:text at_least:whole "
    "at_most:whole ignore_case:flag",
    "diff": "old*:text new*:text path:text",
    "preview": _RESTORE,
    "tree": "ids:texts snapshot:text",
    "read": "ids*:texts name*:text offset:whole length:whole",
    "files": "ids*:texts names*:texts",
    "links": "snapshot*:text",
}
STREAM_VERBS = {"backup": "name*:text tags:texts host:text limit_up:text"}

_EVENT = {
    "type": "object",
    "required": ["event"],
    "properties": {
        "event": {"enum": ["progress", "note", "warning", "result", "error"]},
        "result": {"type": "object"},
        "message": _TEXT,
        "kind": {"type": "string", "maxLength": 100},
        "exit_code": {"type": "integer", "minimum": 0, "maximum": 255},
    },
}
_FRAMES = {"type": "string", "format": "binary", "description": f"frames, each of at most {frames.MAX_FRAME} bytes"}


@cache
def document() -> dict[str, Any]:
    lines = {"application/x-ndjson": {"schema": {"$ref": "#/components/schemas/Event"}}}
    framed = {"application/octet-stream": {"schema": _FRAMES}}
    paths: dict[str, Any] = {
        "/openapi.json": {
            "get": {
                "operationId": "openapi",
                "responses": {
                    "200": {"description": "This", "content": {"application/json": {"schema": {"type": "object"}}}}
                },
            }
        }
    }
    for prefix, verbs, answer in (
        ("/v1/", VERBS, lines),
        ("/v1/data/", DATA_VERBS, framed),
        ("/v1/stream/", STREAM_VERBS, lines),
    ):
        for verb, parameters in verbs.items():
            body = {"application/json": {"schema": _parameters(parameters)}}
            if verbs is STREAM_VERBS:
                body = {"application/octet-stream": {"schema": {**_FRAMES, "x-parameters": _parameters(parameters)}}}
            paths[prefix + verb] = {
                "post": {
                    "operationId": (prefix.removeprefix("/v1/") + verb).replace("/", "_").replace(".", "_"),
                    "requestBody": {"required": verbs is STREAM_VERBS, "content": body},
                    "responses": {"200": {"description": "Ends with a result or an error", "content": answer}},
                }
            }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Peerage owner's interface",
            "version": "1",
            "description": f"On run/owner.sock in the home. Parameters: at most {MIB} bytes.",
        },
        "paths": paths,
        "components": {"schemas": {"Event": _EVENT}},
    }


def _parameters(text: str) -> dict[str, Any]:
    pairs = [part.split(":") for part in text.split()]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name.rstrip("*"): _TYPES[kind] for name, kind in pairs},
    }
    if required := [name[:-1] for name, _ in pairs if name.endswith("*")]:
        schema["required"] = required
    return schema
