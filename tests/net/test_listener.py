"""The listener against hand-made requests: what is malformed, slow, cut short or silent."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.fakes import Network, Peer

from peerage.model import AgreementId
from peerage.net.tls import TlsIdentity, make_certificate
from peerage.shard.tree import object_tree

Pair = tuple[Peer, Peer, AgreementId]
ROOT = "ab" * 32


async def dial(client: Peer, provider: Peer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = client.identity.client_context(provider.identity.certificate)
    return await asyncio.open_connection("127.0.0.1", provider.port, ssl=context, server_hostname="")


def head(line: str, **headers: str) -> bytes:
    lines = [f"{line} HTTP/1.1", "host: x", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    if "peerage_protocol" not in headers:
        lines.append("peerage-protocol: 1")
    return "\r\n".join([*lines, "", ""]).encode()


async def converse(client: Peer, provider: Peer, *said: bytes, pause_s: float = 0.0) -> bytes:
    """Send pieces, then read all until the provider hangs up or nothing more comes."""
    reader, writer = await dial(client, provider)
    answer = b""
    try:
        for piece in said:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(8):
            while piece := await reader.read(65536):
                answer += piece
                if b"\r\n\r\n" in answer and b"100 Continue" not in answer:
                    break
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.transport.abort()
    return answer


async def code_of(client: Peer, provider: Peer, *said: bytes, pause_s: float = 0.0) -> str:
    answer = await converse(client, provider, *said, pause_s=pause_s)
    body = answer[answer.rindex(b"\r\n\r\n") + 4 :]
    return str(json.loads(body)["code"])


@pytest.mark.parametrize(
    ("request_head", "code"),
    [
        (head("GET /"), "not_found"),
        (head("GET /v1/hello/"), "not_found"),
        (head("DELETE /v1/hello"), "method_not_allowed"),
        (head("GET /v1/objects/../../etc/passwd"), "not_found"),
        (head("GET /v1/objects/%2e%2e%2f%2e%2e%2fetc%2fpasswd"), "malformed"),
        (head(f"GET /v1/objects/{ROOT.upper()}"), "malformed"),
        (head(f"GET /v1/objects/{ROOT}%00"), "malformed"),
        (head(f"GET /v1/objects/{ROOT[:-2]}"), "malformed"),
        (head(f"GET /v1/objects/{ROOT}?x=1"), "malformed"),
        (head(f"GET /v1/objects/{ROOT}"), "no_such_object"),
        (head(f"GET /v1/agreements/{ROOT}/objects"), "no_such_agreement"),
        (head(f"GET /v1/agreements/{ROOT}/objects?start=-1"), "malformed"),
        (head(f"GET /v1/agreements/{ROOT}/objects?count=99999"), "malformed"),
        (head(f"GET /v1/agreements/{ROOT}/objects?count=1&count=2"), "malformed"),
        (head("GET /v1/heads?repository=x"), "malformed"),
        (head("GET /v1/hello", peerage_protocol="2"), "unknown_version"),
        (head("GET /v1/hello", peerage_protocol=""), "unknown_version"),
        (head(f"PUT /v1/agreements/{ROOT}/objects/{ROOT}"), "length_required"),
        (head(f"PUT /v1/agreements/{ROOT}/objects/{ROOT}", content_length="99999999999"), "too_large"),
        (head(f"PUT /v1/agreements/{ROOT}/objects/{ROOT}?kind=x", content_length="1024"), "malformed"),
        (head(f"PUT /v1/agreements/{ROOT}/objects/..%2f{ROOT}", content_length="1024"), "malformed"),
        (head(f"PUT /v1/agreements/{ROOT}/objects/{ROOT}", content_length="1024"), "no_such_agreement"),
        (head("POST /v1/proposals", content_length="999999"), "too_large"),
        (head("POST /v1/proposals", transfer_encoding="chunked"), "length_required"),
        (head("POST /v1/proposals", content_length="2") + b"{}", "malformed"),
        (head("POST /v1/proposals", content_length="2", content_encoding="gzip") + b"{}", "malformed"),
        (head(f"POST /v1/agreements/{ROOT}/revisions", content_length="2") + b"[]", "malformed"),
        (head("POST /v1/proposals", content_length="2", expect="something") + b"{}", "malformed"),
    ],
)
async def test_what_is_malformed_is_refused_by_name(pair: Pair, request_head: bytes, code: str) -> None:
    client, provider, _ = pair
    assert await code_of(client, provider, request_head) == code


async def test_a_body_that_stops_is_given_up(pair: Pair) -> None:
    client, provider, agreement = pair
    start = head(f"PUT /v1/agreements/{agreement.hex()}/objects/{ROOT}", content_length="2048")
    assert await code_of(client, provider, start + b"x" * 1000) == "too_slow"
    assert provider.store.usage().used_bytes == 0


async def test_a_body_that_drips_is_given_up(pair: Pair) -> None:
    client, provider, agreement = pair
    start = head(f"PUT /v1/agreements/{agreement.hex()}/objects/{ROOT}", content_length="2048")
    assert await code_of(client, provider, start, *[b"x"] * 30, pause_s=0.05) == "too_slow"
    assert provider.store.usage().used_bytes == 0


async def test_a_body_cut_short_leaves_nothing(pair: Pair) -> None:
    client, provider, agreement = pair
    data = bytes(2048)
    root = object_tree(data).root
    reader, writer = await dial(client, provider)
    writer.write(
        head(f"PUT /v1/agreements/{agreement.hex()}/objects/{root.hex()}", content_length="2048") + data[:2047]
    )
    await writer.drain()
    await asyncio.sleep(0.1)
    assert provider.store.usage().used_bytes == 2048, "room is reserved while it comes"
    writer.transport.abort()
    for _ in range(50):
        await asyncio.sleep(0.05)
        if provider.store.usage().used_bytes == 0:
            break
    assert provider.store.usage().used_bytes == 0
    assert list((provider.store._files.directory / "incoming").iterdir()) == []
    assert reader is not None


async def test_a_wrong_object_is_named_before_100_continue(pair: Pair) -> None:
    client, provider, _ = pair
    start = head(f"PUT /v1/agreements/{ROOT}/objects/{ROOT}", content_length="1024", expect="100-continue")
    answer = await converse(client, provider, start)
    assert answer.startswith(b"HTTP/1.1 404")


async def test_a_connection_that_never_asks_is_hung_up(pair: Pair) -> None:
    client, provider, _ = pair
    for said in (b"", b"GET /v1/hello HTT"):
        reader, writer = await dial(client, provider)
        writer.write(said)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.transport.abort()


async def test_a_long_header_is_refused(pair: Pair) -> None:
    client, provider, _ = pair
    answer = await converse(client, provider, head("GET /v1/hello", padding="x" * 5000))
    assert answer.split(b" ")[1] == b"400"


async def test_no_certificate_no_handshake(network: Network, pair: Pair) -> None:
    import ssl

    _, provider, _ = pair
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port, ssl=context)
    writer.write(head("GET /v1/hello"))
    try:
        answer = await reader.read()
    except (ConnectionError, ssl.SSLError):
        answer = b""
    writer.transport.abort()
    assert answer == b""


async def test_plain_http_gets_nothing(pair: Pair) -> None:
    _, provider, _ = pair
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    writer.write(head("GET /v1/hello"))
    try:
        answer = await reader.read()
    except ConnectionError:
        answer = b""
    writer.transport.abort()
    assert b"HTTP" not in answer


async def test_a_member_cannot_vouch_for_another_certificate(network: Network, pair: Pair) -> None:
    """A certificate on chain that is a CA may pass the handshake for what it issued, and is refused then."""
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    client, provider, _ = pair
    ca_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def certificate(name: str, issuer: str, own: ec.EllipticCurvePrivateKey, ca: bool) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(own.public_key())
            .serial_number(1)
            .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(9999, 12, 31, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(ca_key, hashes.SHA256())
        )

    ca = certificate("ca", "ca", ca_key, True)
    leaf = certificate("leaf", "ca", leaf_key, False)
    network.enlist(client, certificate=ca.public_bytes(serialization.Encoding.DER))
    pem = leaf_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    client.identity = TlsIdentity(pem, leaf.public_bytes(serialization.Encoding.DER))
    assert await code_of(client, provider, head("GET /v1/hello")) == "not_a_member"


async def test_certificates_of_one_name_do_not_shadow_each_other(network: Network, pair: Pair) -> None:
    client, provider, _ = pair
    twin = await network.add(listen=False)
    pem, certificate = make_certificate(client.address)
    twin.identity = TlsIdentity(pem, certificate)
    network.enlist(twin, certificate=certificate)
    for peer in (client, twin):
        answer = await converse(peer, provider, head("GET /v1/hello"))
        assert answer.startswith(b"HTTP/1.1 200")
