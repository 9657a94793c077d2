"""Writes tests/fuzz/seeds/ from the golden vectors: `python -m tests.fuzz.make_seeds`.

What is there already stays. Beside it are kept the inputs that once broke a parser, under names of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from tests.formats import make_vectors
from tests.fuzz.targets import SEEDS

from peerage.deal.policy import Policy
from peerage.flow.enrol import SignedEnrolment, encode_enrolment
from peerage.keys.keystore import Keystore
from peerage.keys.sheet import Sheet
from peerage.net.frames import DATA, LAST, PARAMETERS, header
from peerage.net.tls import make_certificate
from peerage.pack.layout import encode_directory
from peerage.pack.reader import read_directory
from peerage.seal.blob import compress
from peerage.seal.keys import KeyRing
from peerage.snapshot.head import open_head
from peerage.snapshot.index import to_record
from peerage.store.config import Config
from peerage.wire import messages
from peerage_chain import typed
from peerage_chain.types import Enrolment


def vector(name: str) -> Any:
    return json.loads((make_vectors.VECTORS / f"{name}.json").read_text())


def seeds() -> Iterator[tuple[str, str, bytes]]:
    """(target, name, bytes)."""
    pack = bytes.fromhex(vector("packs")["pack"])
    _, _, kind, blobs = read_directory(KeyRing({7: b"\x17" * 32}), pack)
    end = (blobs[-1].offset + blobs[-1].length).to_bytes(2, "big")
    yield "pack-directory", "pack", b"\x00" + pack
    yield "pack-directory", "sealed", b"\x01" + bytes([kind])
    yield "pack-directory", "plain", b"\x03" + end + encode_directory(kind, blobs)
    text = b"the same line\n" * 20
    yield "blob", "frame", b"\x00" + len(text).to_bytes(3, "big") + bytes(compress(text))
    yield "blob", "stored", b"\x01" + len(text).to_bytes(3, "big") + text
    yield "blob", "sealed", b"\x02\x00\x00\x10" + bytes(32)
    made = vector("snapshots")
    trees = [bytes.fromhex(blob) for blob in made["tree"]]
    yield "tree", "blobs", b"".join(len(blob).to_bytes(2, "big") + blob for blob in trees)
    builder, repository = make_vectors.repository()
    for number, blob in enumerate(raw for raw in builder.plain if raw[:4] == b"PTRE"):
        yield "tree", f"stored{number}", len(blob).to_bytes(2, "big") + blob
        yield "content-list", f"stored{number}", b"\x00\x40" + bytes(64) + blob
    yield "snapshot", "full", bytes.fromhex(made["snapshot"])
    yield "summary", "full", bytes.fromhex(made["summary"])
    yield "summary", "held", bytes.fromhex(made["summary_held"])
    yield "index-segment", "one", bytes.fromhex(made["index"])
    whole = bytes.fromhex(repository["objects"][repository["head"]])
    yield "head", "whole", b"\x00" + whole
    yield "head", "body", b"\x01" + body_of(whole)
    yield from wire_seeds()
    id_ = "ab" * 32
    yield (
        "request",
        "put",
        f"PUT\n/v1/agreements/{id_}/objects/{id_}\n4096\n\nbytes=0-1\nkind=head&number=3\n1\n...".encode(),
    )
    yield "request", "list", f"GET\n/v1/agreements/{id_}/objects\n0\nidentity\nbytes=2-\nstart=7\n2\n....".encode()
    _, certificate = make_certificate("0x" + "12" * 20)
    yield "certificate", "made", certificate
    digest = bytes(range(32))
    yield "signature", "good", digest + typed.sign(b"\x11" * 32, digest)
    stream = [(PARAMETERS, b'{"a":1}'), (DATA, b"data"), (LAST, b'{"bytes":4}')]
    yield "frames", "whole", b"".join(header(kind, len(payload)) + payload for kind, payload in stream)
    yield "frames", "reason", header(PARAMETERS, 2) + b"{}" + header(LAST, 13) + b'{"error":"x"}'
    options = {"patterns": ["*.txt"], "exclude": ["/a"], "in_place": True, "verify": False, "tags": ["x"], "host": "h"}
    yield (
        "owner-parameters",
        "restore",
        json.dumps({"snapshot": "ab", "target": "/t", "include": ["b"], **options}).encode(),
    )
    given = {"keep_last": 3, "keep_within": "1y2m", "policy": "7d:1h", "newer_ns": "-1", "types": ["file"], "ids": "ab"}
    yield (
        "owner-parameters",
        "keep",
        json.dumps(given | {"read": "3/10", "without": [2], "limit_up": "1 MiB/s"}).encode(),
    )
    yield "owner-parameters", "surrogate", b'{"snapshot":"a","target":"/t","include":["\\ud800"]}'
    given = vector("keystore")
    sealed = bytes.fromhex(given["keystore"])
    opened = Keystore.open(sealed, given["passphrase"])
    fields = {name: getattr(opened, name) for name in opened.__dataclass_fields__}
    yield "keystore", "file", b"\x00" + sealed
    yield "keystore", "body", b"\x01" + msgspec.msgpack.encode(fields)
    enrolment = Enrolment("0x" + "12" * 20, "0x" + "34" * 20, bytes(32), 1, 2, 3, False)
    yield "enrolment", "full", encode_enrolment(SignedEnrolment(enrolment, bytes(65)))
    yield "enrolment", "not utf-8", b'{"account":"\xff"}'
    case = vector("words")["cases"][2]
    sheet = Sheet(tuple(case["words"].split()), tuple(case["parity"].split()), 31337, "0x" + "ab" * 32,
                  "0x" + "cd" * 20, ("http://127.0.0.1:8545",), ("https://127.0.0.1:4001",))  # fmt: skip
    yield "words", "sheet", sheet.text().encode()
    yield "words", "bare", " ".join(f"{i}. {word}" for i, word in enumerate(case["words"].split(), 1)).encode()
    yield "words", "missing", sheet.text().replace(case["words"].split()[0], "?", 1).encode()
    config = Config(
        rpc=["http://127.0.0.1:8545"], directory="0x" + "ab" * 20, chain_id=31337, genesis="0x" + "cd" * 32,
        account="0x" + "ef" * 20, name="näs", listen="[::1]:4001", endpoint="https://[::1]:4001", site="a",
    )  # fmt: skip
    yield "config", "full", config.to_toml().encode()
    yield "policy", "full", Policy().dump().encode()
    yield "policy", "size", b"\x01give.capacity_bytes=1.5TiB"
    yield "policy", "list", b"\x01take.jurisdictions_allow=fr,de"
    yield "policy", "code", b"\x01take.code=4+2"


def body_of(whole: bytes) -> bytes:
    """The plaintext of a head's body."""
    head = open_head(whole, make_vectors.WRAP_KEY)
    records = [to_record(pack) for pack in head.index_packs]
    return msgspec.msgpack.encode(
        {"previous": head.previous, "time_ns": head.time_ns, "index_packs": records, "snapshots": head.snapshots}
    )


def wire_seeds() -> Iterator[tuple[str, str, bytes]]:
    id_, signature = "ab" * 32, "cd" * 65
    terms = messages.TermsBody(
        1, 2, 3, 1 << 30, 1000, 0, 5, 1024, 168, 10, 8770, 20, id_, "00" * 32, "00" * 32, "00" * 32
    )
    amendment = messages.AmendmentBody(1, id_, 3, 1 << 31, 1000, 0, 7, 168, 9000, 28, "00" * 32)
    revision = messages.RevisionBody(1, id_, 7, id_, id_, 99, 1, 2, 500, "00" * 32)
    made = {
        "proposal": messages.Proposal(terms),
        "proposal-answer": messages.ProposalAnswer(terms, signature, ""),
        "amendment-proposal": messages.AmendmentProposal(amendment),
        "amendment-answer": messages.AmendmentAnswer(amendment, signature, ""),
        "cosign-request": messages.CosignRequest(revision, [id_, id_], signature),
        "cosign-answer": messages.CosignAnswer(signature),
        "dropped": messages.Dropped(id_),
        "receipt": messages.ReceiptBody(id_, id_, 3, 9, signature),
        "object-page": messages.ObjectPage(0, 2, [(id_, 1), (id_, 2)]),
        "head-list": messages.HeadList([(3, id_, 4096)]),
        "hello": messages.Hello(3, [1], "0.1", 1 << 40),
        "error": messages.ErrorBody("busy", "try again in a moment"),
    }
    for name, message in made.items():
        yield f"wire-{name}", "full", messages.encode(message)


def main() -> None:
    for target, name, data in seeds():
        path = SEEDS / target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(data)


if __name__ == "__main__":
    main()
