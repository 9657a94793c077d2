"""Requests drawn from the peer interface's OpenAPI document, right and wrong, against a listener over mutual TLS.

Every answer must be one that the document allows, with the body that it says; nothing may be the node's own failure.
scripts/conformance runs it beside schemathesis (exploring.py): its requests mix right and wrong
values, and known ids with others.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from tests.fakes import Network

from peerage.net import openapi
from peerage.wire import messages
from peerage.wire.refusals import RefusalCode

ODD = (None, True, -1, 1 << 64, 1.5, "", "\x00", "ä" * 70, [], {}, [[]], "ab" * 32, "0" * 5000)
WRONG = 0.3
"""How often a value is replaced by another that need not fit."""


@dataclass
class Tally:
    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class Draw:
    """Values of a JSON schema, by a seeded generator; with `wrong`, some parts are not as the schema wants."""

    def __init__(self, random_: random.Random, document: dict[str, Any]) -> None:
        self._random = random_
        self._schemas = document["components"]["schemas"]

    def value(self, schema: dict[str, Any], wrong: float = 0.0) -> Any:
        if self._random.random() < wrong:
            return self._random.choice(ODD)
        if "$ref" in schema:
            return self.value(self._schemas[schema["$ref"].rsplit("/", 1)[1]], wrong)
        if "anyOf" in schema:
            return self.value(self._random.choice(schema["anyOf"]), wrong)
        if "enum" in schema:
            return self._random.choice(schema["enum"])
        if schema["type"] == "object":
            found = {name: self.value(part, wrong / 8) for name, part in schema["properties"].items()}
            if self._random.random() < wrong:
                found.pop(self._random.choice(list(found)))
            return found | ({"more": 1} if self._random.random() < wrong / 4 else {})
        if schema["type"] == "array":
            return [self.value(schema["items"], wrong / 8) for _ in range(self._random.randrange(4))]
        if schema["type"] == "string":
            return "".join(self._random.choices("0123456789abcdef", k=min(schema["maxLength"], 130)))
        if schema["type"] == "integer":
            top = schema.get("maximum", schema.get("exclusiveMaximum", 1) - 1)
            return self._random.choice((schema["minimum"], top, self._random.randrange(top + 1)))
        return None


async def conform(directory: Path, requests: int, seed: int) -> Tally:
    network = Network(directory)
    tally, document = Tally(), openapi.document()
    random_ = random.Random(seed)
    draw = Draw(random_, document)
    operations = [
        (method, path, found) for path, methods in document["paths"].items() for method, found in methods.items()
    ]
    try:
        provider, client = await network.add(), await network.add(listen=False)
        agreement = network.agree(client, provider)
        context = client.identity.client_context(provider.identity.certificate)
        async with aiohttp.ClientSession(f"https://127.0.0.1:{provider.port}") as session:
            for number in range(requests):
                method, path, found = operations[number % len(operations)]
                wrong = random_.choice((0.0, WRONG))
                headers, query = {}, {}
                for parameter in found["parameters"]:
                    value = str(draw.value(parameter["schema"], wrong))
                    if parameter["in"] == "path":
                        known = agreement.hex() if parameter["name"] == "agreement" else value
                        path = path.replace(f"{{{parameter['name']}}}", random_.choice((known, value)).replace("/", ""))
                    elif parameter["in"] == "query" and random_.random() < 0.7:
                        query[parameter["name"]] = value
                    elif parameter["in"] == "header":
                        text = "bytes=0-9" if parameter["name"] == "Range" else value
                        headers[parameter["name"]] = "".join(c for c in text if c.isascii() and c.isprintable())[:900]
                await _ask(session, context, method, path, found, draw, wrong, headers, query, tally)
                await asyncio.sleep(0.005)  # within the 200 requests a second of one member
    finally:
        await network.close()
    return tally


async def _ask(
    session: aiohttp.ClientSession,
    context: Any,
    method: str,
    path: str,
    found: dict[str, Any],
    draw: Draw,
    wrong: float,
    headers: dict[str, str],
    query: dict[str, str],
    tally: Tally,
) -> None:
    content = found.get("requestBody", {}).get("content", {})
    data = None
    if "application/json" in content:
        data = json.dumps(draw.value(content["application/json"]["schema"], wrong)).encode()
    elif content:
        data = bytes(1024)
    tally.requests += 1
    try:
        async with session.request(method, path, params=query, data=data, headers=headers, ssl=context) as answer:
            body = await answer.read()
            status = answer.status
    except (aiohttp.ClientError, OSError) as error:
        tally.failures.append(f"{method} {path[:80]}: {error!r}")
        return
    tally.statuses[status] += 1
    complaint = _complaint(found, status, body)
    if complaint:
        tally.failures.append(f"{method} {path[:80]} {str(query)[:200]} {status}: {complaint} {body[:200]!r}")


def _complaint(found: dict[str, Any], status: int, body: bytes) -> str:
    if str(status) not in found["responses"]:
        return "an undocumented status"
    content = found["responses"][str(status)]["content"].get("application/json")
    if content is None or "$ref" not in content["schema"]:
        return ""
    try:
        answer = messages.decode(getattr(messages, content["schema"]["$ref"].rsplit("/", 1)[1]), body)
    except messages.Refusal as error:
        return str(error)
    if isinstance(answer, messages.ErrorBody) and answer.code not in {code.value for code in RefusalCode}:
        return "an unknown code"
    return "the node's own failure" if status == 500 else ""
