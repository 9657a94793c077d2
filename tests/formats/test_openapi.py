"""Both interfaces are as their OpenAPI documents say, and the documents are as committed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.fakes import Network
from tests.formats.make_openapi import DOCUMENTS, SPEC, text

from peerage.daemon import openapi as owner
from peerage.net import openapi as peer
from peerage.net.requests import Route, match
from peerage.wire.messages import parse_id

METHODS = {"get", "put", "post", "delete"}
DAEMON = Path(owner.__file__).parent


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, found in document["paths"].items():
        for method in METHODS & set(found):
            yield method.upper(), path, found[method]


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_the_committed_document_is_the_one_that_the_code_makes(name: str) -> None:
    committed = (SPEC / name).read_text(encoding="utf-8")
    assert committed == text(DOCUMENTS[name]()), "run python -m tests.formats.make_openapi"


def test_every_route_of_the_peer_is_documented_and_every_operation_is_a_route() -> None:
    matched = set()
    for method, path, operation in operations(peer.document()):
        route, ids = match(method, re.sub(r"\{\w+\}", "ab" * 32, path))
        assert operation["operationId"] == route.name.lower()
        assert len([parse_id(id_, "id") for id_ in ids]) == path.count("{")
        matched.add(route)
    assert matched == set(Route)


def test_every_verb_of_the_owner_is_documented_and_every_operation_is_a_verb() -> None:
    source = (DAEMON / "verbs.py").read_text(encoding="utf-8")
    assert set(re.findall(r'^            "([a-z.]+)": self\.', source, re.MULTILINE)) == {
        *owner.VERBS,
        *owner.DATA_VERBS,
    }
    assert set(re.findall(r'return \{"(\w+)": self\._backing\.\w+_stream\}', source)) == set(owner.STREAM_VERBS)
    documented = {path for _, path, _ in operations(owner.document())} - {"/openapi.json"}
    tables = (("/v1/", owner.VERBS), ("/v1/data/", owner.DATA_VERBS), ("/v1/stream/", owner.STREAM_VERBS))
    assert documented == {prefix + verb for prefix, table in tables for verb in table}


def test_every_parameter_that_a_verb_reads_is_documented() -> None:
    read = r'\b(?:string|text|flag|strings|integers|number|integer|_count)\(params, "(\w+)"'
    used = {name for path in DAEMON.glob("*.py") for name in re.findall(read, path.read_text(encoding="utf-8"))}
    tables = (owner.VERBS, owner.DATA_VERBS, owner.STREAM_VERBS)
    documented = {part.split(":")[0].rstrip("*") for table in tables for row in table.values() for part in row.split()}
    assert len(used) > 20
    assert used - documented == set()


def unbounded(schema: Any, at: str) -> Iterator[str]:
    if isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from unbounded(part, f"{at}[{number}]")
    if not isinstance(schema, dict):
        return
    kind = schema.get("type")
    if kind == "string" and "maxLength" not in schema:
        yield at
    if kind == "integer" and not {"maximum", "exclusiveMaximum"} & set(schema):
        yield at
    if kind == "array" and "maxItems" not in schema:
        yield at
    for name, part in schema.items():
        yield from unbounded(part, f"{at}.{name}")


def test_every_message_between_nodes_has_bounds() -> None:
    assert list(unbounded(peer.document()["components"]["schemas"], "")) == []
    for path, found in owner.document()["paths"].items():
        for body in (operation.get("requestBody", {}) for operation in found.values()):
            json_body = body.get("content", {}).get("application/json", {})
            assert list(unbounded(json_body, path)) == []


async def test_both_are_served(network: Network) -> None:
    provider, client = await network.add(), await network.add(listen=False)
    context = client.identity.client_context(provider.identity.certificate)
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"https://127.0.0.1:{provider.port}/v1/openapi.json",
            ssl=context,
            headers={"peerage-protocol": "1"},
        ) as answer,
    ):
        assert json.loads(await answer.read()) == peer.document()
