from __future__ import annotations

import json
import socket
import ssl
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from cryptography import x509

from refresher.emulator.certificates import NAMES, make_certificates
from refresher.emulator.cloud import Cloud
from refresher.emulator.oidc_issuer import discover
from refresher.emulator.server import EmulatorServer
from refresher.emulator.state import Provider, State
from refresher.emulator.testing import emulator
from refresher.errors import EmulatorError
from tests.line_server import LineServer, dripping
from tests.unit.emulator.conftest import ACCESS_TOKEN_TYPE, ALICE, ISSUER, JWT_TYPE, PROVIDER, SCOPE, Issuer

if TYPE_CHECKING:
    from refresher.emulator.testing import Scenario

pytestmark = pytest.mark.slow  # starts the emulator


def get(url: str, context: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """Read a page; return status and body."""
    try:
        with urlopen(url, timeout=10, context=context) as reply:  # noqa: S310 - our own server
            return reply.status, reply.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def test_http_and_https_are_served(google_emulator: Scenario) -> None:
    """Both origins answer; the secure one with a certificate of the emulator's own authority."""
    context = ssl.create_default_context(cafile=google_emulator.ca_file)

    plain = get(f"{google_emulator.http}/v1/nothing")
    secure = get(f"{google_emulator.https}/v1/nothing", context=context)

    assert plain == secure
    assert (plain[0], json.loads(plain[1])["error"]["code"]) == (404, 404)


def test_ready_line_has_an_absolute_ca_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ca_file` is absolute even if the emulator's directory is relative."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "google").mkdir()

    with EmulatorServer(Cloud(), Path("google")) as server:
        told = json.loads(server.ready_line())

    assert told["ca_file"] == str(tmp_path / "google" / "ca.pem")


@pytest.mark.parametrize("name", ["sts.googleapis.com", "iamcredentials.googleapis.com", "localhost", "127.0.0.1"])
def test_certificate_is_valid_for_googles_hosts(google_emulator: Scenario, name: str) -> None:
    """Clients that DNS sends here find the expected host name in the certificate."""
    context = ssl.create_default_context(cafile=google_emulator.ca_file)
    port = int(google_emulator.https.rpartition(":")[2])

    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname=name) as secured,
    ):
        assert secured.version() in ("TLSv1.2", "TLSv1.3")


def test_certificate_has_every_name(tmp_path: Path) -> None:
    """The certificate has all host names and both loopback addresses, and no other user can read its key."""
    made = make_certificates(tmp_path)

    certificate = x509.load_pem_x509_certificate(made.certificate_file.read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(found.get_values_for_type(x509.DNSName)) == set(NAMES)
    assert {str(address) for address in found.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1"}
    assert made.key_file.stat().st_mode & 0o777 == 0o600


def test_two_emulators_in_one_process_share_nothing(issuer: Issuer) -> None:
    """Resources, tokens, faults, journal and clock of one emulator do not exist in the other."""
    with emulator() as one, emulator() as other:
        one.add_provider(issuer=ISSUER, jwks=issuer.jwks)
        one.allow(ALICE, subject="user-1")
        one.add_bucket("data")
        one.quotas.enabled = True
        one.faults.add("metadata.email", status=503)
        one.clock.advance(timedelta(hours=1))
        token = one.access_token("user:carol@example.com", lifetime=7200)
        one.whoami(token)

        assert one.http != other.http
        assert other.state == State()
        assert (other.quotas.enabled, other.faults.pending, other.clock.offset) == (False, {}, timedelta())
        assert other.journal.entries() == []
        with pytest.raises(HTTPError, match="401"):
            other.whoami(token)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "example.com", "::"])  # noqa: S104 - it is refused
def test_addresses_beyond_the_loopback_are_refused(tmp_path: Path, host: str) -> None:
    """The emulator is not secure, so it only listens on the loopback."""
    with pytest.raises(EmulatorError, match="not a loopback address"):
        EmulatorServer(Cloud(), tmp_path, host=host)


def test_port_in_use_is_shown(google_emulator: Scenario, tmp_path: Path) -> None:
    """The error shows the port that cannot be used."""
    port = int(google_emulator.http.rpartition(":")[2])

    with pytest.raises(EmulatorError, match=f"port {port} .* cannot be used"):
        EmulatorServer(Cloud(), tmp_path, http_port=port)


def test_body_beyond_the_limit_is_refused(google_emulator: Scenario) -> None:
    """A body of several megabytes gets an answer in Google's shape."""
    request = Request(f"{google_emulator.http}/v1/token", data=b"x" * (5 * 1024 * 1024), method="POST")  # noqa: S310 - our own server

    with pytest.raises(HTTPError) as caught:
        urlopen(request, timeout=10)  # noqa: S310 - our own server

    with caught.value as error:
        assert (error.code, json.load(error)["error"]["code"]) == (413, 413)


def test_head_is_answered_without_a_body(google_emulator: Scenario) -> None:
    """HEAD only gets the headers."""
    with pytest.raises(HTTPError) as caught:
        urlopen(Request(f"{google_emulator.http}/v1/nothing", method="HEAD"), timeout=10)  # noqa: S310 - our own server

    with caught.value as error:
        assert error.read() == b""


def test_scenario_shows_the_caller_of_a_token(google_emulator: Scenario) -> None:
    """A scenario has a clock, a journal and a state, and shows the caller that a token authenticates."""
    google_emulator.add_service_account(ALICE)
    google_emulator.state.metadata_account = ALICE
    request = Request(  # noqa: S310 - our own server
        f"{google_emulator.http}/computeMetadata/v1/instance/service-accounts/default/token",
        headers={"Metadata-Flavor": "Google"},
    )

    with urlopen(request, timeout=10) as reply:  # noqa: S310 - our own server
        token = json.load(reply)["access_token"]

    assert google_emulator.whoami(token)["service_account"] == ALICE
    assert google_emulator.journal.entries("/computeMetadata/")[0].status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"POST /v1/token HTTP/1.1\r\ncontent-length: 9\r\n\r\nhalf",
        b"GET /emulator/clock HTTP/1.1\r\n\r\nGET / HT",
        b"POST /v1/token HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n4\r\nha",
    ],
)
def test_incomplete_request_is_refused_in_time(tmp_path: Path, sent: bytes) -> None:
    """A request that never becomes complete gets an answer in Google's shape after the time limit, and is closed."""
    with EmulatorServer(Cloud(), tmp_path, patience=0.2) as server:
        port = int(server.http.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(sent)
            received = b""
            while piece := connection.recv(65536):
                received += piece

    assert json.loads(received.rpartition(b"\r\n\r\n")[2])["error"]["status"] == "DEADLINE_EXCEEDED"


def test_slow_issuer_is_abandoned(tmp_path: Path, issuer: Issuer) -> None:
    """E10 for an issuer that sends its keys byte by byte."""
    dripper = LineServer(dripping(b"HTTP/1.1 200 OK\r\nContent-Type: ", b"x"))
    slow = dripper.origin
    cloud = Cloud(discover=discover)
    cloud.state.add_pool("workers").providers["refresher"] = Provider(issuer=slow)
    now = int(cloud.now())
    fields = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": f"//iam.googleapis.com/{PROVIDER}",
        "scope": SCOPE,
        "requested_token_type": ACCESS_TOKEN_TYPE,
        "subject_token": issuer.token(iss=slow, iat=now, exp=now + 3600),
        "subject_token_type": JWT_TYPE,
    }

    with closing(dripper), EmulatorServer(cloud, tmp_path, patience=0.5) as server:
        request = Request(f"{server.http}/v1/token", urlencode(fields).encode())  # noqa: S310 - our own server
        with pytest.raises(HTTPError) as refused, urlopen(request, timeout=10):  # noqa: S310 - our own server
            pass
        with refused.value as error:
            assert json.load(error)["error_description"] == "Error connecting to the given credential's issuer."
