from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, quote_plus, unquote

import jwt
import pytest

from refresher.errors import SupplyError
from refresher.google.call import Response
from refresher.keys.jose import PrivateKey
from refresher.suppliers.client_credentials import ClientCredentialsSettings, read_secret_file
from refresher.suppliers.interface import Supplier, SupplierContext
from tests.contract.cases import ContractCase
from tests.failures import is_retryable
from tests.fakes import FakeTransport, FakeWorkshop
from tests.tokens import AUDIENCE, NOW, make_jwt

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.tokens import SubjectToken
    from tests.fakes import Request

ISSUER = "https://idp.example/realm"
TOKEN_URL = "https://idp.example/realm/token"
SECRET = "s3cr:et/with %+signs"
CONTEXT = SupplierContext(identity="alice", subject=None, audience=AUDIENCE)


def prepare(directory: Path) -> None:
    """Create the client's secret."""
    (directory / "secret").write_text("shh-client")
    (directory / "secret").chmod(0o400)


def answer(_path: str, _content: bytes) -> bytes:
    """Answer as a token endpoint does."""
    token = make_jwt(subject="client", issuer="https://idp.invalid", issued_at=datetime.now(UTC))
    return json.dumps({"access_token": token, "token_type": "Bearer"}).encode()


CONTRACT = {
    "client_credentials": ContractCase(
        supplier="{kind: client_credentials, issuer: https://idp.invalid, token_url: ORIGIN/oauth/token, "
        "client_id: worker, secret_file: secret}",
        prepare=prepare,
        answer=answer,
        subject_keys=frozenset({"client_id", "issuer"}),
        other_keys=frozenset({"authentication", "key_id", "parameters", "secret_file", "secret_variable", "token_url"}),
    ),
}


class Provider:
    """An issuer whose answers a test chooses."""

    def __init__(self) -> None:
        self.discovery: dict[str, str] = {"issuer": ISSUER, "token_endpoint": TOKEN_URL}
        self.status = 200
        self.echoes = False
        self.answer: dict[str, object] = {"access_token": make_jwt(issuer=ISSUER)}
        self.transport = FakeTransport(self._respond)

    def supply(
        self, authentication: str = "client_secret_basic", *, secret: str = SECRET, token_url: str | None = None
    ) -> SubjectToken:
        """Request one token."""
        return self.supplier(authentication, secret=secret, token_url=token_url).supply(CONTEXT, NOW)

    def supplier(
        self, authentication: str = "client_secret_basic", *, secret: str = SECRET, token_url: str | None = None
    ) -> Supplier:
        """Return a supplier that is a client of this issuer."""
        fields = {
            "kind": "client_credentials",
            "issuer": ISSUER,
            "client_id": "me & you",
            "authentication": authentication,
            "secret_variable": "CLIENT_SECRET",
            "parameters": {"scope": "a b", "audience": "google"},
        }
        settings = ClientCredentialsSettings.model_validate(
            fields if token_url is None else fields | {"token_url": token_url}
        )
        return settings.build(FakeWorkshop.over(self.transport, {"CLIENT_SECRET": secret}))

    def _respond(self, request: Request) -> Response:
        document = self.discovery if request.method == "GET" else self.answer
        if self.echoes:
            document = {"error": "invalid_request", "error_description": f"{request.headers} {request.body!r}"}
        return Response(status=self.status, headers={}, body=json.dumps(document).encode())


def read_form(request: Request) -> dict[str, list[str]]:
    """Return the parameters of a token request."""
    return parse_qs((request.body or b"").decode())


def test_basic_authentication_is_encoded_as_specified() -> None:
    """Id and secret are form-encoded before they are put into the header, and parameters are sent along."""
    provider = Provider()

    provider.supply(token_url=TOKEN_URL)

    (request,) = provider.transport.requests
    pair = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
    assert [unquote(part) for part in pair.split(":")] == ["me & you", SECRET]
    assert read_form(request) == {"grant_type": ["client_credentials"], "scope": ["a b"], "audience": ["google"]}


def test_secret_is_sent_in_the_form() -> None:
    """With client_secret_post the form has id and secret, and there is no header."""
    provider = Provider()

    provider.supply("client_secret_post", token_url=TOKEN_URL)

    (request,) = provider.transport.requests
    assert "Authorization" not in request.headers
    assert read_form(request)["client_id"] == ["me & you"]
    assert read_form(request)["client_secret"] == [SECRET]


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_assertion_is_signed_with_the_clients_own_key(algorithm: str) -> None:
    """With private_key_jwt an assertion is sent that lives a minute and that an independent library verifies."""
    provider, key = Provider(), PrivateKey.generate(algorithm)

    provider.supply("private_key_jwt", secret=key.to_pem().decode(), token_url=TOKEN_URL)

    form = read_form(provider.transport.requests[0])
    (assertion,) = form["client_assertion"]
    assert form["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
    assert jwt.get_unverified_header(assertion) == {"alg": algorithm, "kid": key.kid, "typ": "JWT"}
    claims = jwt.decode(
        assertion, jwt.PyJWK(key.public_jwk), audience=TOKEN_URL, options={"verify_exp": False, "verify_iat": False}
    )
    assert (claims["iss"], claims["sub"], claims["jti"]) == ("me & you", "me & you", "unique")
    assert claims["exp"] - claims["iat"] == 60


def test_token_url_is_discovered_once() -> None:
    """Without a configured token endpoint it is read once from the discovery document."""
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
    ("discovery", "fault"),
    [
        ({}, "is of the issuer"),
        ({"issuer": "https://other.example", "token_endpoint": TOKEN_URL}, "is of the issuer"),
        ({"issuer": ISSUER}, "has no https `token_endpoint` of the same origin"),
        (
            {"issuer": ISSUER, "token_endpoint": "http://idp.example/token"},
            "has no https `token_endpoint` of the same origin",
        ),
        ({"issuer": ISSUER, "token_endpoint": "//[bad"}, "has no https `token_endpoint` of the same origin"),
        (
            {"issuer": ISSUER, "token_endpoint": "https://evil.example/token"},
            "has no https `token_endpoint` of the same origin",
        ),
        (
            {"issuer": ISSUER, "token_endpoint": "https://idp.example.evil.example/token"},
            "has no https `token_endpoint` of the same origin",
        ),
        (
            {"issuer": ISSUER, "token_endpoint": "https://idp.example:8443/token"},
            "has no https `token_endpoint` of the same origin",
        ),
    ],
)
def test_unsuitable_discovery_document_gets_no_secret(discovery: dict[str, str], fault: str) -> None:
    """Another issuer's document, or a token endpoint without TLS, is refused before the secret is sent."""
    provider = Provider()
    provider.discovery = discovery

    with pytest.raises(SupplyError, match=fault, check=is_retryable):
        provider.supply()
    assert [request.method for request in provider.transport.requests] == ["GET"]


def test_opaque_access_token_is_refused_with_a_remedy() -> None:
    """An access token that is not a JWT would be refused by Google, and is refused here, without being quoted."""
    provider = Provider()
    provider.answer = {"access_token": "opaque-value-of-the-issuer"}

    with pytest.raises(SupplyError, match="is not a JWT") as caught:
        provider.supply()

    assert "opaque-value" not in str(caught.value)
    assert "parameters:" in caught.value.remedy


def test_refusal_does_not_repeat_the_secret() -> None:
    """The secret that an issuer sends back is not shown."""
    provider = Provider()
    provider.status, provider.answer = 401, {"error": "invalid_client", "error_description": f"bad secret {SECRET}"}

    with pytest.raises(SupplyError, match="bad secret") as caught:
        provider.supply("client_secret_post", token_url=TOKEN_URL)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("authentication", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("secret", [SECRET, "openid", "ü"])
def test_secret_that_an_issuer_quotes_is_not_shown(authentication: str, secret: str) -> None:
    """Neither the header nor the form is shown in any encoding, however short the secret is."""
    provider = Provider()
    provider.status, provider.echoes = 400, True

    with pytest.raises(SupplyError, match="was refused with HTTP 400") as caught:
        provider.supply(authentication, secret=secret, token_url=TOKEN_URL)

    (request,) = provider.transport.requests
    said = str(caught.value).replace("openid-configuration", "")
    sent = [
        request.headers.get("Authorization", "Basic ").removeprefix("Basic "),
        *read_form(request).get("client_secret", []),
    ]
    assert [form for form in (secret, quote(secret, safe=""), quote_plus(secret), *sent) if form and form in said] == []


def test_unusable_key_is_not_quoted() -> None:
    """A secret that is not a key cannot sign, and is not shown in the failure."""
    with pytest.raises(SupplyError, match="cannot be used") as caught:
        Provider().supply("private_key_jwt", token_url=TOKEN_URL)

    assert SECRET not in str(caught.value)


def test_secret_file_is_for_the_daemon_alone(tmp_path: Path) -> None:
    """A secret is read without the whitespace around it, from a file that others cannot read."""
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o440)
    assert read_secret_file(path) == SECRET

    path.chmod(0o444)
    with pytest.raises(SupplyError, match="can be read or written by others"):
        read_secret_file(path)
    path.chmod(0o600)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SupplyError, match="is not text"):
        read_secret_file(path)
    path.write_bytes(b" \n")
    with pytest.raises(SupplyError, match="holds no text"):
        read_secret_file(path)
    path.unlink()
    with pytest.raises(SupplyError, match="cannot be read"):
        read_secret_file(path)


def test_secret_is_read_for_each_token(tmp_path: Path) -> None:
    """A secret file may be replaced while the daemon runs."""
    path = tmp_path / "secret"
    provider = Provider()
    fields = {"kind": "client_credentials", "issuer": ISSUER, "token_url": TOKEN_URL, "client_id": "me"}
    settings = ClientCredentialsSettings.model_validate(
        fields | {"authentication": "client_secret_post", "secret_file": str(path)}
    )
    supplier = settings.build(FakeWorkshop.over(provider.transport))

    for secret in ("first-secret", "second-secret"):
        path.unlink(missing_ok=True)
        path.write_text(secret)
        path.chmod(0o400)
        supplier.supply(CONTEXT, NOW)

    sent = [read_form(request)["client_secret"] for request in provider.transport.requests]
    assert sent == [["first-secret"], ["second-secret"]]


def test_missing_variable_is_not_named() -> None:
    """A variable that is empty is reported without its name, which may be the secret in the wrong place."""
    with pytest.raises(SupplyError, match="lacks the variable in secret_variable") as caught:
        Provider().supply(secret="", token_url=TOKEN_URL)

    assert "CLIENT_SECRET" not in f"{caught.value.problem} {caught.value.remedy}"
