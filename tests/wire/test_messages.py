from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.model import AgreementId, Epoch, MemberId, Receipt, ShardRoot
from peerage.wire import version
from peerage.wire.messages import (
    CosignRequest,
    ErrorBody,
    ObjectPage,
    Proposal,
    ReceiptBody,
    RevisionBody,
    TermsBody,
    decode,
    encode,
    parse_id,
    parse_number,
)
from peerage.wire.refusals import STATUS, Refusal, RefusalCode
from peerage_chain.types import Revision, Terms

bytes32 = st.binary(min_size=32, max_size=32)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)

terms = st.builds(
    Terms,
    client=u32.map(MemberId),
    provider=u32.map(MemberId),
    capacity=u64,
    price_per_gib_epoch=u64,
    egress_price_per_gib=u64,
    collateral=u64,
    min_bandwidth_kib_s=u32,
    min_retention_epochs=u32,
    start_epoch=u32.map(Epoch),
    end_epoch=u32.map(Epoch),
    open_by=u32.map(Epoch),
    salt=bytes32,
    renews=bytes32,
    quality_clause=bytes32,
    extension=bytes32,
    version=st.integers(0, 2**16 - 1),
)
revisions = st.builds(
    Revision,
    agreement=bytes32.map(AgreementId),
    sequence=u64,
    previous=bytes32,
    root=bytes32,
    leaves=u64,
    bytes_up=u64,
    bytes_down=u64,
    expires=u32.map(Epoch),
    extension=bytes32,
    version=st.integers(0, 2**16 - 1),
)


@given(terms)
def test_terms_survive_the_wire(value: Terms) -> None:
    assert decode(Proposal, encode(Proposal(TermsBody.of(value)))).terms.terms() == value


@given(revisions)
def test_revisions_survive_the_wire(value: Revision) -> None:
    assert decode(RevisionBody, encode(RevisionBody.of(value))).revision() == value


def test_a_receipt_survives_the_wire() -> None:
    receipt = Receipt(AgreementId(b"a" * 32), ShardRoot(b"r" * 32), 7, Epoch(3), b"s" * 65)
    assert decode(ReceiptBody, encode(ReceiptBody.of(receipt))).receipt() == receipt


ROOT = "ab" * 32


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"null",
        b'{"start":0,"total":1}',
        b'{"start":0,"total":1,"objects":[],"more":1}',
        b'{"start":"0","total":1,"objects":[]}',
        b'{"start":true,"total":1,"objects":[]}',
        b'{"start":0.5,"total":1,"objects":[]}',
        b'{"start":-1,"total":1,"objects":[]}',
        b'{"start":0,"total":1,"objects":[["%s",1]]}' % (ROOT.upper().encode()),
        b'{"start":0,"total":1,"objects":[["%s",1]]}' % (ROOT[:-1].encode()),
        b'{"start":0,"total":1,"objects":[["%s\\n",1]]}' % (ROOT[:-1].encode()),
        b'{"start":0,"total":1,"objects":[["0x%s",1]]}' % (ROOT.encode()),
        b"[" * 100_000,
    ],
)
def test_what_is_not_the_message_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        decode(ObjectPage, body)
    assert refused.value.code == RefusalCode.MALFORMED
    assert "\n" not in str(refused.value)


def test_a_number_above_u64_is_refused() -> None:
    value = encode(RevisionBody.of(Revision(AgreementId(b"a" * 32), 1, b"p" * 32, b"r" * 32, 1, 0, 0, Epoch(1))))
    with pytest.raises(Refusal):
        decode(RevisionBody, value.replace(b'"leaves":1', b'"leaves":18446744073709551616')).revision()


def test_too_many_appended_roots_are_refused() -> None:
    revision = RevisionBody.of(Revision(AgreementId(b"a" * 32), 1, b"p" * 32, b"r" * 32, 1, 0, 0, Epoch(1)))
    body = encode(CosignRequest(revision, [ROOT] * 100_001, "ab" * 65))
    with pytest.raises(Refusal):
        decode(CosignRequest, body)


def test_an_error_of_a_newer_node_is_readable() -> None:
    assert decode(ErrorBody, b'{"code":"new_code","message":"m","hint":"later"}').code == "new_code"


@pytest.mark.parametrize(
    "text", ["", ROOT[:-1], ROOT + "a", ROOT.upper(), "../" + ROOT[3:], "%2e%2e" + ROOT[6:], ROOT[:-1] + "\n", "٠" * 64]
)
def test_ids_are_64_lower_case_digits(text: str) -> None:
    with pytest.raises(Refusal):
        parse_id(text, "the id")


def test_an_id_is_read() -> None:
    assert parse_id(ROOT, "the id") == b"\xab" * 32


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "01", "1e3", "0x1", "10", "٣", "1" * 30])
def test_numbers_are_plain_decimals_below_the_bound(text: str) -> None:
    with pytest.raises(Refusal):
        parse_number(text, "n", 10)


def test_every_code_has_a_status() -> None:
    assert set(STATUS) == set(RefusalCode)
    assert all(400 <= status < 600 for status in STATUS.values())


@pytest.mark.parametrize("header", [None, "", "0", "2", "1.0", "-1", "one", "9" * 40, "²", "1, 2"])
def test_unknown_versions_are_refused_by_name(header: str | None) -> None:
    with pytest.raises(Refusal, match="speaks 1") as refused:
        version.check(header)
    assert refused.value.code == RefusalCode.UNKNOWN_VERSION


def test_the_known_version_is_taken() -> None:
    assert version.check("1") == 1
