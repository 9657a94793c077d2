"""Repository keys: what derives from each, and how the words wrap them.

A member's words never encrypt data: they wrap numbered random repository keys ("generations"), so that the key which a
stolen machine knew can be replaced, and destroying a generation erases what it sealed. Normative: node/spec/keys.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from peerage.errors import IntegrityError
from peerage.model import ChunkId

Buffer = bytes | bytearray | memoryview

KEY_SIZE = 32
SALT_SIZE = 32
NONCE_SIZE = 12
TAG_SIZE = 16
WRAPPED_SIZE = NONCE_SIZE + KEY_SIZE + TAG_SIZE
MAX_GENERATION = 2**32 - 1

_INFO_CHUNK_ID = b"peerage/v1/chunk-id"
_INFO_PACK = b"peerage/v1/pack"
_INFO_HEAD = b"peerage/v1/head"
_INFO_CUT = b"peerage/v1/cut"
_WRAP_AAD = b"peerage/v1/wrapped-key"


def derive(key: bytes, info: bytes, salt: bytes | None = None, length: int = KEY_SIZE) -> bytes:
    """HKDF-SHA256."""
    return HKDF(SHA256(), length, salt, info).derive(key)


def keyed_id(data: Buffer, chunk_id_key: bytes) -> ChunkId:
    """RepositoryKey.chunk_id, for who has only that subkey."""
    return ChunkId(blake3(data, key=chunk_id_key).digest())


class RepositoryKey:
    """One generation's key and its subkeys. Immutable, usable from many threads; its repr shows no key."""

    __slots__ = ("_pack_cipher", "chunk_id_key", "cut_seed", "generation", "raw")

    def __init__(self, generation: int, raw: bytes) -> None:
        if len(raw) != KEY_SIZE or not 0 <= generation <= MAX_GENERATION:
            raise ValueError("a repository key is 32 bytes, and its generation a u32")
        self.generation = generation
        self.raw = raw
        self.cut_seed = int.from_bytes(derive(raw, _INFO_CUT, length=8), "big")
        """u64 for chunk.cut: where this repository's files are cut is not what another's files show."""
        self.chunk_id_key = derive(raw, _INFO_CHUNK_ID)
        """For keyed_id, where the rest of this key is not needed. Secret: it can tell which files are stored."""
        self._pack_cipher = lru_cache(maxsize=256)(self._make_pack_cipher)

    def __repr__(self) -> str:
        return f"RepositoryKey(generation={self.generation})"

    def chunk_id(self, data: Buffer) -> ChunkId:
        """The keyed BLAKE3 of a plaintext: equal chunks have equal ids, and only under this key."""
        return keyed_id(data, self.chunk_id_key)

    def pack_key(self, salt: bytes) -> bytes:
        """The AES-256 key of the pack with this salt; no other pack has it, so nonces may just count its blobs."""
        return derive(self.raw, _INFO_PACK, salt)

    def head_key(self, salt: bytes) -> bytes:
        """The AES-256 key of the head with this salt; it seals that one body."""
        return derive(self.raw, _INFO_HEAD, salt)

    def pack_cipher(self, salt: bytes) -> AESGCM:
        """AES-GCM under pack_key(salt); the 256 used last are kept."""
        return self._pack_cipher(bytes(salt))

    def _make_pack_cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(self.pack_key(salt))


class KeyRing(Mapping[int, RepositoryKey]):
    """The generations that this node can open; the newest seals."""

    def __init__(self, raw_keys: Mapping[int, bytes]) -> None:
        self._keys = {generation: RepositoryKey(generation, raw) for generation, raw in raw_keys.items()}

    def __getitem__(self, generation: int) -> RepositoryKey:
        return self._keys[generation]

    def __iter__(self) -> Iterator[int]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def current(self) -> RepositoryKey:
        """The key for new data. Raises IntegrityError when there is none."""
        if not self._keys:
            raise IntegrityError("there is no repository key to seal with")
        return self._keys[max(self._keys)]

    def need(self, generation: int) -> RepositoryKey:
        """The key of a generation. Raises IntegrityError when this node does not have it."""
        key = self._keys.get(generation)
        if key is None:
            raise IntegrityError(f"there is no repository key of generation {generation}")
        return key


def wrap(raw: bytes, wrap_key: bytes, generation: int, nonce: bytes) -> bytes:
    """A repository key sealed under the words' wrap key: nonce || ciphertext || tag, 60 bytes.

    nonce: 12 random bytes; a member wraps a handful of keys in its life.
    """
    if len(raw) != KEY_SIZE or len(nonce) != NONCE_SIZE:
        raise ValueError("a repository key is 32 bytes, a nonce 12")
    return nonce + AESGCM(wrap_key).encrypt(nonce, raw, _wrap_aad(generation))


def unwrap(wrapped: bytes, wrap_key: bytes, generation: int) -> bytes:
    """The repository key inside. Raises IntegrityError when these words did not wrap it as this generation."""
    if len(wrapped) != WRAPPED_SIZE:
        raise IntegrityError(f"a wrapped key is {WRAPPED_SIZE} bytes, not {len(wrapped)}")
    try:
        return AESGCM(wrap_key).decrypt(wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:], _wrap_aad(generation))
    except InvalidTag:
        raise IntegrityError(f"the words do not open the repository key of generation {generation}") from None


def unwrap_all(wrapped: Mapping[int, bytes], wrap_key: bytes) -> KeyRing:
    """The ring of all wrapped keys that the words open. Raises IntegrityError when one does not open."""
    return KeyRing({generation: unwrap(sealed, wrap_key, generation) for generation, sealed in wrapped.items()})


def _wrap_aad(generation: int) -> bytes:
    return _WRAP_AAD + generation.to_bytes(4, "big")
