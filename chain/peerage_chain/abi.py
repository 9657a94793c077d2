"""The compiled contracts as Python sees them: encoding calls, decoding results, events and custom errors.

An artifact is a JSON file beside this module, {"abi": …, "bytecode": "0x…"}, made from contracts/src. Tuples decode to
dictionaries by the names that the contracts give their fields, so that a reordered struct cannot be misread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_hash.auto import keccak

from peerage_chain.errors import ContractsMissing, Reverted
from peerage_chain.typed import checksum_address

CONTRACTS = (
    "Directory", "Council", "Credit", "Members", "Beacon", "Agreements", "Amendments", "Proofs", "Clearing", "Anchors",
    "Demands", "Quality",
)  # fmt: skip

ERROR_SELECTOR = keccak(b"Error(string)")[:4]
PANIC_SELECTOR = keccak(b"Panic(uint256)")[:4]


def _type_of(item: Mapping[str, Any]) -> str:
    kind: str = item["type"]
    if kind.startswith("tuple"):
        return f"({','.join(_type_of(c) for c in item['components'])}){kind[5:]}"
    return kind


def _named(item: Mapping[str, Any], value: Any, depth: int = 0) -> Any:
    """A decoded value with tuples as dictionaries and addresses checksummed."""
    kind: str = item["type"]
    if kind.count("[") > depth:
        return tuple(_named(item, part, depth + 1) for part in value)
    if kind.startswith("tuple"):
        return {c["name"]: _named(c, part) for c, part in zip(item["components"], value, strict=True)}
    if kind.startswith("address"):
        return checksum_address(bytes.fromhex(value[2:]))
    return value


@dataclass(frozen=True)
class Method:
    """One function of a contract."""

    name: str
    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...]

    @cached_property
    def input_types(self) -> tuple[str, ...]:
        return tuple(_type_of(i) for i in self.inputs)

    @cached_property
    def output_types(self) -> tuple[str, ...]:
        return tuple(_type_of(o) for o in self.outputs)

    @cached_property
    def selector(self) -> bytes:
        return keccak(f"{self.name}({','.join(self.input_types)})".encode())[:4]

    def encode(self, *arguments: Any) -> bytes:
        """Calldata. Raises ValueError for arguments that do not fit their types."""
        try:
            return self.selector + encode(self.input_types, arguments)
        except (EncodingError, TypeError) as error:
            raise ValueError(f"{self.name}: an argument does not fit its type") from error

    def decode(self, data: bytes) -> Any:
        """The result: the value alone if there is one, else a tuple. Raises ContractsMissing if it does not fit."""
        try:
            values = decode(self.output_types, data)
        except (DecodingError, OverflowError, ValueError) as error:
            raise ContractsMissing(
                f"the contract's answer to {self.name} does not fit: another version of the contracts is deployed"
            ) from error
        named = tuple(_named(o, v) for o, v in zip(self.outputs, values, strict=True))
        return named[0] if len(named) == 1 else named


@dataclass(frozen=True)
class Event:
    """One event of a contract."""

    name: str
    inputs: tuple[Mapping[str, Any], ...]

    @cached_property
    def topic(self) -> bytes:
        return keccak(f"{self.name}({','.join(_type_of(i) for i in self.inputs)})".encode())

    @cached_property
    def _indexed(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(i for i in self.inputs if i["indexed"])

    @cached_property
    def _plain(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(i for i in self.inputs if not i["indexed"])

    @cached_property
    def _indexed_types(self) -> tuple[str, ...]:
        return tuple(_type_of(i) for i in self._indexed)

    @cached_property
    def _plain_types(self) -> tuple[str, ...]:
        return tuple(_type_of(i) for i in self._plain)

    def decode(self, topics: list[bytes], data: bytes) -> dict[str, Any]:
        """The fields by name. topics: all of the log's, the event's own first."""
        found: dict[str, Any] = {}
        # All indexed fields of ours are single words, so the topics decode together as they stand.
        for item, value in zip(self._indexed, decode(self._indexed_types, b"".join(topics[1:])), strict=True):
            found[item["name"]] = _named(item, value)
        for item, value in zip(self._plain, decode(self._plain_types, data), strict=True):
            found[item["name"]] = _named(item, value)
        return found


@dataclass(frozen=True)
class Artifact:
    """One compiled contract."""

    name: str
    abi: tuple[Mapping[str, Any], ...]
    bytecode: bytes

    @cached_property
    def methods(self) -> dict[str, Method]:
        """Functions by name; of overloaded ones, the last (our contracts overload none)."""
        return {
            i["name"]: Method(i["name"], tuple(i["inputs"]), tuple(i["outputs"]))
            for i in self.abi
            if i["type"] == "function"
        }

    @cached_property
    def events(self) -> dict[str, Event]:
        return {i["name"]: Event(i["name"], tuple(i["inputs"])) for i in self.abi if i["type"] == "event"}

    @cached_property
    def errors(self) -> dict[bytes, Method]:
        """Custom errors by selector."""
        made = (Method(i["name"], tuple(i["inputs"]), tuple(i["inputs"])) for i in self.abi if i["type"] == "error")
        return {error.selector: error for error in made}

    def creation(self, *arguments: Any) -> bytes:
        """The code that deploys it with these constructor arguments."""
        constructor = next((i for i in self.abi if i["type"] == "constructor"), None)
        types = tuple(_type_of(i) for i in constructor["inputs"]) if constructor else ()
        try:
            return self.bytecode + encode(types, arguments)
        except (EncodingError, TypeError) as error:
            raise ValueError(f"{self.name}: a constructor argument does not fit its type") from error


@cache
def artifact(name: str) -> Artifact:
    """The compiled contract of that name. Raises ContractsMissing if it was not compiled into this installation."""
    try:
        raw = json.loads(files("peerage_chain").joinpath("artifacts", f"{name}.json").read_text())
    except (FileNotFoundError, ModuleNotFoundError) as error:
        raise ContractsMissing(
            f"the compiled contract {name} is not in this installation: run scripts/install"
        ) from error
    code = raw["bytecode"]
    if isinstance(code, dict):
        code = code["object"]
    return Artifact(name, tuple(raw["abi"]), bytes.fromhex(code.removeprefix("0x")))


@cache
def _all_errors() -> dict[bytes, Method]:
    return {selector: error for name in CONTRACTS for selector, error in artifact(name).errors.items()}


def decode_revert(data: bytes, message: str = "") -> Reverted:
    """What a contract's refusal means: its custom error with named arguments, or the best that can be said."""
    selector, rest = data[:4], data[4:]
    try:
        if selector == ERROR_SELECTOR:
            return Reverted("Error", {"reason": decode(("string",), rest)[0]})
        if selector == PANIC_SELECTOR:
            return Reverted("Panic", {"code": decode(("uint256",), rest)[0]})
        error = _all_errors().get(selector)
        if error is not None:
            values = decode(error.input_types, rest)
            return Reverted(
                error.name,
                {i["name"] or str(n): _named(i, v) for n, (i, v) in enumerate(zip(error.inputs, values, strict=True))},
            )
    except (DecodingError, OverflowError, ValueError):
        pass
    if data:
        return Reverted("", {"data": data[:68]})
    return Reverted("", {"reason": message} if message else None)
