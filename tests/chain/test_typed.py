"""EIP-712 digests and signatures, against vectors that eth_account made and against eth_account itself."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak

from peerage_chain import typed
from peerage_chain.types import AgreementId, Amendment, Enrolment, Epoch, MemberId, Revision, Terms

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "eip712.json").read_text())
DOMAIN = typed.Domain(VECTORS["domain"]["chainId"], VECTORS["domain"]["verifyingContract"])
CASES = [pytest.param(case, id=f"{case['type']}, {case['title']}") for case in VECTORS["cases"]]


def raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def digest_of_case(case: dict[str, Any]) -> bytes:
    """The digest through the public functions, from the values that a caller would hold."""
    m: dict[str, Any] = {k: raw(v) if isinstance(v, str) and len(v) == 66 else v for k, v in case["message"].items()}
    match case["type"]:
        case "Terms":
            names = {f.name: _camel(f.name) for f in dataclasses.fields(Terms)}
            return typed.terms_digest(Terms(**{name: m[camel] for name, camel in names.items()}), DOMAIN)
        case "Revision":
            names = {f.name: _camel(f.name) for f in dataclasses.fields(Revision)}
            return typed.revision_digest(Revision(**{name: m[camel] for name, camel in names.items()}), DOMAIN)
        case "Amendment":
            names = {f.name: _camel(f.name) for f in dataclasses.fields(Amendment)}
            return typed.amendment_digest(Amendment(**{name: m[camel] for name, camel in names.items()}), DOMAIN)
        case "Enrolment":
            names = {f.name: _camel(f.name) for f in dataclasses.fields(Enrolment)}
            return typed.enrolment_digest(Enrolment(**{name: m[camel] for name, camel in names.items()}), DOMAIN)
        case "Revocation":
            return typed.revocation_digest(m["node"], DOMAIN, m["extension"])
        case "Receipt":
            return typed.receipt_digest(m["agreement"], m["root"], m["leaves"], m["epoch"], DOMAIN)
        case "Head":
            return typed.head_digest(m["member"], m["repository"], m["number"], m["digest"], DOMAIN)
    raise AssertionError(case["type"])


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def test_separator() -> None:
    assert DOMAIN.separator == raw(VECTORS["separator"])
    with pytest.raises(ValueError, match="separator"):
        typed.Domain(1, DOMAIN.directory, DOMAIN.separator)


@pytest.mark.parametrize("name", VECTORS["encodeType"])
def test_type_strings(name: str) -> None:
    assert typed.encode_type(name, typed.TYPES[name]) == VECTORS["encodeType"][name]


@pytest.mark.parametrize("case", CASES)
def test_digests_and_signatures_equal_the_vectors(case: dict[str, Any]) -> None:
    digest = digest_of_case(case)
    assert digest == raw(case["digest"])
    signature = typed.sign(raw(VECTORS["key"]), digest)
    assert signature == raw(case["signature"])
    assert typed.recover(digest, signature) == case["signer"] == typed.address_of(raw(VECTORS["key"]))


@pytest.mark.parametrize("case", CASES)
def test_vectors_equal_eth_account(case: dict[str, Any]) -> None:
    fields = [{"type": kind, "name": name} for kind, name in typed.TYPES[case["type"]]]
    message = encode_typed_data(VECTORS["domain"], {case["type"]: fields}, case["message"])
    assert keccak(b"\x19" + message.version + message.header + message.body) == raw(case["digest"])


@pytest.mark.parametrize("case", [pytest.param(case, id=case["title"]) for case in VECTORS["refused"]])
def test_bad_signatures_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=case["error"]):
        typed.recover(raw(case["digest"]), raw(case["signature"]))


GOOD_TERMS = Terms(MemberId(1), MemberId(2), 1 << 20, 1, 1, 1, 1, 1, Epoch(1), Epoch(2), Epoch(1), bytes(32))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"client": "1"}, "Terms.client must be an integer, not str"),
        ({"client": True}, "Terms.client must be an integer, not bool"),
        ({"client": 1.0}, "Terms.client must be an integer, not float"),
        ({"client": -1}, "Terms.client must lie in"),
        ({"client": 1 << 32}, "Terms.client must lie in"),
        ({"capacity": 1 << 64}, "Terms.capacity must lie in"),
        ({"salt": bytes(31)}, "Terms.salt must be 32 bytes"),
        ({"salt": "0x" + "00" * 32}, "Terms.salt must be 32 bytes"),
        ({"version": 2}, "version 2 of Terms is not known"),
    ],
)
def test_wrong_values_are_refused_before_hashing(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        typed.terms_digest(dataclasses.replace(GOOD_TERMS, **change), DOMAIN)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"exclusive": 1}, "Enrolment.exclusive must be True or False"),
        ({"node": "0x" + "ab" * 20}, "Enrolment.node must be a checksummed address"),
        ({"node": bytes(20)}, "Enrolment.node must be a checksummed address"),
        ({"node": "0x" + "a b" * 13 + "a"}, "Enrolment.node must be a checksummed address"),
    ],
)
def test_wrong_enrolments_are_refused(change: dict[str, Any], complaint: str) -> None:
    address = typed.checksum_address(b"\xab" * 20)
    good = Enrolment(address, address, bytes(32), 1, 2, 3, False)
    typed.enrolment_digest(good, DOMAIN)
    with pytest.raises(ValueError, match=complaint):
        typed.enrolment_digest(dataclasses.replace(good, **change), DOMAIN)


def test_every_field_is_bound() -> None:
    """No two terms that differ anywhere share a digest, nor the same terms in two domains."""
    digests = {typed.terms_digest(GOOD_TERMS, DOMAIN)}
    changes: list[dict[str, Any]] = [
        {f.name: bytes(31) + b"\x01" if isinstance(getattr(GOOD_TERMS, f.name), bytes) else 77}
        for f in dataclasses.fields(Terms)
        if f.name != "version"
    ]
    digests |= {typed.terms_digest(dataclasses.replace(GOOD_TERMS, **change), DOMAIN) for change in changes}
    digests.add(typed.terms_digest(GOOD_TERMS, typed.Domain(1, DOMAIN.directory)))
    digests.add(typed.terms_digest(GOOD_TERMS, typed.Domain(31337, typed.checksum_address(bytes(20)))))
    assert len(digests) == 1 + len(changes) + 2


def test_agreement_id_is_the_digest_of_the_terms() -> None:
    assert typed.agreement_id(GOOD_TERMS, DOMAIN) == AgreementId(typed.terms_digest(GOOD_TERMS, DOMAIN))


def test_parse_address() -> None:
    address = DOMAIN.directory
    assert typed.parse_address(address) == typed.parse_address(address.lower()) == address
    assert typed.parse_address(f" {address[2:].upper()}\n") == address
    swapped = address[:2] + address[2:].swapcase()
    for bad in (swapped, address[:-1], address + "0", "0x" + "zz" * 20, ""):
        with pytest.raises(ValueError, match="address"):
            typed.parse_address(bad)
