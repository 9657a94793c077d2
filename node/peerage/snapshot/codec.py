"""One codec for all these formats: four bytes of magic, a u16 version, then msgpack."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from peerage.errors import IntegrityError, UnknownVersion

T = TypeVar("T")

MAGIC_SIZE = 4
PREFIX_SIZE = MAGIC_SIZE + 2

U16 = Annotated[int, msgspec.Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
U63 = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
I64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Id = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]

ID_SIZE = 32


def prefix(magic: bytes, version: int) -> bytes:
    return magic + version.to_bytes(2, "big")


def decode(data: bytes, magic: bytes, version: int, decoder: msgspec.msgpack.Decoder[T], what: str) -> T:
    """The msgpack behind the prefix, typed. Raises UnknownVersion; IntegrityError for anything else that is wrong."""
    if len(data) < PREFIX_SIZE or data[:MAGIC_SIZE] != magic:
        raise IntegrityError(f"these bytes are not {what}")
    found = int.from_bytes(data[MAGIC_SIZE:PREFIX_SIZE], "big")
    if found != version:
        raise UnknownVersion(f"{what} has format version {found}, not known here (known: {version}): update Peerage")
    return decode_plain(memoryview(data)[PREFIX_SIZE:], decoder, what)


def decode_plain(data: bytes | memoryview, decoder: msgspec.msgpack.Decoder[T], what: str) -> T:
    """Typed msgpack without a prefix. Raises IntegrityError."""
    try:
        return decoder.decode(data)
    except (
        ValueError,
        RecursionError,
        OverflowError,
    ) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        raise IntegrityError(f"{what} is malformed: {error}") from None
