from __future__ import annotations

import json
from datetime import timedelta

import pytest

from refresher.errors import SupplyError
from refresher.google.transport import Response
from refresher.resources import Endpoints
from refresher.suppliers.claims import ClaimsTemplate
from refresher.suppliers.interface import SupplierContext
from refresher.suppliers.sign_jwt import SignJwtSupplier
from tests.failures import is_retryable
from tests.fakes import FakeSource, FakeTransport
from tests.tokens import AUDIENCE, ISSUER, NOW, make_jwt

SIGNER = "signer@p-1.iam.gserviceaccount.com"
CONTEXT = SupplierContext(identity="alice", subject="user-1", audience=AUDIENCE)


def supplier_of(status: int, document: object) -> tuple[SignJwtSupplier, FakeTransport]:
    """Give a supplier whose IAM Credentials always answers so."""
    transport = FakeTransport(lambda _: Response(status=status, headers={}, body=json.dumps(document).encode()))
    template = ClaimsTemplate(
        issuer=ISSUER, lifetime=timedelta(hours=1), constant={"worker": "w-17"}, random=lambda: "unique"
    )
    supplier = SignJwtSupplier(
        transport=transport,
        endpoints=Endpoints.of_universe(),
        source=FakeSource(),
        service_account=SIGNER,
        claims=template,
    )
    return supplier, transport


def test_google_signs_what_we_compose() -> None:
    """One call on the signing account, whose payload is the claims as text; what comes back is the token."""
    supplier, transport = supplier_of(200, {"keyId": "k", "signedJwt": make_jwt()})

    token = supplier.supply(CONTEXT, NOW)

    (request,) = transport.requests
    issued_at = int(NOW.timestamp())
    assert token.value == make_jwt()
    assert request.url == f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{SIGNER}:signJwt"
    assert request.headers["Authorization"] == "Bearer ya29.fake-source"
    assert json.loads(json.loads(request.body or b"")["payload"]) == {
        "worker": "w-17",
        "iss": ISSUER,
        "sub": "user-1",
        "aud": AUDIENCE,
        "iat": issued_at,
        "exp": issued_at + 3600,
        "jti": "unique",
    }


def test_missing_role_is_named() -> None:
    """A caller that may not sign reads which role it lacks, on which account."""
    text = "Permission 'iam.serviceAccounts.signJwt' denied on resource (or it may not exist)."
    supplier, _ = supplier_of(403, {"error": {"code": 403, "message": text}})

    with pytest.raises(SupplyError) as caught:
        supplier.supply(CONTEXT, NOW)

    assert caught.value.remedy == f"grant the caller roles/iam.serviceAccountTokenCreator on {SIGNER}"
    assert not caught.value.retryable


def test_answer_that_is_no_jwt_may_pass() -> None:
    """Something else than a JWT is a failure that may pass, and is not quoted."""
    supplier, _ = supplier_of(200, {"signedJwt": "ya29.opaque"})

    with pytest.raises(SupplyError, check=is_retryable) as caught:
        supplier.supply(CONTEXT, NOW)

    assert "ya29" not in str(caught.value)


def test_identity_without_subject_is_refused() -> None:
    """Without a subject nobody is called."""
    supplier, transport = supplier_of(200, {})

    with pytest.raises(SupplyError, match="identity alice has no subject"):
        supplier.supply(SupplierContext(identity="alice", subject=None, audience=AUDIENCE), NOW)

    assert transport.requests == []
