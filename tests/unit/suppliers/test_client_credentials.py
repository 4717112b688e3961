from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, quote_plus, unquote

import jwt
import pytest

from refresher.errors import SupplyError
from refresher.google.transport import Response
from refresher.keys.signing import PrivateKey
from refresher.suppliers.client_credentials import (
    Client,
    ClientCredentialsSupplier,
    is_safe,
    secret_of_file,
    secret_of_variable,
)
from refresher.suppliers.interface import SupplierContext
from tests.failures import is_retryable
from tests.fakes import FakeTransport
from tests.tokens import AUDIENCE, NOW, make_jwt

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.tokens import SubjectToken
    from tests.fakes import Request

ISSUER = "https://idp.example/realm"
TOKEN_URL = "https://idp.example/realm/token"
SECRET = "s3cr:et/with %+signs"
CONTEXT = SupplierContext(identity="alice", subject=None, audience=AUDIENCE)


class Provider:
    """An issuer that answers as a test says."""

    def __init__(self) -> None:
        self.discovery: dict[str, str] = {"issuer": ISSUER, "token_endpoint": TOKEN_URL}
        self.status = 200
        self.echoes = False
        self.answer: dict[str, object] = {"access_token": make_jwt(issuer=ISSUER)}
        self.transport = FakeTransport(self._respond)

    def supply(
        self, authentication: str = "client_secret_basic", *, secret: str = SECRET, token_url: str | None = None
    ) -> SubjectToken:
        """Ask once for a token."""
        return self.supplier(authentication, secret=secret, token_url=token_url).supply(CONTEXT, NOW)

    def supplier(
        self, authentication: str = "client_secret_basic", *, secret: str = SECRET, token_url: str | None = None
    ) -> ClientCredentialsSupplier:
        """Give a supplier that is a client of this issuer."""
        client = Client(
            client_id="me & you",
            authentication=authentication,
            secret=lambda: secret,
            key_id=None,
            parameters={"scope": "a b", "audience": "google"},
        )
        return ClientCredentialsSupplier(
            transport=self.transport, issuer=ISSUER, token_url=token_url, client=client, random=lambda: "random"
        )

    def _respond(self, request: Request) -> Response:
        document = self.discovery if request.method == "GET" else self.answer
        if self.echoes:
            document = {"error": "invalid_request", "error_description": f"{request.headers} {request.body!r}"}
        return Response(status=self.status, headers={}, body=json.dumps(document).encode())


def form_of(request: Request) -> dict[str, list[str]]:
    """Give the parameters of a token request."""
    return parse_qs((request.body or b"").decode())


def test_basic_authentication_is_encoded_as_the_specification_says() -> None:
    """Id and secret are form-encoded before they are put into the header, and parameters are sent along."""
    provider = Provider()

    provider.supply(token_url=TOKEN_URL)

    (request,) = provider.transport.requests
    pair = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
    assert [unquote(part) for part in pair.split(":")] == ["me & you", SECRET]
    assert form_of(request) == {"grant_type": ["client_credentials"], "scope": ["a b"], "audience": ["google"]}


def test_secret_in_the_form() -> None:
    """With client_secret_post the form has id and secret, and there is no header."""
    provider = Provider()

    provider.supply("client_secret_post", token_url=TOKEN_URL)

    (request,) = provider.transport.requests
    assert "Authorization" not in request.headers
    assert form_of(request)["client_id"] == ["me & you"]
    assert form_of(request)["client_secret"] == [SECRET]


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_assertion_signed_with_the_clients_own_key(algorithm: str) -> None:
    """With private_key_jwt an assertion of a minute is sent that an independent library verifies."""
    provider, key = Provider(), PrivateKey.generate(algorithm)

    provider.supply("private_key_jwt", secret=key.to_pem().decode(), token_url=TOKEN_URL)

    form = form_of(provider.transport.requests[0])
    (assertion,) = form["client_assertion"]
    assert form["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
    assert jwt.get_unverified_header(assertion) == {"alg": algorithm, "kid": key.kid, "typ": "JWT"}
    claims = jwt.decode(
        assertion, jwt.PyJWK(key.public_jwk), audience=TOKEN_URL, options={"verify_exp": False, "verify_iat": False}
    )
    assert (claims["iss"], claims["sub"], claims["jti"]) == ("me & you", "me & you", "random")
    assert claims["exp"] - claims["iat"] == 60


def test_token_url_is_discovered_once() -> None:
    """Without a configured one the token endpoint is read from the discovery document, and kept."""
    provider = Provider()
    supplier = provider.supplier()

    supplier.supply(CONTEXT, NOW)
    supplier.supply(CONTEXT, NOW)

    assert [request.url for request in provider.transport.requests] == [
        f"{ISSUER}/.well-known/openid-configuration",
        TOKEN_URL,
        TOKEN_URL,
    ]


@pytest.mark.parametrize(
    "discovery",
    [
        {},
        {"issuer": "https://other.example", "token_endpoint": TOKEN_URL},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "token_endpoint": "http://idp.example/token"},
        {"issuer": ISSUER, "token_endpoint": "//[bad"},
    ],
)
def test_discovery_that_does_not_fit_gets_no_secret(discovery: dict[str, str]) -> None:
    """Another issuer's document, or a token endpoint in the clear, is refused before the secret is sent."""
    provider = Provider()
    provider.discovery = discovery

    with pytest.raises(SupplyError, match="does not name the token endpoint", check=is_retryable):
        provider.supply()
    assert [request.method for request in provider.transport.requests] == ["GET"]


def test_opaque_access_token_is_refused_with_a_remedy() -> None:
    """What is no JWT would be refused by Google, and is refused here, without being quoted."""
    provider = Provider()
    provider.answer = {"access_token": "opaque-value-of-the-issuer"}

    with pytest.raises(SupplyError, match="no JWT") as caught:
        provider.supply()

    assert "opaque-value" not in str(caught.value)
    assert "parameters:" in caught.value.remedy


def test_refusal_does_not_repeat_the_secret() -> None:
    """An issuer that echoes what it was sent gives nothing away."""
    provider = Provider()
    provider.status, provider.answer = 401, {"error": "invalid_client", "error_description": f"bad secret {SECRET}"}

    with pytest.raises(SupplyError, match="bad secret") as caught:
        provider.supply("client_secret_post", token_url=TOKEN_URL)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("authentication", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("secret", [SECRET, "openid", "ü"])
def test_issuer_that_quotes_the_request_tells_no_secret(authentication: str, secret: str) -> None:
    """Neither the header nor the form comes back in any coding, however short the secret is."""
    provider = Provider()
    provider.status, provider.echoes = 400, True

    with pytest.raises(SupplyError, match="refused client") as caught:
        provider.supply(authentication, secret=secret, token_url=TOKEN_URL)

    (request,) = provider.transport.requests
    said = str(caught.value).replace("openid-configuration", "")
    sent = [
        request.headers.get("Authorization", "Basic ").removeprefix("Basic "),
        *form_of(request).get("client_secret", []),
    ]
    assert [form for form in (secret, quote(secret, safe=""), quote_plus(secret), *sent) if form and form in said] == []


def test_unusable_key_is_not_quoted() -> None:
    """A secret that is no key cannot sign, and does not appear in the complaint."""
    with pytest.raises(SupplyError, match="cannot be used") as caught:
        Provider().supply("private_key_jwt", token_url=TOKEN_URL)

    assert SECRET not in str(caught.value)


def test_secret_file_is_for_the_daemon_alone(tmp_path: Path) -> None:
    """A secret is read without the white space around it, from a file that others cannot read, anew each time."""
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o440)
    assert secret_of_file(path) == SECRET

    path.chmod(0o444)
    with pytest.raises(SupplyError, match="can be read or written by others"):
        secret_of_file(path)
    path.chmod(0o600)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SupplyError, match="holds no text"):
        secret_of_file(path)
    path.unlink()
    with pytest.raises(SupplyError, match="cannot be read"):
        secret_of_file(path)


def test_secret_in_a_variable() -> None:
    """A variable that is not set, or empty, is told without its name, for which the secret may have been taken."""
    assert secret_of_variable("CLIENT_SECRET", {"CLIENT_SECRET": SECRET}) == SECRET
    with pytest.raises(SupplyError, match="lacks the variable that secret_variable names") as caught:
        secret_of_variable("CLIENT_SECRET", {"CLIENT_SECRET": ""})
    assert "CLIENT_SECRET" not in f"{caught.value.problem} {caught.value.remedy}"


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://a/b", True),
        ("http://127.0.0.1:1/b", True),
        ("http://[::1]/b", True),
        ("http://a/b", False),
        ("ftp://a", False),
        ("", False),
    ],
)
def test_where_a_secret_may_go(url: str, safe: bool) -> None:  # noqa: FBT001 - of a table
    """Only https, or the loopback."""
    assert is_safe(url) is safe
