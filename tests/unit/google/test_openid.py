from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from refresher.errors import SupplyError
from refresher.google.call import Response
from refresher.google.openid import discover, fetch_keys, is_secure
from tests.fakes import FakeTransport

if TYPE_CHECKING:
    from tests.fakes import Request

GOOGLE = "https://accounts.google.com"
CERTS = "https://www.googleapis.com/oauth2/v3/certs"
ACCOUNT = "signer@my-project.iam.gserviceaccount.com"
KEYS = [{"kid": "1", "kty": "RSA"}]


def web(pages: dict[str, object]) -> FakeTransport:
    """Return a web of documents; a missing one is 404, and None cannot be reached."""

    def answer(request: Request) -> Response | None:
        page = pages.get(request.url, {})
        if page is None:
            return None
        return Response(status=200 if request.url in pages else 404, headers={}, body=json.dumps(page).encode())

    return FakeTransport(answer)


def test_issuer_is_asked_where_its_keys_are() -> None:
    """The discovery document contains the URL of the keys; Google's own issuer is one like any other."""
    transport = web(
        {f"{GOOGLE}/.well-known/openid-configuration": {"issuer": GOOGLE, "jwks_uri": CERTS}, CERTS: {"keys": KEYS}}
    )

    assert fetch_keys(transport, GOOGLE) == KEYS
    assert not any("Authorization" in request.headers for request in transport.requests)


def test_issuer_with_a_slash_is_taken_exactly() -> None:
    """An issuer that ends in a slash has its document below it, and is compared with the slash."""
    issuer = "https://sts.windows.net/tenant/"
    transport = web(
        {
            "https://sts.windows.net/tenant/.well-known/openid-configuration": {"issuer": issuer, "jwks_uri": CERTS},
            CERTS: {"keys": KEYS},
        }
    )

    assert fetch_keys(transport, issuer) == KEYS


def test_google_publishes_keys_of_service_accounts() -> None:
    """An account that signs in its own name needs no discovery."""
    transport = web({f"https://www.googleapis.com/service_accounts/v1/metadata/jwk/{ACCOUNT}": {"keys": KEYS}})

    assert fetch_keys(transport, ACCOUNT) == KEYS


@pytest.mark.parametrize(
    ("issuer", "pages", "reason"),
    [
        ("http://idp.example.com", {}, "is not an https URL"),
        ("workers", {}, "is not an https URL"),
        ("https://[", {}, "is not an https URL"),
        ("https://idp.example.com/\x1b[2J", {}, r"a text of 28 characters is not an https URL"),
        ("../x@y.gserviceaccount.com", {}, "is not an https URL"),
        (GOOGLE, {}, "refused with HTTP 404"),
        (GOOGLE, {"": None}, "refused with HTTP 404"),
        (GOOGLE, {f"{GOOGLE}/.well-known/openid-configuration": None}, "cannot be reached"),
        (GOOGLE, {f"{GOOGLE}/.well-known/openid-configuration": []}, "is not a JSON object"),
        (
            GOOGLE,
            {f"{GOOGLE}/.well-known/openid-configuration": {"issuer": "https://other"}},
            'is of the issuer "https://other"',
        ),
        (
            GOOGLE,
            {f"{GOOGLE}/.well-known/openid-configuration": {"issuer": GOOGLE, "jwks_uri": "http://169.254.169.254/"}},
            "has no https `jwks_uri`",
        ),
        (
            GOOGLE,
            {
                f"{GOOGLE}/.well-known/openid-configuration": {"issuer": GOOGLE, "jwks_uri": CERTS},
                CERTS: {"keys": ["rubbish"]},
            },
            "is not a JWKS",
        ),
    ],
)
def test_unavailable_keys_have_a_reason(issuer: str, pages: dict[str, object], reason: str) -> None:
    """The reason why there are no keys is reported; only https is ever asked."""
    transport = web(pages)

    with pytest.raises(SupplyError, match=reason):
        fetch_keys(transport, issuer)

    assert all(request.url.startswith("https://") for request in transport.requests)


def test_discovery_document_is_returned_whole() -> None:
    """A caller that needs another endpoint than the keys reads it from the same document."""
    document = {"issuer": GOOGLE, "token_endpoint": "https://oauth2.googleapis.com/token"}

    assert discover(web({f"{GOOGLE}/.well-known/openid-configuration": document}), GOOGLE) == document


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://idp.example/token", True),
        ("http://127.0.0.1:8080/token", False),
        ("http://idp.example/token", False),
        ("ftp://idp.example/token", False),
        ("https://", False),
        ("https://[", False),
        ("https://idp.example/\x1b", False),
        ("token", False),
    ],
)
def test_secret_is_sent_over_tls_alone(url: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    """Only https counts as secure, also on this machine."""
    assert is_secure(url) is expected
