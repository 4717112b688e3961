from __future__ import annotations

from datetime import timedelta

import pytest

from refresher.errors import SupplyError
from refresher.google.call import Response
from refresher.google.source_credentials import MetadataServer
from refresher.tokens import AccessToken
from tests.failures import is_retryable
from tests.fakes import FakeTransport
from tests.tokens import NOW

FLAVOR = {"metadata-flavor": "Google"}
ORIGIN = "http://metadata.example"


def make_server(response: Response | None) -> tuple[MetadataServer, FakeTransport]:
    """Return a server that always returns this answer."""
    transport = FakeTransport(lambda _: response)
    return MetadataServer(transport=transport, origin=ORIGIN), transport


def answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an answer of a metadata server."""
    return Response(status=status, headers=FLAVOR if headers is None else headers, body=body)


def test_access_token_expires_when_the_server_says() -> None:
    """The token's life counts from the moment it was asked for."""
    server, transport = make_server(answer(b'{"access_token": "ya29.x", "expires_in": 599, "token_type": "Bearer"}'))

    token = server.access_token(NOW)

    (request,) = transport.requests
    assert token == AccessToken(value="ya29.x", expires_at=NOW + timedelta(seconds=599))
    assert request.url == f"{ORIGIN}/computeMetadata/v1/instance/service-accounts/default/token"
    assert request.headers["Metadata-Flavor"] == "Google"


def test_identity_token_is_asked_for_an_audience() -> None:
    """The audience is sent whole, and the full format is asked for."""
    server, transport = make_server(answer(b"a.b.c\n"))

    token = server.identity_token("https://x/y?a=b&c=d")

    assert token == "a.b.c"
    assert transport.requests[0].url.endswith("/identity?audience=https%3A%2F%2Fx%2Fy%3Fa%3Db%26c%3Dd&format=full")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"access_token": "", "expires_in": 5}',
        b'{"access_token": 1, "expires_in": 5}',
        b'{"access_token": "ya29.x", "expires_in": 0}',
        b'{"access_token": "ya29.x", "expires_in": "5"}',
        b'{"access_token": "ya29.x", "expires_in": 99999999999999999}',
    ],
)
def test_rubbish_is_rejected(body: bytes) -> None:
    """An answer without a token and its life is a retryable failure, and nothing of it is shown."""
    server, _ = make_server(answer(body))

    with pytest.raises(SupplyError, check=is_retryable) as caught:
        server.access_token(NOW)

    assert "ya29" not in str(caught.value)


@pytest.mark.parametrize(
    ("response", "retryable", "remedy"),
    [
        pytest.param(None, True, "google.endpoints.metadata", id="unreachable"),
        pytest.param(answer(b"", 404), False, "attach a service account", id="no-account"),
        pytest.param(answer(b"", 403), False, "may reach it", id="forbidden"),
        pytest.param(answer(b"", 503), True, "really is a metadata server", id="unavailable"),
        pytest.param(answer(b"{}", 200, {}), False, "run on Google Cloud", id="another-server"),
    ],
)
def test_failures_name_their_remedy(response: Response | None, retryable: bool, remedy: str) -> None:  # noqa: FBT001 - a table's column
    """Each failure has a remedy, and is retryable if it may pass."""
    server, _ = make_server(response)

    with pytest.raises(SupplyError) as caught:
        server.access_token(NOW)

    assert caught.value.retryable is retryable
    assert remedy in caught.value.remedy
