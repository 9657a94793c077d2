"""The owner's policy: what this node gives to others, and what it takes from them, without asking anybody.

Kept as TOML with two tables, [give] and [take]. Amounts are micro-credits (10^-6 credit), sizes bytes, times epochs.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from peerage.deal.hours import Spans, parse_spans, slowest
from peerage.deal.sizes import parse_size
from peerage.errors import UserError
from peerage.model import MIB, Code
from peerage.model.calendar import zone_named
from peerage_chain.types import GIB, Offer

AGREEMENT_MIN_BYTES = MIB
"""The contracts open no smaller agreement."""

U32 = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
U63 = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
Epochs = Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]
Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
# \Z, not $: before a newline at the end $ would do, and the policy could not be read again.
Jurisdiction = Annotated[str, msgspec.Meta(pattern=r"^([A-Z]{2}|EEA)\Z")]
EntityHash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
ZoneName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_+/-]{0,64}\Z")]
CodeName = Annotated[str, msgspec.Meta(pattern=r"^(auto|[1-9][0-9]?\+[1-9][0-9]?)\Z")]


class Give(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What this node offers as provider.

    max_bytes_per_member: over all agreements of one client; 0 means no limit. collateral_per_gib: the most this node
    puts up. min_retention_epochs: the longest retention it promises. barter_percent: it gives at most so much of what
    its member has under agreements with others, and barter_start_bytes beside it; 0 means no such limit.
    max_withheld_percent: how much of an epoch's pay a client may withhold when what drawn members measured lies below
    the terms' bandwidth. scrub_kib_s: how fast it reads what it stores, again and again, to see whether it is sound; 0
    for not at all. hours: how fast it serves others by the hour, in time_zone (as in Europe/Paris; "": the machine's).
    """

    capacity_bytes: U63 = 100 * GIB
    price_per_gib_epoch: U63 = 1_000
    egress_price_per_gib: U63 = 0
    collateral_per_gib: U63 = 100_000
    bandwidth_kib_s: U32 = 1_024
    max_bytes_per_member: U63 = 0
    max_term_epochs: Epochs = 8_760
    min_retention_epochs: U32 = 168
    max_withheld_percent: Percent = 50
    scrub_kib_s: U32 = 4_096
    barter_percent: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    barter_start_bytes: U63 = GIB
    time_zone: ZoneName = ""
    hours: Spans = ()

    def __post_init__(self) -> None:
        zone_named(self.time_zone)

    @property
    def lasting_kib_s(self) -> int:
        """What is promised: the bandwidth that is there at any hour."""
        lowest = slowest(self.hours)
        return self.bandwidth_kib_s if lowest is None else min(self.bandwidth_kib_s, lowest)


class Take(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What this node asks for as client.

    jurisdictions: ISO 3166 codes, or EU, EEA (deal/jurisdictions.py); legal_entities: the hashes that members show on
    chain. An empty allow list allows all that are not denied. min_quality_percent: as measured (node/spec/quality.md),
    100 for the usual speed always reached; who is not measured yet passes. term_epochs: the term it asks for; providers
    may offer less. code: k+m of new stripes, as in "4+2"; "auto" takes the largest that the network carries
    (node/spec/placement.md).
    repair_after_epochs: missed proofs in a row after which shards at a provider that cannot be reached count as lost.
    repair_kib_s: how fast repair reads and writes at most, together; 0: as fast as it can.
    replace_after_epochs: epochs in a row in which a provider's measured quality or bandwidth may be below the policy's
    floor, before what it holds is moved to others.
    demand_after_epochs: epochs for which a provider that proves may serve nothing, before leaves are demanded on chain.
    renew_epochs: an agreement is renewed when it has so many left, or half a term if that is less; when half of that
    has passed in vain, what it holds is moved elsewhere.
    switch_percent: an agreement is not renewed if a member without one is cheaper by so much and no slower, or better
    by so much and no dearer: that one signs in its place; 0: never.
    withheld_percent: of an epoch's pay, when what drawn members measured lies below min_bandwidth_kib_s; 0: terms ask
    for no quality.
    """

    max_price_per_gib_epoch: U63 = 10_000
    max_egress_price_per_gib: U63 = 10_000
    jurisdictions_allow: tuple[Jurisdiction, ...] = ()
    jurisdictions_deny: tuple[Jurisdiction, ...] = ()
    legal_entities_allow: tuple[EntityHash, ...] = ()
    legal_entities_deny: tuple[EntityHash, ...] = ()
    min_quality_percent: Percent = 0
    min_collateral_per_gib: U63 = 0
    min_bandwidth_kib_s: U32 = 0
    min_agreement_bytes: Annotated[int, msgspec.Meta(ge=AGREEMENT_MIN_BYTES, lt=1 << 62)] = GIB
    term_epochs: Epochs = 8_760
    min_term_epochs: Epochs = 24
    retention_epochs: U32 = 168
    renew_epochs: Epochs = 168
    switch_percent: Percent = 30
    repair_after_epochs: Epochs = 3
    repair_kib_s: U32 = 0
    replace_after_epochs: Epochs = 24
    demand_after_epochs: Epochs = 6
    code: CodeName = "auto"
    withheld_percent: Percent = 0

    def __post_init__(self) -> None:
        self.wanted_code()

    def wanted_code(self) -> Code | None:
        """None: by the size of the network. Raises ValueError for a code that there is not."""
        return None if self.code == "auto" else Code.parse(self.code)


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    give: Give = Give()
    take: Take = Take()

    @classmethod
    def parse(cls, text: str) -> Policy:
        """From TOML; what is left out has its default. Raises UserError naming the key that is wrong."""
        try:
            return msgspec.convert(tomllib.loads(text), cls)
        except msgspec.ValidationError as error:
            raise UserError(f"the policy is wrong{_line_of(text, str(error))}: {error}") from error
        except (ValueError, RecursionError) as error:  # TOMLDecodeError; a number of 5,000 digits, 1,000 brackets
            raise UserError(f"the policy is not TOML: {error}") from error

    def dump(self) -> str:
        """As TOML that parse() reads back."""
        lines = []
        for table, values in self.show().items():
            lines.append(f"[{table}]")
            lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
            lines.append("")
        return "\n".join(lines)

    def show(self) -> dict[str, dict[str, Any]]:
        """As plain values, for JSON and for the command line."""
        return {
            "give": msgspec.to_builtins(self.give, builtin_types=(tuple,)),
            "take": msgspec.to_builtins(self.take, builtin_types=(tuple,)),
        }

    def set(self, key: str, value: str) -> Policy:
        """A policy with one value changed, from text. Raises UserError for an unknown key or a value that does not fit.

        key: as in "give.capacity_bytes". value: a number; a size as in 2TB for bytes; a comma-separated list; for hours
        see parse_spans.
        """
        table, _, name = key.partition(".")
        if key not in KEYS:
            raise UserError(f"no policy key {key[:60]!r}; the keys are: {', '.join(KEYS)}")
        plain = self.show()
        try:
            plain[table][name] = _READERS.get(key, _reader_for(name))(value)
            return msgspec.convert(plain, Policy)
        except (ValueError, msgspec.ValidationError) as error:
            raise UserError(f"policy {key}: {_reason(error)}") from error


KEYS: tuple[str, ...] = tuple(
    f"{table}.{name}" for table, kind in (("give", Give), ("take", Take)) for name in kind.__struct_fields__
)
"""Every key that `policy set` takes."""


def offer_of(policy: Policy) -> Offer:
    """What this node publishes on chain."""
    give = policy.give
    return Offer(
        capacity=give.capacity_bytes if give.capacity_bytes >= AGREEMENT_MIN_BYTES else 0,
        price_per_gib_epoch=give.price_per_gib_epoch,
        egress_price_per_gib=give.egress_price_per_gib,
        collateral_per_gib=give.collateral_per_gib,
        bandwidth_kib_s=give.lasting_kib_s,
        min_retention_epochs=give.min_retention_epochs,
        term_epochs=give.max_term_epochs,
    )


def _integer(text: str) -> int:
    try:
        return int(text.replace("_", ""))
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a whole number") from None


def _list(text: str) -> tuple[str, ...]:
    return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)


def _jurisdictions(text: str) -> tuple[str, ...]:
    return tuple(code.upper() for code in _list(text))


def _entities(text: str) -> tuple[str, ...]:
    return tuple(entity.lower().removeprefix("0x") for entity in _list(text))


_READERS: dict[str, Callable[[str], Any]] = {
    "take.jurisdictions_allow": _jurisdictions,
    "take.jurisdictions_deny": _jurisdictions,
    "take.legal_entities_allow": _entities,
    "take.legal_entities_deny": _entities,
    "give.max_bytes_per_member": parse_size,
    "take.code": str.strip,
    "give.time_zone": str.strip,
    "give.hours": parse_spans,
}


def _reader_for(name: str) -> Callable[[str], Any]:
    return parse_size if name.endswith("_bytes") else _integer


def _line_of(text: str, message: str) -> str:
    """Where the key stands that a message is about, as " at line 3"; "" if it cannot be told."""
    path = re.search(r"\$\.(give|take)(?:\.([a-z_]+))?", message)
    unknown = re.search(r"unknown field `([^`]+)`", message)
    table = path[1] if path else ""
    key = unknown[1] if unknown else path[2] if path else None
    if key is None:
        return ""
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([A-Za-z_-]+)\s*\]", line):
            current = header[1]
            if not table and current == key:
                return f" at line {number}"
        elif current == table and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return f" at line {number}"
    return ""


def _reason(error: Exception) -> str:
    text = str(error)
    return text.split(" - at ")[0] if isinstance(error, msgspec.ValidationError) else text


def _toml(value: Any) -> str:
    # Strings are codes, hex digits, times and zones (checked), so none ever needs escaping.
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
