"""Opening blobs, and reading a pack's directory when there is no index."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag

from peerage.errors import IntegrityError
from peerage.model import BlobEntry, PackId, PackKind
from peerage.pack.layout import HEADER, MAX_DIRECTORY, TRAILER, TRAILER_MAGIC, decode_directory, decode_header
from peerage.seal.blob import DIRECTORY_ORDINAL, MAX_RAW_LENGTH, aad, decompress, nonce
from peerage.seal.keys import TAG_SIZE, KeyRing

Buffer = bytes | bytearray | memoryview

_MAX_PADDING = 32 * 1024
"""Zeros behind a pack: less than one leaf for each of at most 32 data shards."""


class BlobOpener:
    """Opens blobs of any pack that the ring has the key of. Usable from many threads."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def open(self, generation: int, pack_id: PackId, entry: BlobEntry, sealed: Buffer) -> bytes:
        """The plaintext of one blob. sealed: the pack's entry.length bytes at entry.offset. Raises IntegrityError.

        Three checks: the tag (key, place in the pack, kind, id), the length, and the id of the plaintext itself.
        """
        key = self._ring.need(generation)
        if len(sealed) != entry.length or entry.length < TAG_SIZE or not 0 <= entry.raw_length <= MAX_RAW_LENGTH:
            raise IntegrityError(f"blob {entry.id.hex()[:16]} of {len(sealed)} bytes is not as long as the index says")
        try:
            payload = key.pack_cipher(pack_id).decrypt(nonce(entry.ordinal), sealed, aad(entry.kind, entry.id))
        except InvalidTag:
            raise IntegrityError(f"blob {entry.id.hex()[:16]} of pack {pack_id.hex()[:16]} is not authentic") from None
        raw = decompress(payload, entry.raw_length)
        if key.chunk_id(raw) != entry.id:
            raise IntegrityError(f"blob {entry.id.hex()[:16]} of pack {pack_id.hex()[:16]} holds another chunk")
        return raw


def read_directory(ring: KeyRing, pack: Buffer) -> tuple[int, PackId, PackKind, tuple[BlobEntry, ...]]:
    """(generation, id, kind, blobs) of a pack, by its own directory. pack: the bytes, with or without the padding.

    Raises IntegrityError, UnknownVersion.
    """
    generation, pack_id = decode_header(pack)
    view = memoryview(pack)
    window = bytes(view[max(HEADER.size, len(view) - _MAX_PADDING - TRAILER.size) :])
    end = len(view) - len(window) + len(window.rstrip(b"\x00"))
    trailer_at = end - TRAILER.size
    if trailer_at < HEADER.size:
        raise IntegrityError("a pack has no trailer")
    length, magic = TRAILER.unpack_from(view, trailer_at)
    directory_at = trailer_at - length
    if magic != TRAILER_MAGIC or not TAG_SIZE <= length <= MAX_DIRECTORY or directory_at < HEADER.size:
        raise IntegrityError("a pack's trailer is damaged")
    cipher = ring.need(generation).pack_cipher(pack_id)
    try:
        plain = cipher.decrypt(nonce(DIRECTORY_ORDINAL), view[directory_at:trailer_at], bytes(view[: HEADER.size]))
    except InvalidTag:
        raise IntegrityError(f"the directory of pack {pack_id.hex()[:16]} is not authentic") from None
    kind, entries = decode_directory(plain, directory_at)
    return generation, pack_id, kind, entries
