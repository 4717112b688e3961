from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from refresher.errors import ExchangeError
from refresher.google.call import Response
from refresher.google.chain import exchange
from refresher.resources import CLOUD_PLATFORM_SCOPE, Endpoints, WorkloadIdentityProvider
from refresher.tokens import AccessToken
from tests.failures import is_retryable
from tests.fakes import FakeTransport
from tests.tokens import NOW

if TYPE_CHECKING:
    from tests.fakes import Request

PROVIDER = WorkloadIdentityProvider(project_number="123456789012", pool="workers", provider="refresher")
SUBJECT_TOKEN = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"


def answering(status: int, document: object) -> FakeTransport:
    """Return a transport that always returns this answer."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return FakeTransport(lambda _: Response(status=status, headers={}, body=body))


JWT = "urn:ietf:params:oauth:token-type:jwt"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"


def run(transport: FakeTransport, kind: str = JWT) -> AccessToken:
    """Exchange a token."""
    return exchange(
        transport,
        Endpoints.of_universe(),
        provider=PROVIDER,
        subject_token=SUBJECT_TOKEN,
        subject_token_type=kind,
        scopes=[CLOUD_PLATFORM_SCOPE],
        now=NOW,
    )


def test_request_is_that_of_the_specification() -> None:
    """The form has the parameters of RFC 8693, section 2.1, and the token's lifetime counts from now."""
    transport = answering(200, {"access_token": "ya29.d.federated", "expires_in": 600})

    token = run(transport)

    (request,) = transport.requests
    assert request.url == "https://sts.googleapis.com/v1/token"
    assert parse_qs(_body(request)) == {
        "grant_type": ["urn:ietf:params:oauth:grant-type:token-exchange"],
        "audience": [PROVIDER.sts_audience],
        "scope": [CLOUD_PLATFORM_SCOPE],
        "requested_token_type": ["urn:ietf:params:oauth:token-type:access_token"],
        "subject_token": [SUBJECT_TOKEN],
        "subject_token_type": ["urn:ietf:params:oauth:token-type:jwt"],
    }
    assert token.expires_at == NOW + timedelta(seconds=600)
    assert "federated" not in repr(token)


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (403, False), (429, True), (500, True), (503, True)])
def test_refusal_has_googles_words_without_the_token(status: int, retryable: bool) -> None:  # noqa: FBT001 - of a table
    """An error answer becomes a failure with Google's text and a remedy; what was sent is not in it."""
    transport = answering(status, {"error": "invalid_grant", "error_description": f"no: {SUBJECT_TOKEN} is bad"})

    with pytest.raises(ExchangeError, match=f"HTTP {status}: no: … is bad") as caught:
        run(transport)

    assert caught.value.retryable is retryable
    assert caught.value.remedy


@pytest.mark.parametrize(
    "answer", [b"rubbish", {}, {"access_token": ""}, {"access_token": "x"}, {"access_token": 1, "expires_in": 3}]
)
def test_strange_answer_is_retryable(answer: object) -> None:
    """An answer without an access token or its life is rejected, and the exchange is tried again."""
    with pytest.raises(ExchangeError, match=r"the response (is not a JSON|has no)", check=is_retryable):
        run(answering(200, answer))


def test_unreachable_server_is_named() -> None:
    """A server that cannot be reached is named."""
    with pytest.raises(ExchangeError, check=is_retryable) as caught:
        run(FakeTransport(lambda _: None))

    assert "https://sts.googleapis.com" in caught.value.remedy


def _body(request: Request) -> str:
    return (request.body or b"").decode()


@pytest.mark.parametrize(
    ("kind", "text", "remedy"),
    [
        (ACCESS, "Invalid subject_token_type for this audience.", "no opaque access token"),
        (ACCESS, "Unable to parse the ID Token.", "no opaque access token"),
        (ACCESS, "The target service indicated by the audience parameter is invalid", "pool"),
        (JWT, "Unable to parse the ID Token.", "the JWT and nothing else"),
        (JWT, "something new", "look this message up"),
    ],
)
def test_refused_access_token_has_a_remedy_of_its_own(kind: str, text: str, remedy: str) -> None:
    """For a refused access token the remedy is another supplier; other mistakes keep their own."""
    with pytest.raises(ExchangeError) as caught:
        run(answering(400, {"error": "invalid_request", "error_description": text}), kind)

    assert remedy in caught.value.remedy
