"""TLS between nodes: both sides show a self-signed certificate, and each trusts exactly those that are on chain.

There is no certificate authority. A provider takes the certificates of the live node keys as its only anchors, so a
stranger's handshake fails; which member a connection belongs to is then decided by the certificate's SHA-256, on every
request, so a revoked key stops at once. A client trusts, per connection, the one certificate of the node it calls.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from peerage.errors import LocalFault

NOT_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""A certificate lives as long as its enrolment on chain says, and clocks may be wrong: so its own dates say nothing."""

CERTIFICATE_MAX_BYTES = 4096


def make_certificate(node: str) -> tuple[bytes, bytes]:
    """A new (key PEM, certificate DER) for a node: ECDSA P-256, self-signed. node: its checksummed address, the CN."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, certificate.public_bytes(serialization.Encoding.DER)


def fingerprint(certificate: bytes) -> bytes:
    """SHA-256 of a certificate's DER: how the chain names it."""
    return hashlib.sha256(certificate).digest()


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """This node's own key and certificate."""

    key_pem: bytes = field(repr=False)
    certificate: bytes

    def server_context(self) -> ssl.SSLContext:
        """For the listener; trusts nobody until `trust` adds certificates."""
        context = _context(ssl.PROTOCOL_TLS_SERVER)
        self._load(context)
        # No resumption: every connection proves its key anew, and a ticket cannot outlive a revocation.
        context.num_tickets = 0
        return context

    def client_context(self, peer_certificate: bytes) -> ssl.SSLContext:
        """For calls to one node, whose certificate is the only one trusted. Raises ValueError if it is not one."""
        context = _context(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # nodes are named by certificate, not by host name
        context.verify_mode = ssl.CERT_REQUIRED
        self._load(context)
        if trust(context, [peer_certificate]) != 1:
            raise ValueError("the peer's certificate on chain cannot be read")
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        """The ssl module reads keys from files only; this one never touches a disk where the system allows it."""
        pem = ssl.DER_cert_to_PEM_cert(self.certificate).encode() + self.key_pem
        try:
            if hasattr(os, "memfd_create"):
                fd = os.memfd_create("peerage-tls", os.MFD_CLOEXEC)
                with open(fd, "wb") as file:
                    file.write(pem)
                    file.flush()
                    context.load_cert_chain(f"/proc/self/fd/{fd}")
            else:
                with tempfile.NamedTemporaryFile() as file:  # mode 0600, gone when closed
                    file.write(pem)
                    file.flush()
                    context.load_cert_chain(file.name)
        except (OSError, ssl.SSLError) as error:
            raise LocalFault("this node's TLS key and certificate cannot be used: the keystore is damaged") from error


def trust(context: ssl.SSLContext, certificates: Iterable[bytes]) -> int:
    """Add DER certificates to a context's anchors; a live listener's too. Returns how many could be read.

    What a member put on chain is its own affair: a certificate that cannot be read locks out only that member.
    """
    read = 0
    for certificate in certificates:
        if not 0 < len(certificate) <= CERTIFICATE_MAX_BYTES:
            continue
        try:
            x509.load_der_x509_certificate(certificate)
            context.load_verify_locations(cadata=certificate)
            read += 1
        except (ValueError, ssl.SSLError):
            continue
    return read


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    # An anchor need not be a root: the very certificate that is listed is enough.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
