"""Blobs: compression, and the nonce and associated data of each. Normative: node/spec/sealing.md."""

from __future__ import annotations

import threading

import zstandard

from peerage.errors import IntegrityError
from peerage.model import MIB, BlobKind, ChunkId

Buffer = bytes | bytearray | memoryview

BLOB_VERSION = 1
MAX_RAW_LENGTH = 16 * MIB
"""Bytes of a plaintext at most; nothing larger is ever allocated on a blob's word."""
DEFAULT_LEVEL = 3
DIRECTORY_ORDINAL = 2**64 - 1
"""The nonce counter that no blob may have: it seals the pack's directory."""

_SMALL = 64
"""Shorter plaintexts are stored as they are: a zstd frame would not be smaller."""
_NONCE_PREFIX = bytes(4)
_AAD_PREFIX = tuple(BLOB_VERSION.to_bytes(2, "big") + bytes([kind]) for kind in BlobKind)
_local = threading.local()


def nonce(ordinal: int) -> bytes:
    """12 bytes: four zeros and the blob's number in its pack (u64be). Unique, since every pack has its own key."""
    return _NONCE_PREFIX + ordinal.to_bytes(8, "big")


def aad(kind: BlobKind, id: ChunkId) -> bytes:
    """What is authenticated beside the payload: format version (u16be), kind (u8), chunk id."""
    return _AAD_PREFIX[kind] + id


def compress(raw: Buffer, level: int = DEFAULT_LEVEL) -> Buffer:
    """A zstd frame that names its content's size, or `raw` itself when the frame would not be smaller.

    Each thread keeps one context per level; the GIL is released meanwhile.
    """
    size = len(raw)
    if size < _SMALL:
        return raw
    compressors: dict[int, zstandard.ZstdCompressor] | None = getattr(_local, "compressors", None)
    if compressors is None:
        compressors = _local.compressors = {}
    compressor = compressors.get(level)
    if compressor is None:
        compressor = compressors[level] = zstandard.ZstdCompressor(
            level=level, write_checksum=False, write_content_size=True, write_dict_id=False
        )
    frame = compressor.compress(raw)
    return frame if len(frame) < size else raw


def decompress(payload: bytes, raw_length: int) -> bytes:
    """The plaintext of a payload; the payload itself when its length is raw_length (it was stored as is).

    raw_length, from the directory or index, is the only number that memory is taken by: a frame that names another
    size, or that has bytes behind it, raises IntegrityError.
    """
    if len(payload) == raw_length:
        return payload
    return decompress_frame(payload, raw_length)


def decompress_frame(frame: Buffer, raw_length: int) -> bytes:
    """The content of one zstd frame that must be exactly raw_length bytes. Raises IntegrityError."""
    if not 0 <= raw_length <= MAX_RAW_LENGTH:
        raise IntegrityError(f"a plaintext of {raw_length} bytes is beyond the limit of {MAX_RAW_LENGTH}")
    decompressor: zstandard.ZstdDecompressor | None = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor(max_window_size=2 * MAX_RAW_LENGTH)
    try:
        if zstandard.frame_content_size(frame) != raw_length:
            raise IntegrityError("a compressed blob names another size than its directory does")
        raw: bytes = decompressor.decompress(frame, max_output_size=raw_length, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise IntegrityError(f"a blob does not decompress: {error}") from None
    if len(raw) != raw_length:
        raise IntegrityError("a blob decompresses to another length than its directory says")
    return raw
