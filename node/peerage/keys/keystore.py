"""A node's secrets on disk: node key, TLS key, onion seed, repository keys. Never the account's key, never the words.

    magic      8   "PEERKEYS"
    version    u16
    log2 N     u8  scrypt's cost
    r          u8
    p          u8
    salt       32
    body       …   AES-256-GCM, key from scrypt (fresh salt, so the nonce is zero), associated data: the above; msgpack

Normative: node/spec/keys.md.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import scrypt
from struct import Struct
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from peerage.errors import IntegrityError, LocalFault, UnknownVersion, UserError

MAGIC = b"PEERKEYS"
VERSION = 1
LOG2_N, R, P = 15, 8, 1
"""scrypt's parameters for new keystores: 32 MiB and about 0.1 s a try."""
MAX_SCRYPT_MEMORY = 256 << 20
MAX_KEYSTORE = 1 << 20
_HEADER = Struct(">8sHBBB32s")
_NONCE = bytes(12)

_Key = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
_Generation = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    account: Annotated[str, msgspec.Meta(min_length=42, max_length=42)]
    node_key: _Key
    tls_key_pem: Annotated[bytes, msgspec.Meta(max_length=1 << 14)]
    certificate_der: Annotated[bytes, msgspec.Meta(max_length=1 << 14)]
    onion_seed: _Key
    repository_keys: dict[_Generation, _Key]
    wrapped_keys: dict[_Generation, Annotated[bytes, msgspec.Meta(min_length=60, max_length=60)]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keystore:
    """What a node holds. account: the member's address. wrapped_keys: the repository keys under the words' wrap key,
    60 bytes each, for the head."""

    account: str
    node_key: bytes = field(repr=False)
    tls_key_pem: bytes = field(repr=False)
    certificate_der: bytes = field(repr=False)
    onion_seed: bytes = field(repr=False)
    repository_keys: dict[int, bytes] = field(repr=False)
    wrapped_keys: dict[int, bytes] = field(repr=False)

    def seal(self, passphrase: str, entropy: Callable[[int], bytes] = os.urandom) -> bytes:
        """The keystore's file. An empty passphrase is allowed: then whoever reads the file has the keys."""
        salt = entropy(32)
        header = _HEADER.pack(MAGIC, VERSION, LOG2_N, R, P, salt)
        body = _Body(
            self.account,
            self.node_key,
            self.tls_key_pem,
            self.certificate_der,
            self.onion_seed,
            self.repository_keys,
            self.wrapped_keys,
        )
        return header + AESGCM(_stretch(passphrase, salt, LOG2_N, R, P)).encrypt(_NONCE, _encoder.encode(body), header)

    @classmethod
    def open(cls, data: bytes, passphrase: str) -> Keystore:
        """Raises UserError for a wrong passphrase; IntegrityError, UnknownVersion for what is not a keystore."""
        if not _HEADER.size < len(data) <= MAX_KEYSTORE or data[:8] != MAGIC:
            raise IntegrityError("the keystore file is not a keystore: restore a copy of it, or recover from the words")
        _, version, log2_n, r, p, salt = _HEADER.unpack_from(data)
        if version != VERSION:
            raise UnknownVersion(f"keystore version {version} is not known here (known: {VERSION}): update Peerage")
        if not (1 <= log2_n <= 24 and 1 <= p <= 4 and r >= 1 and 128 * r << log2_n <= MAX_SCRYPT_MEMORY):
            raise IntegrityError("the keystore asks for more work than any keystore of this version does")
        cipher = AESGCM(_stretch(passphrase, salt, log2_n, r, p))
        try:
            plain = cipher.decrypt(_NONCE, data[_HEADER.size :], data[: _HEADER.size])
        except InvalidTag:
            raise UserError("wrong passphrase (or a damaged keystore): try again, or recover from the words") from None
        try:
            body = _decoder.decode(plain)
        except (ValueError, RecursionError) as error:
            raise IntegrityError(f"the keystore is malformed: {error}") from None
        return cls(
            account=body.account,
            node_key=body.node_key,
            tls_key_pem=body.tls_key_pem,
            certificate_der=body.certificate_der,
            onion_seed=body.onion_seed,
            repository_keys=body.repository_keys,
            wrapped_keys=body.wrapped_keys,
        )


def _stretch(passphrase: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    secret = unicodedata.normalize("NFKC", passphrase).encode()
    try:
        return scrypt(secret, salt=salt, n=1 << log2_n, r=r, p=p, maxmem=MAX_SCRYPT_MEMORY + (32 << 20), dklen=32)
    except (ValueError, MemoryError) as error:
        raise LocalFault(f"the passphrase cannot be checked on this machine: {error}") from None
