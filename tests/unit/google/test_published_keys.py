from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from refresher.google.published_keys import UnpublishedKeysError, published_keys
from refresher.google.transport import Response
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
    """The discovery document has the URL of the keys; Google's own issuer is treated like any other."""
    transport = web(
        {f"{GOOGLE}/.well-known/openid-configuration": {"issuer": GOOGLE, "jwks_uri": CERTS}, CERTS: {"keys": KEYS}}
    )

    assert published_keys(transport, GOOGLE) == KEYS
    assert not any("Authorization" in request.headers for request in transport.requests)


def test_issuer_with_a_slash_is_taken_to_the_letter() -> None:
    """An issuer that ends with a slash has its document below it, and is compared with the slash."""
    issuer = "https://sts.windows.net/tenant/"
    transport = web(
        {
            "https://sts.windows.net/tenant/.well-known/openid-configuration": {"issuer": issuer, "jwks_uri": CERTS},
            CERTS: {"keys": KEYS},
        }
    )

    assert published_keys(transport, issuer) == KEYS


def test_google_publishes_keys_of_service_accounts() -> None:
    """Keys of an account that signs as itself need no discovery."""
    transport = web({f"https://www.googleapis.com/service_accounts/v1/metadata/jwk/{ACCOUNT}": {"keys": KEYS}})

    assert published_keys(transport, ACCOUNT) == KEYS


@pytest.mark.parametrize(
    ("issuer", "pages", "reason"),
    [
        ("http://idp.example.com", {}, "is no https URL"),
        ("workers", {}, "is no https URL"),
        ("https://[", {}, "is no https URL"),
        ("https://idp.example.com/\x1b[2J", {}, r"'https://idp.example.com/\\x1b\[2J' is no https URL"),
        ("../x@y.gserviceaccount.com", {}, "is no https URL"),
        (GOOGLE, {}, "answered HTTP 404"),
        (GOOGLE, {"": None}, "answered HTTP 404"),
        (GOOGLE, {f"{GOOGLE}/.well-known/openid-configuration": None}, "cannot be reached"),
        (GOOGLE, {f"{GOOGLE}/.well-known/openid-configuration": []}, "and no document"),
        (GOOGLE, {f"{GOOGLE}/.well-known/openid-configuration": {"issuer": "https://other"}}, "says that it is"),
        (
            GOOGLE,
            {f"{GOOGLE}/.well-known/openid-configuration": {"issuer": GOOGLE, "jwks_uri": "http://169.254.169.254/"}},
            "names no https jwks_uri",
        ),
        (
            GOOGLE,
            {
                f"{GOOGLE}/.well-known/openid-configuration": {"issuer": GOOGLE, "jwks_uri": CERTS},
                CERTS: {"keys": ["rubbish"]},
            },
            "holds no JWKS",
        ),
    ],
)
def test_what_is_not_published_is_told(issuer: str, pages: dict[str, object], reason: str) -> None:
    """The error shows why the keys are not available; only https is ever used."""
    transport = web(pages)

    with pytest.raises(UnpublishedKeysError, match=reason):
        published_keys(transport, issuer)

    assert all(request.url.startswith("https://") for request in transport.requests)
