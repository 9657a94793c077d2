"""Where Peerage is on a chain: the Directory's deterministic address, and what it leads to. No network access here.

The Directory has no constructor arguments and is deployed through the well-known CREATE2 proxy with a fixed salt, so
one release's Directory has the same address on every chain.
"""

from __future__ import annotations

from functools import cache

from eth_hash.auto import keccak

from peerage_chain.abi import artifact
from peerage_chain.typed import address_bytes, checksum_address

CREATE2_PROXY = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
DIRECTORY_SALT = keccak(b"peerage.directory.v1")
KINDS = (
    "Credit",
    "Members",
    "Beacon",
    "Agreements",
    "Amendments",
    "Proofs",
    "Clearing",
    "Anchors",
    "Demands",
    "Quality",
)
"""The contracts that the Directory lists, in the order in which they are deployed."""

DEFAULT_DIRECTORY: str


def kind_of(name: str) -> bytes:
    """The key under which the Directory lists a contract."""
    return keccak(name.encode())


def create2_address(salt: bytes, creation: bytes) -> str:
    """Where the proxy puts a contract."""
    return checksum_address(keccak(b"\xff" + address_bytes(CREATE2_PROXY) + salt + keccak(creation))[12:])


@cache
def default_directory() -> str:
    """The Directory's address for the contracts of this installation. Raises ContractsMissing if they are not built."""
    return create2_address(DIRECTORY_SALT, artifact("Directory").creation())


def __getattr__(name: str) -> str:
    # Derived when first asked for, so that importing this module does not need the compiled contracts.
    if name == "DEFAULT_DIRECTORY":
        return default_directory()
    raise AttributeError(name)
