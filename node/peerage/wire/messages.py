"""The peer protocol's JSON messages. Normative: node/spec/wire.md.

Byte strings are lower-case hexadecimal without a prefix, of the exact length; numbers are JSON integers within the
range of their Solidity type. Unknown fields are refused: a new field is a new protocol version.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from peerage.model import AgreementId, Epoch, MemberId, Receipt, ShardRoot
from peerage.wire.limits import APPENDED_MAX, HEADS_MAX, PAGE_MAX
from peerage.wire.refusals import Refusal, RefusalCode
from peerage_chain.types import Amendment, Revision, Terms

Hex32 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", min_length=64, max_length=64)]
Hex65 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{130}$", min_length=130, max_length=130)]
U16 = Annotated[int, msgspec.Meta(ge=0, lt=1 << 16)]
U32 = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
MAX_U64 = (1 << 64) - 1
# msgspec's own bounds are i64: the upper one stands in the schema, and is checked in _u64.
U64 = Annotated[int, msgspec.Meta(ge=0, extra_json_schema={"maximum": MAX_U64})]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all messages."""


class TermsBody(Message, frozen=True):
    """peerage_chain.types.Terms, field by field."""

    version: U16
    client: U32
    provider: U32
    capacity: U64
    price_per_gib_epoch: U64
    egress_price_per_gib: U64
    collateral: U64
    min_bandwidth_kib_s: U32
    min_retention_epochs: U32
    start_epoch: U32
    end_epoch: U32
    open_by: U32
    salt: Hex32
    renews: Hex32
    quality_clause: Hex32
    extension: Hex32

    @classmethod
    def of(cls, terms: Terms) -> TermsBody:
        return cls(
            version=terms.version,
            client=terms.client,
            provider=terms.provider,
            capacity=terms.capacity,
            price_per_gib_epoch=terms.price_per_gib_epoch,
            egress_price_per_gib=terms.egress_price_per_gib,
            collateral=terms.collateral,
            min_bandwidth_kib_s=terms.min_bandwidth_kib_s,
            min_retention_epochs=terms.min_retention_epochs,
            start_epoch=terms.start_epoch,
            end_epoch=terms.end_epoch,
            open_by=terms.open_by,
            salt=terms.salt.hex(),
            renews=terms.renews.hex(),
            quality_clause=terms.quality_clause.hex(),
            extension=terms.extension.hex(),
        )

    def terms(self) -> Terms:
        return Terms(
            client=MemberId(self.client),
            provider=MemberId(self.provider),
            capacity=_u64("capacity", self.capacity),
            price_per_gib_epoch=_u64("price_per_gib_epoch", self.price_per_gib_epoch),
            egress_price_per_gib=_u64("egress_price_per_gib", self.egress_price_per_gib),
            collateral=_u64("collateral", self.collateral),
            min_bandwidth_kib_s=self.min_bandwidth_kib_s,
            min_retention_epochs=self.min_retention_epochs,
            start_epoch=Epoch(self.start_epoch),
            end_epoch=Epoch(self.end_epoch),
            open_by=Epoch(self.open_by),
            salt=bytes.fromhex(self.salt),
            renews=bytes.fromhex(self.renews),
            quality_clause=bytes.fromhex(self.quality_clause),
            extension=bytes.fromhex(self.extension),
            version=self.version,
        )


class Proposal(Message, frozen=True):
    """POST /v1/proposals."""

    terms: TermsBody


class ProposalAnswer(Message, frozen=True):
    """Accepted: the proposed terms and the provider's signature. Countered: other terms, no signature."""

    terms: TermsBody
    signature: Hex65 | None
    reason: Annotated[str, msgspec.Meta(max_length=500)]


class AmendmentBody(Message, frozen=True):
    """peerage_chain.types.Amendment, field by field."""

    version: U16
    agreement: Hex32
    number: U32
    capacity: U64
    price_per_gib_epoch: U64
    egress_price_per_gib: U64
    collateral: U64
    min_retention_epochs: U32
    end_epoch: U32
    expires: U32
    extension: Hex32

    @classmethod
    def of(cls, amendment: Amendment) -> AmendmentBody:
        return cls(
            version=amendment.version,
            agreement=amendment.agreement.hex(),
            number=amendment.number,
            capacity=amendment.capacity,
            price_per_gib_epoch=amendment.price_per_gib_epoch,
            egress_price_per_gib=amendment.egress_price_per_gib,
            collateral=amendment.collateral,
            min_retention_epochs=amendment.min_retention_epochs,
            end_epoch=amendment.end_epoch,
            expires=amendment.expires,
            extension=amendment.extension.hex(),
        )

    def amendment(self) -> Amendment:
        return Amendment(
            agreement=AgreementId(bytes.fromhex(self.agreement)),
            number=self.number,
            capacity=_u64("capacity", self.capacity),
            price_per_gib_epoch=_u64("price_per_gib_epoch", self.price_per_gib_epoch),
            egress_price_per_gib=_u64("egress_price_per_gib", self.egress_price_per_gib),
            collateral=_u64("collateral", self.collateral),
            min_retention_epochs=self.min_retention_epochs,
            end_epoch=Epoch(self.end_epoch),
            expires=Epoch(self.expires),
            extension=bytes.fromhex(self.extension),
            version=self.version,
        )


class AmendmentProposal(Message, frozen=True):
    """POST /v1/agreements/{id}/amendments."""

    amendment: AmendmentBody


class AmendmentAnswer(Message, frozen=True):
    """Accepted: the proposed amendment and the provider's signature. Countered: another one, no signature."""

    amendment: AmendmentBody
    signature: Hex65 | None
    reason: Annotated[str, msgspec.Meta(max_length=500)]


class RevisionBody(Message, frozen=True):
    """peerage_chain.types.Revision, field by field."""

    version: U16
    agreement: Hex32
    sequence: U64
    previous: Hex32
    root: Hex32
    leaves: U64
    bytes_up: U64
    bytes_down: U64
    expires: U32
    extension: Hex32

    @classmethod
    def of(cls, revision: Revision) -> RevisionBody:
        return cls(
            version=revision.version,
            agreement=revision.agreement.hex(),
            sequence=revision.sequence,
            previous=revision.previous.hex(),
            root=revision.root.hex(),
            leaves=revision.leaves,
            bytes_up=revision.bytes_up,
            bytes_down=revision.bytes_down,
            expires=revision.expires,
            extension=revision.extension.hex(),
        )

    def revision(self) -> Revision:
        return Revision(
            agreement=AgreementId(bytes.fromhex(self.agreement)),
            sequence=_u64("sequence", self.sequence),
            previous=bytes.fromhex(self.previous),
            root=bytes.fromhex(self.root),
            leaves=_u64("leaves", self.leaves),
            bytes_up=_u64("bytes_up", self.bytes_up),
            bytes_down=_u64("bytes_down", self.bytes_down),
            expires=Epoch(self.expires),
            extension=bytes.fromhex(self.extension),
            version=self.version,
        )


class CosignRequest(Message, frozen=True):
    """POST /v1/agreements/{id}/revisions. appended: roots in tree order, after those of the revision before. removed:
    roots of the announced removal, sorted; then nothing is appended."""

    revision: RevisionBody
    appended: Annotated[list[Hex32], msgspec.Meta(max_length=APPENDED_MAX)]
    client_signature: Hex65
    removed: Annotated[list[Hex32], msgspec.Meta(max_length=APPENDED_MAX)] = []


class CosignAnswer(Message, frozen=True):
    signature: Hex65


class ReceiptBody(Message, frozen=True):
    """The answer to PUT of an object: peerage.model.Receipt."""

    agreement: Hex32
    root: Hex32
    leaves: U64
    epoch: U32
    signature: Hex65

    @classmethod
    def of(cls, receipt: Receipt) -> ReceiptBody:
        return cls(receipt.agreement.hex(), receipt.root.hex(), receipt.leaves, receipt.epoch, receipt.signature.hex())

    def receipt(self) -> Receipt:
        return Receipt(
            AgreementId(bytes.fromhex(self.agreement)),
            ShardRoot(bytes.fromhex(self.root)),
            self.leaves,
            Epoch(self.epoch),
            bytes.fromhex(self.signature),
        )


class Dropped(Message, frozen=True):
    """DELETE of an object that no revision lists: it is gone."""

    root: Hex32


class ObjectPage(Message, frozen=True):
    """GET /v1/agreements/{id}/objects. objects: (root, leaves) from position `start`; total: of the whole listing."""

    start: U64
    total: U64
    objects: Annotated[list[tuple[Hex32, U64]], msgspec.Meta(max_length=PAGE_MAX)]


class HeadList(Message, frozen=True):
    """GET /v1/heads. heads: (number, root, bytes), newest first."""

    heads: Annotated[list[tuple[U64, Hex32, U64]], msgspec.Meta(max_length=HEADS_MAX)]


class Hello(Message, frozen=True):
    """GET /v1/hello: who answers, and what it speaks."""

    member: U32
    protocols: Annotated[list[U16], msgspec.Meta(max_length=16)]
    release: Annotated[str, msgspec.Meta(max_length=40)]
    free_bytes: U64


class ErrorBody(msgspec.Struct, frozen=True):
    """Any refusal. Fields that a newer node adds are passed over: a refusal must be readable across versions."""

    code: Annotated[str, msgspec.Meta(max_length=40)]
    message: Annotated[str, msgspec.Meta(max_length=1000)]


M = TypeVar("M", bound=msgspec.Struct)
_encoder = msgspec.json.Encoder()


def encode(message: msgspec.Struct | dict[str, Any]) -> bytes:
    return _encoder.encode(message)


def decode(kind: type[M], body: bytes | bytearray) -> M:
    """Raises Refusal(malformed) saying which field is wrong."""
    try:
        return msgspec.json.decode(body, type=kind, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(RefusalCode.MALFORMED, f"not a {kind.__name__}: {_one_line(str(error))}") from error


def parse_id(text: str, what: str) -> bytes:
    """32 bytes from exactly 64 lower-case hexadecimal digits. Raises Refusal(malformed): no path trick gets further."""
    if len(text) != 64 or not set(text) <= _HEX:
        raise Refusal(RefusalCode.MALFORMED, f"{what} is not 64 lower-case hexadecimal digits")
    return bytes.fromhex(text)


def parse_number(text: str, what: str, below: int) -> int:
    """A decimal number without sign, spaces or leading zeros. Raises Refusal(malformed)."""
    digits = text.isascii() and text.isdigit() and len(text) <= 20
    if not digits or (len(text) > 1 and text[0] == "0") or int(text) >= below:
        raise Refusal(RefusalCode.MALFORMED, f"{what} is not a decimal number below {below}")
    return int(text)


_HEX = frozenset("0123456789abcdef")


def _u64(field: str, value: int) -> int:
    if value > MAX_U64:
        raise Refusal(RefusalCode.MALFORMED, f"{field} is above 2^64 - 1")
    return value


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:200]
