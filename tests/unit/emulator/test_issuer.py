from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import jwt
import pytest

from refresher.emulator.oidc_issuer import discover
from refresher.emulator.state import Provider
from tests.unit.emulator.conftest import ALICE, NOW_SECONDS, PROVIDER, SCOPE, Google, Issuer, principal

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow  # starts servers


def test_published_keys_verify_id_tokens(google: Google, federated: str) -> None:
    """The keys that discovery finds verify an ID token."""
    google.cloud.origin = "http://127.0.0.1:1"
    configuration = google.ask("GET", "/.well-known/openid-configuration").document
    token = google.iam(ALICE, "generateIdToken", federated, audience="a").document["token"]

    keys = google.ask("GET", configuration["jwks_uri"].removeprefix("http://127.0.0.1:1")).document["keys"]

    key = next(key for key in keys if key["kid"] == jwt.get_unverified_header(token)["kid"])
    claims = jwt.decode(
        token, jwt.PyJWK(key), algorithms=["RS256"], audience="a", options={"verify_exp": False, "verify_iat": False}
    )
    assert claims["iss"] == configuration["issuer"] == "https://accounts.google.com"


def test_pool_can_trust_google(google: Google, federated: str) -> None:
    """A Google-signed ID token of an account can be exchanged at a provider that trusts accounts.google.com."""
    google.cloud.state.add_pool("workers").providers["refresher"] = Provider(issuer="https://accounts.google.com")
    audience = f"https://iam.googleapis.com/{PROVIDER}"
    token = google.iam(ALICE, "generateIdToken", federated, audience=audience).document["token"]

    reply = google.exchange(token)

    unique_id = google.cloud.state.service_accounts[ALICE].unique_id
    assert google.whoami(reply.document["access_token"])["principal"] == principal(unique_id)


def test_tokeninfo_describes_an_access_token(google: Google, federated: str) -> None:
    """An account's access token is described; a federated one is not accepted (measured)."""
    token = google.impersonate(ALICE, federated).document["accessToken"]

    told = google.ask("GET", "/tokeninfo", query={"access_token": token}).document

    assert (told["email"], told["scope"], told["expires_in"]) == (ALICE, SCOPE, "3600")
    assert told["exp"] == str(NOW_SECONDS + 3600)
    assert google.ask("GET", "/tokeninfo", query={"access_token": federated}).status == 400


def test_tokeninfo_describes_an_id_token(google: Google, federated: str) -> None:
    """A Google-signed ID token is described; a foreign or damaged one is invalid."""
    token = google.iam(ALICE, "generateIdToken", federated, audience="a", includeEmail=True).document["token"]

    told = google.ask("GET", "/oauth2/v3/tokeninfo", query={"id_token": token})

    assert (told.document["aud"], told.document["email_verified"]) == ("a", "true")
    assert google.ask("GET", "/tokeninfo", query={"id_token": f"{token[:-4]}AAAA"}).status == 400


@pytest.fixture
def issuer_server() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Return the origin of a server, and the pages that it serves by path."""
    pages: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in pages else 404)
            self.end_headers()
            self.wfile.write(pages.get(self.path, b""))

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", pages
        server.shutdown()
        thread.join()


def test_discovery_reads_over_http(issuer_server: tuple[str, dict[str, bytes]]) -> None:
    """The configuration is read first, then the keys at its `jwks_uri`."""
    origin, pages = issuer_server
    pages["/.well-known/openid-configuration"] = f'{{"issuer": "{origin}", "jwks_uri": "{origin}/k"}}'.encode()
    pages["/k"] = b'{"keys": []}'

    assert discover(origin) == {"keys": []}


@pytest.mark.parametrize(
    "configuration",
    [
        b"",
        b"[]",
        b"{",
        b'{"jwks_uri": "ORIGIN/k"}',
        b'{"issuer": 5, "jwks_uri": "ORIGIN/k"}',
        b'{"issuer": "ORIGIN", "jwks_uri": "file:///k"}',
    ],
)
def test_discovery_finds_no_keys_when_an_answer_is_invalid(
    issuer_server: tuple[str, dict[str, bytes]], configuration: bytes
) -> None:
    """An issuer with an invalid answer of any kind has no keys."""
    origin, pages = issuer_server
    pages["/.well-known/openid-configuration"] = configuration.replace(b"ORIGIN", origin.encode())

    assert discover(origin) is None


@pytest.mark.parametrize(
    ("issuer_uri", "published"),
    [
        ("ORIGIN", "https://other.example.com"),
        ("ORIGIN/", "ORIGIN"),
        ("ORIGIN", "ORIGIN/"),
        ("ORIGIN/tenant", "ORIGIN"),
        ("ORIGIN", "https://127.0.0.1:PORT"),
        ("http://LOCALHOST:PORT", "http://localhost:PORT"),
        ("ORIGIN", " ORIGIN"),
    ],
    ids=["another host", "slash", "no slash", "path", "scheme", "upper case", "space"],
)
def test_other_issuer_in_the_discovery_document_is_refused(
    google: Google, issuer: Issuer, issuer_server: tuple[str, dict[str, bytes]], issuer_uri: str, published: str
) -> None:
    """E19: the issuer of a discovery document must be the provider's, character by character."""
    origin, pages = issuer_server
    named, told = (
        text.replace("ORIGIN", origin).replace("PORT", origin.rpartition(":")[2]) for text in (issuer_uri, published)
    )
    path = named.removesuffix("/").partition("/")[2].partition("/")[2].partition("/")[2]
    where = f"/{path}/.well-known/openid-configuration".replace("//", "/")
    pages[where] = json.dumps({"issuer": told, "jwks_uri": f"{origin}/k"}).encode()
    pages["/k"] = json.dumps(issuer.jwks).encode()
    google.cloud.discover = discover
    google.cloud.state.add_pool("workers").providers["refresher"] = Provider(issuer=named)

    refused = google.exchange(issuer.token(iss=named))
    pages[where] = json.dumps({"issuer": named, "jwks_uri": f"{origin}/k"}).encode()
    accepted = google.exchange(issuer.token(iss=named))

    assert (refused.status, refused.document["error"]) == (400, "invalid_grant")
    assert "discovery document does not match" in refused.document["error_description"]
    assert google.cloud.journal.entries()[0].refusal == "E19"
    assert accepted.status == 200


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:9", "file:///etc", "nonsense"])
def test_discovery_finds_no_keys_when_the_issuer_is_unreachable(issuer: str) -> None:
    """An unreachable issuer has no keys, and is not an error."""
    assert discover(issuer) is None
