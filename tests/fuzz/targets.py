"""One target for each parser of bytes that come from outside: what it does with them, and what it may raise.

A target imports its parser when it is made, so that the fuzzer instruments that parser alone. What lies under a seal is
sealed here with a known key first: otherwise no mutation would get past the tag.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from peerage.errors import IntegrityError, LocalFault, PeerageError, UserError

SEEDS = Path(__file__).parent / "seeds"
MAX_BYTES = 4096
"""Of an input; a target may take more."""

Parse = Callable[[bytes], object]
GENERATION, RAW, SALT = 7, b"\x17" * 32, b"\x5a" * 32


class Target(NamedTuple):
    """make: imports the parser and gives what runs it. allowed: what the parser's docstring says that it raises.
    structured: inputs are mostly JSON or msgpack, and are mutated as such."""

    make: Callable[[], Parse]
    allowed: tuple[type[Exception], ...] = (IntegrityError,)
    structured: bool = False
    max_bytes: int = MAX_BYTES


class Unfaithful(Exception):
    """What was read and written again is not what was read."""


def same(found: object, again: Callable[[], object]) -> object:
    """What is taken can be written, and read again."""
    try:
        if again() == found:
            return found
    except Exception as error:
        raise Unfaithful(str(error)) from error
    raise Unfaithful(repr(found))


def pack_directory() -> Parse:
    """An even first byte: a pack as it is. An odd one: a directory's plaintext, sealed into a pack without blobs."""
    from peerage.pack.layout import TRAILER, TRAILER_MAGIC, decode_directory, encode_header
    from peerage.pack.reader import read_directory
    from peerage.seal.blob import DIRECTORY_ORDINAL, nonce
    from peerage.seal.keys import KeyRing

    ring = KeyRing({GENERATION: RAW})
    header = encode_header(GENERATION, SALT)
    cipher = ring[GENERATION].pack_cipher(SALT)

    def parse(data: bytes) -> object:
        if not data or data[0] % 2 == 0:
            return read_directory(ring, data[1:])
        sealed = cipher.encrypt(nonce(DIRECTORY_ORDINAL), data[1:], header)
        pack = header + sealed + TRAILER.pack(len(sealed), TRAILER_MAGIC)
        at = int.from_bytes(data[1:3], "big")
        return read_directory(ring, pack) if data[0] % 4 == 1 else decode_directory(data[3:], at)

    return parse


def blob() -> Parse:
    """Raw length u24, then a payload, which is sealed as a blob whose id may fit or not; or, odd, the sealed bytes."""
    from peerage.model import BlobEntry, BlobKind, PackId
    from peerage.pack.reader import BlobOpener
    from peerage.seal.blob import aad, decompress, nonce
    from peerage.seal.keys import KeyRing

    ring = KeyRing({GENERATION: RAW})
    opener, key, pack = BlobOpener(ring), ring[GENERATION], PackId(SALT)

    def parse(data: bytes) -> object:
        way, raw_length, payload = data[:1], int.from_bytes(data[1:4], "big"), data[4:]
        if way == b"\x00":
            return decompress(payload, raw_length)
        id_ = key.chunk_id(payload)
        sealed = payload
        if way == b"\x01":
            sealed = key.pack_cipher(pack).encrypt(nonce(0), payload, aad(BlobKind.TREE, id_))
        entry = BlobEntry(id_, BlobKind.TREE, 0, 48, len(sealed), raw_length)
        return opener.open(GENERATION, pack, entry, sealed)

    return parse


def tree() -> Parse:
    """Blobs of one directory, each behind its length u16; and what a reader does with an entry's content."""
    from peerage.snapshot.tree import decode_tree, split_ids

    def parse(data: bytes) -> object:
        entries = decode_tree(pieces(data))
        return [(split_ids(entry.content), split_ids(entry.subtree)) for entry in entries]

    return parse


def pieces(data: bytes) -> list[bytes]:
    found = []
    while len(data) > 2:
        length = int.from_bytes(data[:2], "big")
        found.append(data[2 : 2 + length])
        data = data[2 + length :]
    return found


def content_list() -> Parse:
    """A list blob behind its length u16, then a tree blob: where the data of its files goes."""
    from peerage.flow.files import Layout
    from peerage.snapshot.tree import decode_tree, split_ids

    def parse(data: bytes) -> object:
        end = 2 + int.from_bytes(data[:2], "big")
        split_ids(data[2:end])
        layouts = [Layout(entry) for entry in decode_tree([data[end:]])]
        return [
            (list(layout.spread(0, layout.length)), list(layout.spread(7, 1 << 20)), list(layout.data_in(9, 1 << 40)))
            for layout in layouts
        ]

    return parse


def snapshot(what: str) -> Parse:
    """A snapshot, or its summary."""
    from peerage.snapshot import snapshot as module

    decode, encode = getattr(module, f"decode_{what}"), getattr(module, f"encode_{what}")

    def parse(data: bytes) -> object:
        found = decode(data)
        return same(found, lambda: decode(encode(found)))

    return parse


def head() -> Parse:
    """Even: a head as it is. Odd: a body's plaintext, sealed into a head; its raw length told rightly or not."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from peerage.seal.blob import compress, nonce
    from peerage.seal.keys import KeyRing, wrap
    from peerage.snapshot.head import MAGIC, open_head, peek_head

    wrap_key = bytes(range(32))
    wrapped = wrap(RAW, wrap_key, GENERATION, bytes(12))
    ring = KeyRing({GENERATION: RAW})
    cipher = AESGCM(ring[GENERATION].head_key(SALT))

    def parse(data: bytes) -> object:
        if not data or data[0] % 2 == 0:
            peek_head(data[1:])
            return open_head(data[1:], wrap_key)
        body = data[1:]
        payload = compress(body) if data[0] % 4 == 1 else body
        raw_length = len(body) + data[0] // 64
        length = 74 + 64 + len(payload) + 16 + 65
        clear = MAGIC + bytes((0, 1, 0, 1)) + length.to_bytes(4, "big") + bytes(16) + GENERATION.to_bytes(4, "big")
        clear += SALT + raw_length.to_bytes(4, "big") + b"\x00\x01" + GENERATION.to_bytes(4, "big") + wrapped
        return open_head(clear + cipher.encrypt(nonce(0), bytes(payload), clear) + bytes(65), ring)

    return parse


def index_segment() -> Parse:
    from peerage.snapshot.index import decode_segment, encode_segments, merged

    def parse(data: bytes) -> object:
        packs = decode_segment(data)
        if packs:
            merged(packs[0], packs[-1])
            same(packs, lambda: [pack for part in encode_segments(packs) for pack in decode_segment(part)])
        return packs

    return parse


def wire(name: str, then: str = "") -> Parse:
    """A JSON message of peerage.wire.messages, and the value type that it stands for."""
    from peerage.wire import messages

    kind: Any = getattr(messages, name)

    def parse(data: bytes) -> object:
        message = messages.decode(kind, data)
        same(message, lambda: messages.decode(kind, messages.encode(message)))
        for step in then.split("."):
            if step:
                part = getattr(message, step)
                message = part() if callable(part) else part
        return message

    return parse


def request() -> Parse:
    """What a provider reads of a request beside its body: method and path, lengths, range, query, version; by lines."""
    from peerage.net import requests
    from peerage.wire import version
    from peerage.wire.messages import parse_id
    from peerage.wire.refusals import Refusal

    def parse(data: bytes) -> object:
        lines = [*data.decode("latin-1").split("\n", 7), *[""] * 8]
        method, path, length, encoding, span, query, spoken, size = lines[:8]
        pairs = dict(part.partition("=")[::2] for part in query.split("&") if part)
        headers = {"Content-Length": length} | ({"Content-Encoding": encoding} if encoding else {})
        asked: list[Callable[[], object]] = [
            lambda: [parse_id(id_, "an id") for id_ in requests.match(method, path)[1]],
            lambda: requests.body_length(headers, 1 << 20),
            lambda: requests.byte_range(span, len(size)),
            lambda: requests.object_query(pairs),
            lambda: requests.number_of(pairs, "start", 0, 1 << 63),
            lambda: version.check(spoken),
            lambda: version.newest_common(spoken, (1, 2, 3)),
        ]
        for ask in asked:
            with contextlib.suppress(Refusal):
                ask()
        return None

    return parse


def certificate() -> Parse:
    """A member's certificate as the chain gives it: it is trusted or passed over."""
    import ssl

    from peerage.net.tls import fingerprint, trust

    def parse(data: bytes) -> object:
        assert trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), [data]) in (0, 1)
        return fingerprint(data)

    return parse


def signature() -> Parse:
    """A digest and a peer's signature."""
    from peerage_chain.typed import recover

    return lambda data: recover(data[:32], data[32:])


def frames() -> Parse:
    """What comes over the owner's socket to a verb that takes data."""
    from asyncio import IncompleteReadError
    from io import BytesIO

    from peerage.net.frames import Incoming

    class Content(BytesIO):
        async def readexactly(self, size: int) -> bytes:
            data = self.read(size)
            if len(data) < size:
                raise IncompleteReadError(data, size)
            return data

    async def read(content: Any) -> None:
        incoming = Incoming(content)
        await incoming.parameters()
        while await incoming.read():
            pass

    def parse(data: bytes) -> None:
        with contextlib.suppress(StopIteration):  # nothing ever waits, so one step is all of it
            read(Content(data)).send(None)

    return parse


def keystore() -> Parse:
    """Even: a file as it is, but for scrypt's cost, which is made small. Odd: a body's plaintext, sealed."""
    from hashlib import scrypt

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from peerage.keys.keystore import MAGIC, Keystore

    def header(salt: bytes, cost: bytes = b"\x01\x01\x01") -> bytes:
        return MAGIC + b"\x00\x01" + cost + salt

    key = scrypt(b"p", salt=SALT, n=2, r=1, p=1, dklen=32)

    def parse(data: bytes) -> object:
        if data[:1] and data[0] % 2:
            sealed = AESGCM(key).encrypt(bytes(12), data[1:], header(SALT))
            return Keystore.open(header(SALT) + sealed, "p")
        body = bytearray(data[1:])
        if len(body) > 11 and 1 <= body[10] <= 24:
            body[10] = 1 + body[10] % 4
            body[11] &= 0x80 | 0x0F
        return Keystore.open(bytes(body), "p")

    return parse


def enrolment() -> Parse:
    """The account's signed word for a node's key, as a file."""
    from peerage.flow.enrol import decode_enrolment, encode_enrolment

    def parse(data: bytes) -> object:
        found = decode_enrolment(data)
        return same(found, lambda: decode_enrolment(encode_enrolment(found)))

    return parse


def words() -> Parse:
    """A words file: the sheet, and what its words are repaired to."""
    from dataclasses import replace

    from peerage.keys.parity import repair
    from peerage.keys.sheet import parse_sheet
    from peerage.keys.words import entropy_of

    def parse(data: bytes) -> object:
        sheet = parse_sheet(data.decode("utf-8", "replace"))
        sheet.html()
        found = repair(sheet.given).words
        whole = replace(sheet, words=found, parity=())
        same(whole, lambda: parse_sheet(whole.text()))
        return entropy_of(found)

    return parse


def config() -> Parse:
    from peerage.store.config import Config

    def parse(data: bytes) -> object:
        found = Config.from_toml(data.decode("utf-8", "replace"))
        found.listen_address()
        return same(found, lambda: Config.from_toml(found.to_toml()))

    return parse


def policy() -> Parse:
    """A policy file; after a first byte of 1, a key and a value to set instead."""
    from peerage.deal.policy import Policy, offer_of

    def parse(data: bytes) -> object:
        text = data.decode("utf-8", "replace")
        key, _, value = text[1:].partition("=")
        found = Policy().set(key, value) if text[:1] == "\x01" else Policy.parse(text)
        same(found, lambda: Policy.parse(found.dump()))
        return offer_of(found)

    return parse


def owner_parameters() -> Parse:
    """What the owner's verbs read out of their JSON: each of them is shown the same parameters."""
    import json

    from peerage.daemon import backing, keeping, params, reading
    from peerage.flow.check import Subset

    readers: dict[str, Callable[[dict[str, Any]], object]] = {
        "tags": backing._options,
        "limit_up": backing._limit_up,
        "keep_within": keeping.rules_of,
        "target": reading._restore_of,
        "newer_ns": lambda given: reading._time(given, "newer_ns"),
        "types": lambda given: [reading._type(name) for name in params.strings(given, "types")],
        "ids": lambda given: reading._ids(given, "ids"),
        "paths": lambda given: params.paths_bytes(given, "paths"),
        "read": lambda given: Subset.parse(params.text(given, "read")),
        "without": lambda given: params.integers(given, "without"),
        "repair_hours": lambda given: params.number(given, "repair_hours", 1.0),
    }

    def parse(data: bytes) -> object:
        try:
            given = json.loads(data)
        except (ValueError, RecursionError):  # as the interface itself says of what is no JSON
            raise UserError("no JSON") from None
        if not isinstance(given, dict):
            return None
        refused: list[UserError] = []
        for name, read in readers.items():
            if name in given:
                try:
                    read(given)
                except UserError as error:
                    refused.append(error)
        if refused:
            raise refused[0]
        return None

    return parse


TARGETS: dict[str, Target] = {
    "pack-directory": Target(pack_directory),
    "blob": Target(blob),
    "tree": Target(tree, structured=True),
    "content-list": Target(content_list, structured=True),
    "snapshot": Target(partial(snapshot, "snapshot"), structured=True),
    "summary": Target(partial(snapshot, "summary"), structured=True),
    "head": Target(head, structured=True),
    "index-segment": Target(index_segment, structured=True),
    **{
        f"wire-{name}": Target(partial(wire, kind, then), (PeerageError,), structured=True)
        for name, kind, then in (
            ("proposal", "Proposal", "terms.terms"),
            ("proposal-answer", "ProposalAnswer", "terms.terms"),
            ("amendment-proposal", "AmendmentProposal", "amendment.amendment"),
            ("amendment-answer", "AmendmentAnswer", "amendment.amendment"),
            ("cosign-request", "CosignRequest", "revision.revision"),
            ("cosign-answer", "CosignAnswer", ""),
            ("receipt", "ReceiptBody", "receipt"),
            ("dropped", "Dropped", ""),
            ("object-page", "ObjectPage", ""),
            ("head-list", "HeadList", ""),
            ("hello", "Hello", ""),
            ("error", "ErrorBody", ""),
        )
    },
    "request": Target(request, ()),
    "certificate": Target(certificate, ()),
    "signature": Target(signature, (ValueError,)),
    "frames": Target(frames, (PeerageError,)),
    "owner-parameters": Target(owner_parameters, (UserError,), structured=True),
    "keystore": Target(keystore, (IntegrityError, UserError, LocalFault), structured=True),
    "enrolment": Target(enrolment, structured=True),
    "words": Target(words, (UserError,)),
    "config": Target(config, (UserError,)),
    "policy": Target(policy, (UserError,)),
}


def seeds_of(name: str) -> list[Path]:
    return sorted((SEEDS / name).iterdir())
