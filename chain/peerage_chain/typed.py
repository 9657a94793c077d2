"""EIP-712 for Peerage: digests, signatures, addresses. Pure and quick to import (no web3).

One domain serves all types: name "Peerage", version "1", the chain's id, and the Directory's address. The types are
those of node/spec/agreements.md; the field tables below are their only copy in Python. Every value is checked before it
is hashed: encoders elsewhere accept the string "1" for a number, and what was signed must be what was meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from coincurve import PrivateKey, PublicKey
from eth_hash.auto import keccak

from peerage_chain.types import (
    TYPES_VERSION,
    ZERO32,
    AgreementId,
    Amendment,
    Enrolment,
    Epoch,
    MemberId,
    Revision,
    Terms,
)

DOMAIN_NAME = "Peerage"
DOMAIN_VERSION = "1"
SIGNATURE_LENGTH = 65
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

Fields = tuple[tuple[str, str], ...]

DOMAIN_FIELDS: Fields = (
    ("string", "name"),
    ("string", "version"),
    ("uint256", "chainId"),
    ("address", "verifyingContract"),
)
TERMS_FIELDS: Fields = (
    ("uint16", "version"),
    ("uint32", "client"),
    ("uint32", "provider"),
    ("uint64", "capacity"),
    ("uint64", "pricePerGibEpoch"),
    ("uint64", "egressPricePerGib"),
    ("uint64", "collateral"),
    ("uint32", "minBandwidthKibS"),
    ("uint32", "minRetentionEpochs"),
    ("uint32", "startEpoch"),
    ("uint32", "endEpoch"),
    ("uint32", "openBy"),
    ("bytes32", "salt"),
    ("bytes32", "renews"),
    ("bytes32", "qualityClause"),
    ("bytes32", "extension"),
)
AMENDMENT_FIELDS: Fields = (
    ("uint16", "version"),
    ("bytes32", "agreement"),
    ("uint32", "number"),
    ("uint64", "capacity"),
    ("uint64", "pricePerGibEpoch"),
    ("uint64", "egressPricePerGib"),
    ("uint64", "collateral"),
    ("uint32", "minRetentionEpochs"),
    ("uint32", "endEpoch"),
    ("uint32", "expires"),
    ("bytes32", "extension"),
)
REVISION_FIELDS: Fields = (
    ("uint16", "version"),
    ("bytes32", "agreement"),
    ("uint64", "sequence"),
    ("bytes32", "previous"),
    ("bytes32", "root"),
    ("uint64", "leaves"),
    ("uint64", "bytesUp"),
    ("uint64", "bytesDown"),
    ("uint32", "expires"),
    ("bytes32", "extension"),
)
ENROLMENT_FIELDS: Fields = (
    ("uint16", "version"),
    ("address", "account"),
    ("address", "node"),
    ("bytes32", "certificateHash"),
    ("uint64", "issuedAt"),
    ("uint64", "expiresAt"),
    ("uint64", "spendingLimit"),
    ("bool", "exclusive"),
    ("bytes32", "extension"),
)
REVOCATION_FIELDS: Fields = (("uint16", "version"), ("address", "node"), ("bytes32", "extension"))
RECEIPT_FIELDS: Fields = (
    ("uint16", "version"),
    ("bytes32", "agreement"),
    ("bytes32", "root"),
    ("uint64", "leaves"),
    ("uint32", "epoch"),
)
HEAD_FIELDS: Fields = (
    ("uint16", "version"),
    ("uint32", "member"),
    ("uint32", "repository"),
    ("uint64", "number"),
    ("bytes32", "digest"),
)

TYPES: dict[str, Fields] = {
    "Terms": TERMS_FIELDS,
    "Amendment": AMENDMENT_FIELDS,
    "Revision": REVISION_FIELDS,
    "Enrolment": ENROLMENT_FIELDS,
    "Revocation": REVOCATION_FIELDS,
    "Receipt": RECEIPT_FIELDS,
    "Head": HEAD_FIELDS,
}
"""Every signed type: its fields as (Solidity type, name), in order."""


def encode_type(name: str, fields: Fields) -> str:
    """The EIP-712 type string, "Name(type field,…)"."""
    return f"{name}({','.join(f'{kind} {field}' for kind, field in fields)})"


def _uint(bits: int) -> Callable[[str, Any], bytes]:
    def encode(field: str, value: Any) -> bytes:
        # type(), not isinstance(): True is an int, and must not pass as a number.
        if type(value) is not int:
            raise ValueError(f"{field} must be an integer, not {type(value).__name__}")
        if not 0 <= value < 1 << bits:
            raise ValueError(f"{field} must lie in 0 … 2^{bits} - 1")
        return value.to_bytes(32, "big")

    return encode


def _bytes32(field: str, value: Any) -> bytes:
    if not isinstance(value, bytes) or len(value) != 32:
        raise ValueError(f"{field} must be 32 bytes")
    return bytes(value)


def _boolean(field: str, value: Any) -> bytes:
    if type(value) is not bool:
        raise ValueError(f"{field} must be True or False, not {type(value).__name__}")
    return bytes(31) + bytes([value])


def _address(field: str, value: Any) -> bytes:
    try:
        return bytes(12) + address_bytes(value)
    except ValueError as error:
        raise ValueError(f"{field} must be a checksummed address") from error


def _string(field: str, value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{field} must be a string")
    return keccak(value.encode())


_ENCODERS: dict[str, Callable[[str, Any], bytes]] = {
    "uint16": _uint(16),
    "uint32": _uint(32),
    "uint64": _uint(64),
    "uint256": _uint(256),
    "bytes32": _bytes32,
    "bool": _boolean,
    "address": _address,
    "string": _string,
}


@lru_cache(maxsize=64)
def _type_hash(name: str, fields: Fields) -> bytes:
    return keccak(encode_type(name, fields).encode())


def hash_struct(name: str, fields: Fields, values: tuple[Any, ...]) -> bytes:
    """EIP-712's hashStruct of one flat struct; values in the order of fields. Raises ValueError on a wrong value."""
    if len(values) != len(fields):
        raise ValueError(f"{name} has {len(fields)} fields, not {len(values)}")
    words = [_ENCODERS[kind](f"{name}.{field}", value) for (kind, field), value in zip(fields, values, strict=True)]
    return keccak(_type_hash(name, fields) + b"".join(words))


# --- the domain ------------------------------------------------------------------------------------------------------


def domain_separator(chain_id: int, directory: str) -> bytes:
    """The 32 bytes that bind a signature to one chain and one Directory."""
    return hash_struct("EIP712Domain", DOMAIN_FIELDS, (DOMAIN_NAME, DOMAIN_VERSION, chain_id, directory))


@dataclass(frozen=True, slots=True)
class Domain:
    """Where signatures hold: one chain and one Directory. separator is derived once, at construction."""

    chain_id: int
    directory: str
    separator: bytes = b""

    def __post_init__(self) -> None:
        derived = domain_separator(self.chain_id, self.directory)
        if self.separator not in (b"", derived):
            raise ValueError("the separator does not belong to this chain and directory")
        object.__setattr__(self, "separator", derived)


def digest_of(name: str, values: tuple[Any, ...], domain: Domain) -> bytes:
    """What is signed for one value of a type of TYPES: keccak256(0x1901 || separator || hashStruct)."""
    fields = TYPES[name]
    if values and values[0] != TYPES_VERSION:
        raise ValueError(f"version {values[0]!r} of {name} is not known here (known: {TYPES_VERSION})")
    return keccak(b"\x19\x01" + domain.separator + hash_struct(name, fields, values))


# --- the types: their fields as tuples (the contracts' ABI takes the same), and their digests -------------------------


def terms_values(terms: Terms) -> tuple[Any, ...]:
    """The fields of Terms in the order that is signed and sent."""
    return (
        terms.version,
        terms.client,
        terms.provider,
        terms.capacity,
        terms.price_per_gib_epoch,
        terms.egress_price_per_gib,
        terms.collateral,
        terms.min_bandwidth_kib_s,
        terms.min_retention_epochs,
        terms.start_epoch,
        terms.end_epoch,
        terms.open_by,
        terms.salt,
        terms.renews,
        terms.quality_clause,
        terms.extension,
    )


def amendment_values(amendment: Amendment) -> tuple[Any, ...]:
    """The fields of Amendment in the order that is signed and sent."""
    return (
        amendment.version,
        amendment.agreement,
        amendment.number,
        amendment.capacity,
        amendment.price_per_gib_epoch,
        amendment.egress_price_per_gib,
        amendment.collateral,
        amendment.min_retention_epochs,
        amendment.end_epoch,
        amendment.expires,
        amendment.extension,
    )


def revision_values(revision: Revision) -> tuple[Any, ...]:
    """The fields of Revision in the order that is signed and sent."""
    return (
        revision.version,
        revision.agreement,
        revision.sequence,
        revision.previous,
        revision.root,
        revision.leaves,
        revision.bytes_up,
        revision.bytes_down,
        revision.expires,
        revision.extension,
    )


def enrolment_values(enrolment: Enrolment) -> tuple[Any, ...]:
    """The fields of Enrolment in the order that is signed and sent."""
    return (
        enrolment.version,
        enrolment.account,
        enrolment.node,
        enrolment.certificate_hash,
        enrolment.issued_at,
        enrolment.expires_at,
        enrolment.spending_limit,
        enrolment.exclusive,
        enrolment.extension,
    )


def terms_digest(terms: Terms, domain: Domain) -> bytes:
    """What both sides sign to agree; it is the agreement's id too."""
    return digest_of("Terms", terms_values(terms), domain)


def agreement_id(terms: Terms, domain: Domain) -> AgreementId:
    """The id that an agreement with these terms has on chain."""
    return AgreementId(terms_digest(terms, domain))


def amendment_digest(amendment: Amendment, domain: Domain) -> bytes:
    """What both sides sign to change an agreement's terms."""
    return digest_of("Amendment", amendment_values(amendment), domain)


def revision_digest(revision: Revision, domain: Domain) -> bytes:
    """What both sides sign to record a new state; the next revision names it as `previous`."""
    return digest_of("Revision", revision_values(revision), domain)


def enrolment_digest(enrolment: Enrolment, domain: Domain) -> bytes:
    """What a member's account signs to delegate to a node key."""
    return digest_of("Enrolment", enrolment_values(enrolment), domain)


def revocation_digest(node: str, domain: Domain, extension: bytes = ZERO32) -> bytes:
    """What a member's account signs to revoke a node key, for anyone to relay."""
    return digest_of("Revocation", (TYPES_VERSION, node, extension), domain)


def receipt_digest(agreement: AgreementId, root: bytes, leaves: int, epoch: Epoch, domain: Domain) -> bytes:
    """What a provider signs once it has stored an object durably (kept off chain)."""
    return digest_of("Receipt", (TYPES_VERSION, agreement, root, leaves, epoch), domain)


def head_digest(member: MemberId, repository: int, number: int, digest: bytes, domain: Domain) -> bytes:
    """What a node signs into a head; digest is the SHA-256 that node/spec/heads.md defines."""
    return digest_of("Head", (TYPES_VERSION, member, repository, number, digest), domain)


# --- addresses and signatures ----------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _checksummed(lower: str) -> str:
    mask = keccak(lower.encode()).hex()
    return "0x" + "".join(c.upper() if int(m, 16) >= 8 else c for c, m in zip(lower, mask, strict=False))


def checksum_address(raw: bytes) -> str:
    """EIP-55 form of 20 bytes."""
    if len(raw) != 20:
        raise ValueError("an address has 20 bytes")
    return _checksummed(raw.hex())


def address_bytes(address: str) -> bytes:
    """The 20 bytes of a checksummed address. Raises ValueError on anything else, a wrong checksum too."""
    if not isinstance(address, str) or len(address) != 42 or not address.startswith("0x"):
        raise ValueError("not an address: 0x and 40 hexadecimal digits are needed")
    raw = bytes.fromhex(address[2:])
    if len(raw) != 20 or _checksummed(raw.hex()) != address:
        raise ValueError("not a checksummed address")
    return raw


def parse_address(text: str) -> str:
    """The checksummed form of an address that a person typed: all in lower case, or with a right checksum."""
    digits = text.strip().removeprefix("0x").removeprefix("0X")
    try:
        raw = bytes.fromhex(digits)
    except ValueError as error:
        raise ValueError("not an address: 0x and 40 hexadecimal digits are needed") from error
    if len(digits) != 40 or len(raw) != 20:
        raise ValueError("not an address: 0x and 40 hexadecimal digits are needed")
    address = checksum_address(raw)
    if digits not in (digits.lower(), digits.upper(), address[2:]):
        raise ValueError("the address's checksum is wrong: a digit was mistyped")
    return address


def _public_address(public: PublicKey) -> str:
    return checksum_address(keccak(public.format(compressed=False)[1:])[12:])


def address_of(private_key: bytes) -> str:
    """The checksummed address of a 32-byte secp256k1 key. Raises ValueError if it is not one."""
    return _public_address(_private(private_key).public_key)


def _private(private_key: bytes) -> PrivateKey:
    if not isinstance(private_key, bytes) or len(private_key) != 32:
        raise ValueError("a private key has 32 bytes")
    return PrivateKey(private_key)


def sign(private_key: bytes, digest: bytes) -> bytes:
    """65 bytes r || s || v (v 27 or 28, s low), deterministic (RFC 6979). Raises ValueError on a wrong length."""
    if len(digest) != 32:
        raise ValueError("a digest has 32 bytes")
    compact = _private(private_key).sign_recoverable(digest, hasher=None)
    return compact[:64] + bytes([27 + compact[64]])


def recover(digest: bytes, signature: bytes) -> str:
    """The checksummed address that signed. Raises ValueError: wrong length, v not 27 or 28, high s, no such point."""
    if len(digest) != 32:
        raise ValueError("a digest has 32 bytes")
    if len(signature) != SIGNATURE_LENGTH:
        raise ValueError("a signature has 65 bytes")
    v = signature[64]
    if v not in (27, 28):
        raise ValueError("a signature ends with 27 or 28")
    # A high s is the same signature in another dress: refused here and by the contracts, so that bytes identify it.
    if int.from_bytes(signature[32:64], "big") > CURVE_ORDER // 2:
        raise ValueError("the signature's s is not in the lower half of the curve's order")
    try:
        public = PublicKey.from_signature_and_message(bytes(signature[:64]) + bytes([v - 27]), digest, hasher=None)
    except Exception as error:  # libsecp256k1 raises a bare Exception
        raise ValueError("the signature is not a point on the curve") from error
    return _public_address(public)
