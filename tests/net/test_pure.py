"""Requests, quotas, membership and TLS contexts, without a network."""

from __future__ import annotations

import ssl

import pytest
from tests.fakes import Network, Peer

from peerage.errors import LocalFault
from peerage.model import MemberId, ObjectKind
from peerage.net.membership import Membership
from peerage.net.quota import Quota
from peerage.net.requests import Route, body_length, byte_range, match, object_query
from peerage.net.tls import TlsIdentity, fingerprint, make_certificate, trust
from peerage.wire.refusals import Refusal, RefusalCode

A, B = MemberId(1), MemberId(2)


def test_routes() -> None:
    assert match("GET", "/v1/hello") == (Route.HELLO, ())
    assert match("PUT", "/v1/agreements/a/objects/b") == (Route.PUT_OBJECT, ("a", "b"))
    for verb, path in (
        ("PUT", "/v1/agreements/a/b/objects/c"),
        ("GET", "/v1/hello\n"),
        ("get", "/v1/hello"),
        ("GET", ""),
    ):
        with pytest.raises(Refusal):
            match(verb, path)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (0, 100)),
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=99-99", (99, 1)),
        ("bytes=10-19", (10, 10)),
    ],
)
def test_ranges(header: str | None, expected: tuple[int, int]) -> None:
    assert byte_range(header, 100) == expected


@pytest.mark.parametrize(
    "header",
    ["", "bytes=-5", "bytes=5-4", "bytes=0-100", "bytes=100-", "bytes=0-1,3-4", "items=0-1", "bytes= 0-1", "bytes=²-3"],
)
def test_ranges_that_are_refused(header: str) -> None:
    with pytest.raises(Refusal) as refused:
        byte_range(header, 100)
    assert refused.value.code == RefusalCode.BAD_RANGE


@pytest.mark.parametrize("length", ["-1", "+5", "1e3", "0x10", " 5", "", "05"])
def test_lengths_that_are_refused(length: str) -> None:
    with pytest.raises(Refusal):
        body_length({"Content-Length": length}, 1000)


def test_a_head_has_a_repository_and_a_number() -> None:
    query = object_query({"kind": "head", "repository": "3", "number": "9"})
    assert (query.kind, query.repository, query.number) == (ObjectKind.HEAD, 3, 9)
    with pytest.raises(Refusal):
        object_query({"kind": "shard", "number": "9"})


def test_a_quota_holds_each_member_for_itself() -> None:
    quota = Quota(per_s=2, burst=3, in_flight=2)
    assert quota.enter(A, 0.0)
    assert quota.enter(A, 0.0)
    assert not quota.enter(A, 0.0), "two at a time"
    assert quota.enter(B, 0.0)
    quota.leave(A)
    assert quota.enter(A, 0.0)
    quota.leave(A)
    assert not quota.enter(A, 0.0), "three at once"
    assert not quota.enter(A, 0.4)
    assert quota.enter(A, 0.6)
    quota.leave(A)
    assert not quota.enter(A, -100.0), "a clock that goes back gives nothing"


def test_trust_passes_over_what_is_no_certificate() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    good = make_certificate("0xA")[1]
    assert trust(context, [b"", b"x", good, good[:-5], b"\x30" * 5000]) == 1


def test_a_damaged_identity_is_a_local_fault() -> None:
    pem, certificate = make_certificate("0xA")
    for identity in (TlsIdentity(pem, make_certificate("0xA")[1]), TlsIdentity(b"x", certificate)):
        with pytest.raises(LocalFault):
            identity.server_context()


def test_a_key_is_not_shown() -> None:
    pem, certificate = make_certificate("0xA")
    assert "PRIVATE" not in repr(TlsIdentity(pem, certificate))


def test_contexts_are_tls_1_3_and_verify() -> None:
    pem, certificate = make_certificate("0xA")
    identity = TlsIdentity(pem, certificate)
    for context in (identity.server_context(), identity.client_context(certificate)):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_3
        assert context.verify_mode == ssl.CERT_REQUIRED


async def test_membership_follows_the_roster(network: Network) -> None:
    peer: Peer = await network.add(listen=False)
    roster, now_s = network.ledger.newest_roster, network.ledger.now_s
    membership = Membership(roster, now_s)
    certificate = peer.identity.certificate
    assert membership.by_certificate(certificate) == peer.info
    assert membership.by_certificate(make_certificate("0xA")[1]) is None
    assert membership.acts_for(peer.address, peer.member)
    assert membership.acts_for(peer.info.account, peer.member)
    assert not membership.acts_for(peer.address, MemberId(9))
    membership.refresh()
    assert membership.generation == 1, "the same roster is not indexed twice"
    network.enlist(peer, revoked=True)
    assert membership.by_certificate(certificate) is None
    assert membership.generation == 2
    assert not membership.acts_for(peer.address, peer.member)
    assert fingerprint(certificate) != fingerprint(b"")
