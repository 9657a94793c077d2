"""Requests of peers, picked apart strictly: routes, lengths, ranges, queries. Pure; node/spec/wire.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from peerage.model import ObjectKind
from peerage.wire.messages import parse_number
from peerage.wire.refusals import Refusal, RefusalCode


class Route(Enum):
    HELLO = ("GET", r"/v1/hello")
    OPENAPI = ("GET", r"/v1/openapi\.json")
    PROPOSE = ("POST", r"/v1/proposals")
    AMEND = ("POST", r"/v1/agreements/([^/]*)/amendments")
    PUT_OBJECT = ("PUT", r"/v1/agreements/([^/]*)/objects/([^/]*)")
    DROP_OBJECT = ("DELETE", r"/v1/agreements/([^/]*)/objects/([^/]*)")
    LIST_OBJECTS = ("GET", r"/v1/agreements/([^/]*)/objects")
    COSIGN = ("POST", r"/v1/agreements/([^/]*)/revisions")
    GET_OBJECT = ("GET", r"/v1/objects/([^/]*)")
    LIST_HEADS = ("GET", r"/v1/heads")


_ROUTES = tuple((route, route.value[0], re.compile(route.value[1])) for route in Route)


def match(method: str, raw_path: str) -> tuple[Route, tuple[str, ...]]:
    """The route, and its ids as written. The path is taken as it came, never decoded, so %2f and .. match nothing.

    Raises Refusal: not_found, method_not_allowed.
    """
    for route, verb, pattern in _ROUTES:
        if verb == method and (found := pattern.fullmatch(raw_path)):
            return route, found.groups()
    if methods := allowed(raw_path):
        raise Refusal(RefusalCode.METHOD_NOT_ALLOWED, f"this route takes {', '.join(methods)}")
    raise Refusal(RefusalCode.NOT_FOUND, "no such route")


def allowed(raw_path: str) -> list[str]:
    """The methods that a path takes."""
    return [verb for _, verb, pattern in _ROUTES if pattern.fullmatch(raw_path)]


def body_length(headers: Mapping[str, str], limit: int) -> int:
    """The declared length of a body. Raises Refusal: length_required, malformed, too_large."""
    if headers.get("Transfer-Encoding") is not None or (text := headers.get("Content-Length")) is None:
        raise Refusal(RefusalCode.LENGTH_REQUIRED, "a Content-Length is required")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise Refusal(RefusalCode.MALFORMED, "bodies have no Content-Encoding")
    length = parse_number(text, "Content-Length", 1 << 63)
    if length > limit:
        raise Refusal(RefusalCode.TOO_LARGE, f"{length} bytes are more than the {limit} allowed here")
    return length


_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


def byte_range(header: str | None, size: int) -> tuple[int, int]:
    """(offset, length) of a Range header: one range with a start. None means all. Raises Refusal(bad_range)."""
    if header is None:
        return 0, size
    found = _RANGE.fullmatch(header) if header.isascii() else None
    if found is None:
        raise Refusal(RefusalCode.BAD_RANGE, "only one range, as in bytes=0-65535, is understood")
    first = int(found[1])
    last = int(found[2]) if found[2] else size - 1
    if not first <= last < size:
        raise Refusal(RefusalCode.BAD_RANGE, f"the range lies outside the object's {size} bytes")
    return first, last - first + 1


@dataclass(frozen=True, slots=True)
class ObjectQuery:
    kind: ObjectKind
    repository: int
    number: int


_KINDS = {"shard": ObjectKind.SHARD, "head": ObjectKind.HEAD}
KIND_NAMES = {kind: name for name, kind in _KINDS.items()}


def object_query(query: Mapping[str, str]) -> ObjectQuery:
    """kind, and for heads repository and number. Raises Refusal(malformed)."""
    kind = _KINDS.get(query.get("kind", "shard"))
    if kind is None:
        raise Refusal(RefusalCode.MALFORMED, "kind is shard or head")
    only(query, {"kind", "repository", "number"} if kind == ObjectKind.HEAD else {"kind"})
    return ObjectQuery(kind, number_of(query, "repository", 0, 1 << 32), number_of(query, "number", 0, 1 << 63))


def number_of(query: Mapping[str, str], name: str, default: int, below: int) -> int:
    return parse_number(query[name], name, below) if name in query else default


def only(query: Mapping[str, str], known: set[str]) -> None:
    """Raises Refusal(malformed) if the query has other or repeated names."""
    if len(query) != len(set(query)) or not set(query) <= known:
        raise Refusal(RefusalCode.MALFORMED, f"the query may have only: {', '.join(sorted(known)) or 'nothing'}, once")
