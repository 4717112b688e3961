"""The emulator's own certificate authority, and a server certificate for loopback and Google's host names.

Clients that DNS or a hosts file sends here find the host name they expect. They must be configured to trust `ca.pem`.
"""

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMES = (
    "localhost",
    "metadata.google.internal",
    "accounts.google.com",
    "www.googleapis.com",
    "*.storage.googleapis.com",
    *(
        f"{service}.googleapis.com"
        for service in (
            "bigquery",
            "cloudresourcemanager",
            "iam",
            "iamcredentials",
            "logging",
            "monitoring",
            "oauth2",
            "openidconnect",
            "orgpolicy",
            "serviceusage",
            "storage",
            "sts",
        )
    ),
)
ADDRESSES = ("127.0.0.1", "::1")
_VALID_FOR = timedelta(days=365)
_LEFT_AT_LEAST = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Paths of the files that a server and its clients need.

    Attributes:
        ca_file: The authority's certificate, for clients to trust.
        certificate_file: The server's chain.
        key_file: The server's key, mode 0600.
    """

    ca_file: Path
    certificate_file: Path
    key_file: Path


def make_certificates(directory: Path, now: datetime | None = None) -> Certificates:
    """Return the certificates of a directory. Create them if they are missing, damaged or too old.

    The authority's key is discarded, so that no one can create another certificate that its clients would trust.
    """
    found = Certificates(
        ca_file=directory / "ca.pem",
        certificate_file=directory / "server.pem",
        key_file=directory / "server.key",
    )
    begin = (now or datetime.now(UTC)) - timedelta(hours=1)
    if _are_usable(found, begin):
        return found
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _create_authority(authority_key, begin)
    server = _create_server_certificate(server_key.public_key(), authority, authority_key, begin)
    found.ca_file.write_bytes(authority.public_bytes(Encoding.PEM))
    found.certificate_file.write_bytes(server.public_bytes(Encoding.PEM))
    descriptor = os.open(found.key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return found


def _are_usable(found: Certificates, now: datetime) -> bool:
    try:
        authority = x509.load_pem_x509_certificate(found.ca_file.read_bytes())
        server = x509.load_pem_x509_certificate(found.certificate_file.read_bytes())
        key = load_pem_private_key(found.key_file.read_bytes(), password=None)
        server.verify_directly_issued_by(authority)
        names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return (
        key.public_key() == server.public_key()
        and tuple(names.get_values_for_type(x509.DNSName)) == NAMES
        and server.not_valid_before_utc <= now + timedelta(hours=1)
        and now + _LEFT_AT_LEAST < min(server.not_valid_after_utc, authority.not_valid_after_utc)
    )


def _create_authority(key: ec.EllipticCurvePrivateKey, begin: datetime) -> x509.Certificate:
    name = _name("wif-refresher emulator, not Google")
    return (
        _build_certificate(name, name, key.public_key(), begin)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )


def _create_server_certificate(
    key: ec.EllipticCurvePublicKey, authority: x509.Certificate, signer: ec.EllipticCurvePrivateKey, begin: datetime
) -> x509.Certificate:
    names = [x509.DNSName(name) for name in NAMES]
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in ADDRESSES]
    return (
        _build_certificate(_name("wif-refresher emulator"), authority.subject, key, begin)
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, SHA256())
    )


def _build_certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begin: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + _VALID_FOR)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
