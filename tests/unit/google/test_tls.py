from __future__ import annotations

import ipaddress
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from refresher.google.call import TransportError
from refresher.google.transport import Limits, PooledTransport

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from tests.line_server import LineServer

    Serve = Callable[[Callable[[socket.socket, threading.Event], None]], LineServer]

pytestmark = pytest.mark.slow  # servers that hang, until a deadline
LIMITS = Limits(connect=0.5, read=0.5, call=1.0)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a file with a self-signed certificate for 127.0.0.1 and its key."""
    return make_certificate(tmp_path, x509.IPAddress(ipaddress.ip_address("127.0.0.1")), timedelta(days=1))


def make_certificate(place: Path, name_of_server: x509.GeneralName, life: timedelta) -> Path:
    """Write a file with a self-signed certificate that is valid for this long from now on, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([name_of_server]), critical=False)
        .sign(key, SHA256())
    )
    path = place / "certificate.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(built.public_bytes(Encoding.PEM) + pem)
    return path


def secured(certificate: Path, body: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Answer over TLS; without a body, announce one and send it byte by byte."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def treat(connection: socket.socket, ended: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as line:
            while not ended.is_set() and line.recv(4096):
                line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) or 9999))
                line.sendall(body)
                while not body and not ended.wait(0.05):
                    line.sendall(b"a")

    return treat


def secure(server: LineServer) -> str:
    """Return the https origin of a server."""
    return server.origin.replace("http:", "https:")


def test_certificate_of_the_ca_file_is_trusted(serve: Serve, certificate: Path) -> None:
    """The certificates in `ca_file` are trusted, in addition to the system's."""
    server = serve(secured(certificate, b"ok"))
    transport = PooledTransport(ca_file=certificate, limits=LIMITS)

    assert transport.request("GET", secure(server)).body == b"ok"
    assert transport.request("GET", secure(server)).body == b"ok"
    assert len(server.connections) == 1


def test_unknown_certificate_is_refused(serve: Serve, certificate: Path) -> None:
    """A certificate of an unknown authority ends the call, and the remedy names what sets the authority."""
    server = serve(secured(certificate, b"ok"))

    for key in ("google.ca_file", "the supplier's ca_file"):
        with pytest.raises(TransportError, match="certificate is not trusted") as caught:
            PooledTransport(ca_file=None, ca_key=key, limits=LIMITS).request("GET", secure(server))
        assert caught.value.remedy.startswith(f"set {key} (or SSL_CERT_FILE) to the PEM file")


@pytest.mark.parametrize(
    ("address", "days", "reason", "remedy"),
    [
        pytest.param("127.0.0.1", -1, "its certificate has expired", "renew it on that server", id="expired"),
        pytest.param("127.0.0.9", 1, "is not for the name 127.0.0.1", "a name that the certificate has", id="name"),
    ],
)
def test_certificate_that_does_not_hold_is_refused_with_its_own_reason(
    serve: Serve, tmp_path: Path, address: str, days: int, reason: str, remedy: str
) -> None:
    """A trusted certificate of another name or time is refused for that reason; the catalogue knows it as such."""
    path = make_certificate(tmp_path, x509.IPAddress(ipaddress.ip_address(address)), timedelta(days=days))
    server = serve(secured(path, b"ok"))

    with pytest.raises(TransportError, match=reason) as caught:
        PooledTransport(ca_file=path, limits=LIMITS).request("GET", secure(server))

    assert remedy in caught.value.remedy
    assert caught.value.entry == "certificate"


def test_server_without_tls_is_not_a_matter_of_trust(serve: Serve) -> None:
    """What does not speak TLS leads to the address, and not to another file of authorities."""

    def treat(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with pytest.raises(TransportError, match="does not speak TLS") as caught:
        PooledTransport(ca_file=None, limits=LIMITS).request("GET", secure(serve(treat)))

    assert "ca_file" not in caught.value.remedy


def test_system_trust_stays(certificate: Path) -> None:
    """`ca_file` adds to the system's certificates and takes none away."""
    alone = ssl.create_default_context()
    beside = ssl.create_default_context()
    beside.load_verify_locations(cafile=str(certificate))

    transport = PooledTransport(ca_file=certificate)
    context = transport._direct.connection_pool_kw["ssl_context"]  # noqa: SLF001 - nothing else shows it

    assert len(context.get_ca_certs()) == len(beside.get_ca_certs()) > len(alone.get_ca_certs())


def test_dripping_over_tls_keeps_no_worker(serve: Serve, certificate: Path) -> None:
    """The deadline ends a call whose body drips through TLS."""
    server = serve(secured(certificate, b""))
    started = time.monotonic()

    with pytest.raises(TransportError, match="no complete response within 1 s"):
        PooledTransport(ca_file=certificate, limits=LIMITS).request("GET", secure(server))

    assert time.monotonic() - started < 3


def test_dripping_handshake_keeps_no_worker(serve: Serve, certificate: Path) -> None:
    """The deadline ends a TLS handshake that never completes."""

    def treat(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"\x16\x03\x03\x40\x00")  # a handshake record of 16 KiB
        while not ended.wait(0.05):
            connection.sendall(b"\x02")

    server = serve(treat)
    started = time.monotonic()

    with pytest.raises(TransportError):
        PooledTransport(ca_file=certificate, limits=LIMITS).request("GET", secure(server))

    assert time.monotonic() - started < 3
