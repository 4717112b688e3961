from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from refresher.errors import SupplyError
from refresher.google.call import Response
from refresher.suppliers.google_id_token import GoogleIdTokenSettings
from refresher.suppliers.interface import Supplier, SupplierContext
from tests.contract.cases import ContractCase
from tests.failures import is_retryable
from tests.fakes import FakeSource, FakeTransport, FakeWorkshop
from tests.tokens import AUDIENCE, NOW, make_jwt

ACCOUNT = "source@p.iam.gserviceaccount.com"
CONTEXT = SupplierContext(identity="alice", subject="42", audience=AUDIENCE, source_service_account=ACCOUNT)


def answer(path: str, content: bytes) -> bytes | None:
    """Answer as the metadata server and IAM Credentials do."""
    now = datetime.now(UTC)
    if path.endswith(":generateIdToken"):
        subject, audience = path.rpartition("/")[2].partition("@")[0], json.loads(content)["audience"]
        token = make_jwt(subject=subject, audience=audience, issuer="https://accounts.google.com", issued_at=now)
        return json.dumps({"token": token}).encode()
    if path.endswith("/token"):
        return None
    audience = parse_qs(urlsplit(path).query)["audience"][0]
    token = make_jwt(subject="machine", audience=audience, issuer="https://accounts.google.com", issued_at=now)
    return token.encode()


CONTRACT = {
    "google_id_token-metadata": ContractCase(
        supplier="{kind: google_id_token}",
        answer=answer,
        subject_keys=frozenset({"via"}),
        other_keys=frozenset({"credentials"}),
    ),
    "google_id_token-generated": ContractCase(
        supplier="{kind: google_id_token, via: generate_id_token}", answer=answer, takes_credentials=True
    ),
}


def generated(response: Response | None, source: FakeSource | None = None) -> tuple[Supplier, FakeTransport]:
    """Return a supplier whose IAM Credentials always returns this answer."""
    transport = FakeTransport(lambda _: response)
    settings = GoogleIdTokenSettings.model_validate({"kind": "google_id_token", "via": "generate_id_token"})
    return settings.build(FakeWorkshop.over(transport, source=source)), transport


def reply(document: object, status: int = 200) -> Response:
    """Return an answer of JSON."""
    return Response(status=status, headers={"metadata-flavor": "Google"}, body=json.dumps(document).encode())


def test_id_token_is_generated_for_the_source_account() -> None:
    """There is one call on the source account, with the source token and the token audience."""
    supplier, transport = generated(reply({"token": make_jwt()}))

    token = supplier.supply(CONTEXT, NOW)

    (request,) = transport.requests
    assert token.value == make_jwt()
    assert request.method == "POST"
    assert request.url == (
        f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ACCOUNT}:generateIdToken"
    )
    assert request.headers["Authorization"] == "Bearer ya29.fake-source"
    assert json.loads(request.body or b"") == {"audience": AUDIENCE, "includeEmail": False}


def test_missing_role_is_named_with_the_account() -> None:
    """A refusal shows the missing role, and on which account."""
    text = "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist)."
    supplier, _ = generated(reply({"error": {"code": 403, "message": text}}, 403))

    with pytest.raises(SupplyError) as caught:
        supplier.supply(CONTEXT, NOW)

    assert text in caught.value.problem
    assert "roles/iam.serviceAccountOpenIdTokenCreator" in caught.value.remedy
    assert ACCOUNT in caught.value.remedy
    assert not caught.value.retryable


def test_identity_without_source_account_is_refused() -> None:
    """Without a source account no request is sent, and the remedy names the key."""
    supplier, transport = generated(None)
    context = SupplierContext(identity="alice", subject="42", audience=AUDIENCE)

    with pytest.raises(SupplyError) as caught:
        supplier.supply(context, NOW)

    assert caught.value.remedy == "set identities.alice.source_service_account"
    assert transport.requests == []


@pytest.mark.parametrize("document", [{}, [], {"token": ""}, {"token": 7}, {"token": "ya29.opaque"}])
def test_answer_without_id_token_is_retryable(document: object) -> None:
    """An answer that holds no ID token is a retryable failure, and nothing of it is quoted."""
    supplier, _ = generated(reply(document))

    with pytest.raises(SupplyError, check=is_retryable) as caught:
        supplier.supply(CONTEXT, NOW)

    assert "ya29" not in str(caught.value)


def test_failing_source_fails_the_supply() -> None:
    """Without a source token IAM Credentials is not called, and the source's own failure is raised."""
    failure = SupplyError("no source", "fix it", retryable=True)
    supplier, transport = generated(None, FakeSource(failure=failure))

    with pytest.raises(SupplyError, check=is_retryable) as caught:
        supplier.supply(CONTEXT, NOW)

    assert caught.value is failure
    assert transport.requests == []


def test_metadata_server_has_an_id_token_for_the_audience() -> None:
    """The machine's ID token is asked for the token audience, and returned as it is."""
    transport = FakeTransport(
        lambda _: Response(status=200, headers={"metadata-flavor": "Google"}, body=make_jwt().encode())
    )

    token = GoogleIdTokenSettings(kind="google_id_token").build(FakeWorkshop.over(transport)).supply(CONTEXT, NOW)

    assert token.value == make_jwt()
    assert token.expires_at == NOW + timedelta(hours=1)
