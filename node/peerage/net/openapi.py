"""The peer interface as an OpenAPI 3.1 document, made from the message types themselves, so that it cannot drift.

In words: node/spec/wire.md. It is node/spec/openapi-peer.json, and what a node answers to GET /v1/openapi.json.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

import msgspec

from peerage.net.requests import Route
from peerage.wire import limits, messages, version
from peerage.wire.refusals import STATUS

HEX32 = {"type": "string", "pattern": "^[0-9a-f]{64}$", "minLength": 64, "maxLength": 64}
_BYTES = {"type": "string", "format": "binary", "maxLength": limits.OBJECT_MAX_BYTES}
_REF = "#/components/schemas/{name}"


class _Query(NamedTuple):
    name: str
    schema: dict[str, Any]


class _Operation(NamedTuple):
    """body, answer: message types; None: no body, or an object's bytes."""

    summary: str
    path: str
    answer: type[msgspec.Struct] | None
    body: type[msgspec.Struct] | None = None
    query: tuple[_Query, ...] = ()
    sends_object: bool = False
    document: bool = False


def _below(bound: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0, "maximum": bound - 1}


_OBJECT = "/v1/agreements/{agreement}/objects/{root}"
_OPERATIONS: dict[Route, _Operation] = {
    Route.HELLO: _Operation("Who answers, and what it speaks", "/v1/hello", messages.Hello),
    Route.OPENAPI: _Operation("This document", "/v1/openapi.json", None, document=True),
    Route.PROPOSE: _Operation(
        "Propose terms; accepted or countered once", "/v1/proposals", messages.ProposalAnswer, messages.Proposal
    ),
    Route.PUT_OBJECT: _Operation(
        "Store an object; a receipt once it is durable",
        _OBJECT,
        messages.ReceiptBody,
        query=(
            _Query("kind", {"type": "string", "enum": ["shard", "head"]}),
            _Query("repository", _below(1 << 32)),
            _Query("number", _below(1 << 63)),
        ),
        sends_object=True,
    ),
    Route.DROP_OBJECT: _Operation("Remove what was announced on chain", _OBJECT, messages.Dropped),
    Route.LIST_OBJECTS: _Operation(
        "The agreement's objects, in tree order",
        "/v1/agreements/{agreement}/objects",
        messages.ObjectPage,
        query=(_Query("start", _below(1 << 63)), _Query("count", _below(limits.PAGE_MAX + 1))),
    ),
    Route.COSIGN: _Operation(
        "Sign a revision", "/v1/agreements/{agreement}/revisions", messages.CosignAnswer, messages.CosignRequest
    ),
    Route.AMEND: _Operation(
        "Sign an amendment",
        "/v1/agreements/{agreement}/amendments",
        messages.AmendmentAnswer,
        messages.AmendmentProposal,
    ),
    Route.GET_OBJECT: _Operation("An object's bytes, or one range of them", "/v1/objects/{root}", None),
    Route.LIST_HEADS: _Operation(
        "Heads, newest first", "/v1/heads", messages.HeadList, query=(_Query("repository", _below(1 << 32)),)
    ),
}


@cache
def document() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    kinds = {operation.answer for operation in _OPERATIONS.values()}
    kinds |= {operation.body for operation in _OPERATIONS.values()} | {messages.ErrorBody}
    named = sorted((kind for kind in kinds if kind is not None), key=lambda kind: kind.__name__)
    for route, operation in _OPERATIONS.items():
        paths.setdefault(operation.path, {})[route.value[0].lower()] = _described(route, operation)
    _, schemas = msgspec.json.schema_components(named, ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Peerage peer interface", "version": str(version.CURRENT)},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"node": {"type": "mutualTLS", "description": "A node's certificate on chain"}},
        },
        "security": [{"node": []}],
    }


def _described(route: Route, operation: _Operation) -> dict[str, Any]:
    header = {
        "name": version.HEADER,
        "in": "header",
        "required": True,
        "schema": {"type": "string", "enum": [str(number) for number in version.KNOWN]},
    }
    parameters: list[dict[str, Any]] = [header]
    for name in re.findall(r"\{(\w+)\}", operation.path):
        parameters.append({"name": name, "in": "path", "required": True, "schema": HEX32})
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in operation.query]
    ok = {"application/json": {"schema": {"type": "object"} if operation.document else _ref(operation.answer)}}
    answers: dict[str, Any] = {"200": {"description": operation.summary, "content": ok}}
    if operation.answer is None and not operation.document:
        span = {"type": "string", "pattern": r"^bytes=\d{1,18}-\d{0,18}$", "maxLength": 43}
        parameters.append({"name": "Range", "in": "header", "schema": span})
        binary = {"application/octet-stream": {"schema": _BYTES}}
        answers = {code: {"description": operation.summary, "content": binary} for code in ("200", "206")}
    refused = {"application/json": {"schema": _ref(messages.ErrorBody)}}
    for status in sorted(set(STATUS.values())):
        codes = ", ".join(code.value for code, given in STATUS.items() if given == status)
        answers[str(status)] = {"description": codes, "content": refused}
        if status in (429, 503):
            answers[str(status)]["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 0}}}
        if status == 405:
            answers[str(status)]["headers"] = {"Allow": {"schema": {"type": "string", "maxLength": 100}}}
        if status == 400:
            offer = {"type": "string", "maxLength": 100, "description": "with unknown_version: what the node speaks"}
            answers[str(status)]["headers"] = {version.OFFER_HEADER: {"schema": offer}}
    described: dict[str, Any] = {
        "operationId": route.name.lower(),
        "summary": operation.summary,
        "parameters": parameters,
        "responses": answers,
    }
    if operation.body is not None:
        content: dict[str, Any] = {"application/json": {"schema": _ref(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    elif operation.sends_object:
        described["requestBody"] = {"required": True, "content": {"application/octet-stream": {"schema": _BYTES}}}
    return described


def _ref(kind: type[msgspec.Struct] | None) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)} if kind is not None else {}
