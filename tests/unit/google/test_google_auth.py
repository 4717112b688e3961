from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from refresher import adc
from refresher.errors import ExchangeError, ImpersonationError, RefresherError
from refresher.google.call import Response
from refresher.google.google_auth import prove
from refresher.resources import CLOUD_PLATFORM_SCOPE, Endpoints, Impersonation, WorkloadIdentityProvider
from refresher.tokens import ACCESS_TOKEN_TYPE, JWT_TYPE
from tests.fakes import FakeTransport, Request
from tests.tokens import make_jwt

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNT = "alice@p.iam.gserviceaccount.com"
FEDERATED = "ya29.d.federated"
IMPERSONATED = "ya29.c.impersonated"


PROVIDER = WorkloadIdentityProvider(project_number="1", pool="workers", provider="refresher")
WAY = Impersonation(
    provider=PROVIDER,
    subject="user-1",
    subject_token_type=JWT_TYPE,
    service_account=ACCOUNT,
    delegates=(),
    scopes=(CLOUD_PLATFORM_SCOPE,),
    lifetime=None,
)


def document_of(service_account: str | None = ACCOUNT) -> dict[str, Any]:
    """Return an ADC document whose token path exists in the container only."""
    return adc.adc_document(
        provider=PROVIDER,
        token_path="/in/the/container/token",
        service_account=service_account,
        lifetime=None,
        quota_project=None,
        endpoints=Endpoints.of_universe(),
    )


@pytest.fixture
def token_path(tmp_path: Path) -> Path:
    """Return a file with a subject token."""
    path = tmp_path / "token"
    path.write_text(make_jwt())
    return path


def reply(document: object, status: int = 200) -> Response:
    """Return an answer of JSON."""
    return Response(status=status, headers={}, body=json.dumps(document).encode())


def google(request: Request) -> Response:
    """Answer as STS and IAM Credentials do for valid requests."""
    if request.url.endswith("/v1/token"):
        return reply({"access_token": FEDERATED, "expires_in": 3600, "token_type": "Bearer"})
    return reply({"accessToken": IMPERSONATED, "expireTime": "2026-01-01T01:00:00Z"})


def test_impersonation_is_proved_with_two_calls(token_path: Path) -> None:
    """The host's token goes to STS, the federated one to IAM Credentials; no other request is sent."""
    transport = FakeTransport(google)
    threads = threading.active_count()

    granted = prove(document_of(), WAY, token_path=token_path, transport=transport)

    exchange, impersonation = transport.requests
    assert parse_qs((exchange.body or b"").decode())["subject_token"] == [make_jwt()]
    assert impersonation.url.endswith(f"/serviceAccounts/{ACCOUNT}:generateAccessToken")
    assert {name.lower(): value for name, value in impersonation.headers.items()}["authorization"] == (
        f"Bearer {FEDERATED}"
    )
    assert granted.value == IMPERSONATED
    assert threading.active_count() == threads


def test_direct_access_is_proved_with_one_call(token_path: Path) -> None:
    """Without a service account there is only the exchange."""
    transport = FakeTransport(google)

    granted = prove(document_of(None), WAY, token_path=token_path, transport=transport)

    assert (len(transport.requests), granted.value) == (1, FEDERATED)


def at_sts(response: Response | None) -> FakeTransport:
    """Return a transport whose STS returns this answer."""
    return FakeTransport(lambda _: response)


def at_iam(response: Response | None) -> FakeTransport:
    """Return a transport whose IAM Credentials returns this answer, and whose STS works."""
    return FakeTransport(lambda request: google(request) if request.url.endswith("/v1/token") else response)


def oauth_error(text: str) -> Response:
    """Return an STS refusal."""
    return reply({"error": "invalid_grant", "error_description": text}, 400)


def api_error(text: str, status: int = 403) -> Response:
    """Return an API's refusal."""
    return reply({"error": {"code": status, "message": text, "status": "X"}}, status)


DENIED = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
STALE = "ID Token issued at 1 is stale to sign-in."


@pytest.mark.parametrize(
    ("transport", "kind", "problem", "remedy"),
    [
        pytest.param(at_sts(oauth_error(STALE)), ExchangeError, STALE, "NTP", id="sts-refuses"),
        pytest.param(
            at_sts(oauth_error(f"Bad {make_jwt()}")), ExchangeError, "Bad …", "documentation", id="sts-quotes"
        ),
        pytest.param(
            at_sts(None), ExchangeError, "cannot be reached", "make this machine reach https://", id="sts-unreachable"
        ),
        pytest.param(at_sts(reply([], 200)), ExchangeError, "no access token", "really is Google's API", id="sts-list"),
        pytest.param(
            at_sts(reply({"access_token": FEDERATED})), ExchangeError, "no access token", "", id="sts-without-expiry"
        ),
        pytest.param(
            at_sts(Response(status=200, headers={}, body=FEDERATED.encode())),
            ExchangeError,
            "no access token",
            "",
            id="sts-rubbish",
        ),
        pytest.param(
            at_sts(Response(status=502, headers={}, body=b"\xff<html>")), ExchangeError, "HTTP 502", "", id="sts-502"
        ),
        pytest.param(
            at_iam(api_error(DENIED)), ImpersonationError, DENIED, f"workloadIdentityUser on {ACCOUNT}", id="i1"
        ),
        pytest.param(at_iam(api_error("Gone", 404)), ImpersonationError, "Gone", ACCOUNT, id="iam-not-found"),
        pytest.param(
            at_iam(None),
            ImpersonationError,
            "cannot be reached",
            "make this machine reach https://",
            id="iam-unreachable",
        ),
        pytest.param(
            at_iam(reply({"accessToken": IMPERSONATED, "expireTime": "2026-01-01T01:00:00.5Z"})),
            ImpersonationError,
            "no access token",
            "",
            id="iam-fractional-seconds",
        ),
        pytest.param(at_iam(reply([])), ImpersonationError, "no access token", "", id="iam-list"),
    ],
)
def test_refusals_show_who_refused_and_why(
    token_path: Path, transport: FakeTransport, kind: type[RefresherError], problem: str, remedy: str
) -> None:
    """Failures of STS and IAM Credentials differ, have Google's words and a remedy, and show no token."""
    with pytest.raises(kind) as caught:
        prove(document_of(), WAY, token_path=token_path, transport=transport)

    shown = f"{caught.value}{caught.value.__cause__!r}"
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert not any(secret in shown for secret in (FEDERATED, IMPERSONATED, "eyJ"))


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"], ids=["absent", "empty", "binary"])
def test_file_without_a_token_is_reported_before_any_call(token_path: Path, content: bytes | None) -> None:
    """A token file that is absent, empty or not text is named, and no request is sent."""
    token_path.unlink()
    if content is not None:
        token_path.write_bytes(content)
    transport = FakeTransport(google)

    with pytest.raises(ExchangeError) as caught:
        prove(document_of(), WAY, token_path=token_path, transport=transport)

    assert str(token_path) in caught.value.problem
    assert transport.requests == []


@pytest.mark.parametrize("document", [{}, {"type": "external_account"}, {"audience": 1, "token_url": 2}])
def test_other_document_is_an_error_of_the_exchange(token_path: Path, document: dict[str, Any]) -> None:
    """A document that is not an ADC document is an error of the exchange."""
    with pytest.raises(ExchangeError):
        prove(document, WAY, token_path=token_path, transport=FakeTransport(google))


def test_refused_access_token_has_a_remedy_of_its_own(token_path: Path) -> None:
    """Where the subject token is an opaque access token, the remedy is another supplier."""
    document = document_of() | {"subject_token_type": ACCESS_TOKEN_TYPE}

    way = replace(WAY, subject_token_type=ACCESS_TOKEN_TYPE)

    with pytest.raises(ExchangeError) as caught:
        prove(document, way, token_path=token_path, transport=at_sts(oauth_error("not this")))

    assert "use a supplier of JWTs" in caught.value.remedy
