"""One error tree. Every error says in one line what happened and what to do, and carries its exit code.

The exit codes are an interface of the command line (README): 0 done, 1 internal, 2 usage, 3 done but some files could
not be read, 4 done but records wait for the chain, 5 user error, 6 peers, 7 chain, 8 integrity. Errors of the chain are
peerage_chain.errors.ChainFault; the command line gives them code 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXIT_DONE = 0
EXIT_INTERNAL = 1
EXIT_USAGE = 2
EXIT_SOME_FILES = 3
EXIT_RECORDS_WAIT = 4
EXIT_USER = 5
EXIT_PEERS = 6
EXIT_CHAIN = 7
EXIT_INTEGRITY = 8


def exit_code_of(result: Mapping[str, Any]) -> int:
    """0; 8 when something is not, or cannot be restored as, what was backed up; 6 when packs that were to be read could
    not be had; 4 when records wait for the chain; 3 when some files could not be read (or written) in full. Of several
    the first in this order, which matters more; all are named either way.
    """
    if result.get("mismatched") or result.get("damage"):
        return EXIT_INTEGRITY
    if result.get("unread"):
        return EXIT_PEERS
    if result.get("records_waiting"):
        return EXIT_RECORDS_WAIT
    if result.get("unreadable") or result.get("changed") or result.get("failed"):
        return EXIT_SOME_FILES
    return EXIT_DONE


class PeerageError(Exception):
    """Any failure that Peerage names. str() is one line, fit to show a user; no secret is ever part of it."""

    exit_code: int = EXIT_INTERNAL

    @property
    def kind(self) -> str:
        """The stable name of this error, used in JSON and on the wire."""
        return type(self).__name__


class LocalFault(PeerageError):
    """This machine failed: disk full, a library missing, a file of the home that cannot be written."""


class UserError(PeerageError):
    """The user must change something: a wrong word, a path that is not there, a home already in use."""

    exit_code = EXIT_USER


class Busy(UserError):
    """The node does something else that excludes this: wait for it to end."""


class PeerError(PeerageError):
    """Another member's node is the reason. `member` is its number, 0 when no single one is meant."""

    exit_code = EXIT_PEERS

    def __init__(self, message: str, member: int = 0) -> None:
        super().__init__(message)
        self.member = member


class PeerUnavailable(PeerError):
    """The peer did not answer in time, or not at all: try another, or later. silent: nothing listens there."""

    def __init__(self, message: str, member: int = 0, silent: bool = False) -> None:
        super().__init__(message, member)
        self.silent = silent


class PeerRefused(PeerError):
    """The peer answered with a refusal. `code` is the stable reason of node/spec/wire.md."""

    def __init__(self, message: str, member: int = 0, code: str = "refused") -> None:
        super().__init__(message, member)
        self.code = code


class NoCommonVersion(PeerRefused):
    """The peer does not speak the protocol version that it was asked in. offered: the header that names its own."""

    def __init__(self, message: str, member: int, offered: str | None) -> None:
        super().__init__(message, member, "unknown_version")
        self.offered = offered


class PeerFault(PeerError):
    """The peer broke the protocol: a wrong root, a bad signature, a malformed answer. The message has the evidence."""


class TooFewProviders(PeerError):
    """Fewer providers can be had than the code needs; said before a backup starts."""


class IntegrityError(PeerageError):
    """Bytes are not what was written: a failed tag, a wrong root, an unknown version, a stripe beyond repair."""

    exit_code = EXIT_INTEGRITY


class UnknownVersion(IntegrityError):
    """A format or protocol version that this release does not know; named, never guessed."""


class TooFewShards(IntegrityError):
    """A stripe has fewer than k good shards."""


class ShardMismatch(IntegrityError):
    """Shards given to one decoding differ in length or lie outside the code."""
