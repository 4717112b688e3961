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
    """Ask for a page and give status and body."""
    try:
        with urlopen(url, timeout=10, context=context) as reply:  # noqa: S310 - our own server
            return reply.status, reply.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def test_serves_http_and_https(google_emulator: Scenario) -> None:
    """Both origins answer; the secure one with a certificate of the emulator's own authority."""
    context = ssl.create_default_context(cafile=google_emulator.ca_file)

    plain = get(f"{google_emulator.http}/v1/nothing")
    secure = get(f"{google_emulator.https}/v1/nothing", context=context)

    assert plain == secure
    assert (plain[0], json.loads(plain[1])["error"]["code"]) == (404, 404)


def test_tells_the_authority_to_those_who_stand_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ready line names an absolute `ca_file`, however the directory was named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "google").mkdir()

    with EmulatorServer(Cloud(), Path("google")) as server:
        told = json.loads(server.ready_line())

    assert told["ca_file"] == str(tmp_path / "google" / "ca.pem")


@pytest.mark.parametrize("name", ["sts.googleapis.com", "iamcredentials.googleapis.com", "localhost", "127.0.0.1"])
def test_is_taken_for_the_host_that_a_client_means(google_emulator: Scenario, name: str) -> None:
    """Clients sent here by DNS find the name they expect in the certificate."""
    context = ssl.create_default_context(cafile=google_emulator.ca_file)
    port = int(google_emulator.https.rpartition(":")[2])

    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname=name) as secured,
    ):
        assert secured.version() in ("TLSv1.2", "TLSv1.3")


def test_its_certificate_names_every_service(tmp_path: Path) -> None:
    """The certificate carries all names and both loopback addresses, and its key is nobody else's to read."""
    made = make_certificates(tmp_path)

    certificate = x509.load_pem_x509_certificate(made.certificate_file.read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(found.get_values_for_type(x509.DNSName)) == set(NAMES)
    assert {str(address) for address in found.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1"}
    assert made.key_file.stat().st_mode & 0o777 == 0o600


def test_two_in_one_process_stay_apart(issuer: Issuer) -> None:
    """What exists, is issued, goes wrong, is noted and what time it is in one emulator is nothing to another."""
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
def test_refuses_addresses_that_others_reach(tmp_path: Path, host: str) -> None:
    """It is not secure, so it stays on the loopback."""
    with pytest.raises(EmulatorError, match="not a loopback address"):
        EmulatorServer(Cloud(), tmp_path, host=host)


def test_says_that_a_port_is_taken(google_emulator: Scenario, tmp_path: Path) -> None:
    """A port that cannot be had is named."""
    port = int(google_emulator.http.rpartition(":")[2])

    with pytest.raises(EmulatorError, match=f"port {port} .* cannot be had"):
        EmulatorServer(Cloud(), tmp_path, http_port=port)


def test_refuses_bodies_beyond_its_limit(google_emulator: Scenario) -> None:
    """A body of megabytes gets an answer in Google's shape."""
    request = Request(f"{google_emulator.http}/v1/token", data=b"x" * (5 * 1024 * 1024), method="POST")  # noqa: S310 - our own server

    with pytest.raises(HTTPError) as caught:
        urlopen(request, timeout=10)  # noqa: S310 - our own server

    with caught.value as error:
        assert (error.code, json.load(error)["error"]["code"]) == (413, 413)


def test_answers_head_without_a_body(google_emulator: Scenario) -> None:
    """HEAD gets a head and nothing more."""
    with pytest.raises(HTTPError) as caught:
        urlopen(Request(f"{google_emulator.http}/v1/nothing", method="HEAD"), timeout=10)  # noqa: S310 - our own server

    with caught.value as error:
        assert error.read() == b""


def test_tells_who_a_token_is(google_emulator: Scenario) -> None:
    """A scenario has a clock, a journal and a state, and asks whom tokens speak for."""
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
def test_waits_for_nobody_for_ever(tmp_path: Path, sent: bytes) -> None:
    """A request that does not come to its end is answered in Google's shape when the patience is over, and closed."""
    with EmulatorServer(Cloud(), tmp_path, patience=0.2) as server:
        port = int(server.http.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(sent)
            received = b""
            while piece := connection.recv(65536):
                received += piece

    assert json.loads(received.rpartition(b"\r\n\r\n")[2])["error"]["status"] == "DEADLINE_EXCEEDED"


def test_does_not_wait_for_an_issuer_for_ever(tmp_path: Path, issuer: Issuer) -> None:
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
