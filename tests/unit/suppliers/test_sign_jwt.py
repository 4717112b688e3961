from __future__ import annotations

import json

import pytest

from refresher.errors import SupplyError
from refresher.google.call import Response
from refresher.suppliers.interface import Supplier, SupplierContext
from refresher.suppliers.sign_jwt import SignJwtSettings
from tests.contract.cases import ContractCase
from tests.failures import is_retryable
from tests.fakes import FakeTransport, FakeWorkshop
from tests.tokens import AUDIENCE, ISSUER, NOW, jwt_of, make_jwt

SIGNER = "signer@p-1.iam.gserviceaccount.com"
CONTEXT = SupplierContext(identity="alice", subject="user-1", audience=AUDIENCE)
SETTINGS = SignJwtSettings.model_validate(
    {"kind": "sign_jwt", "issuer": ISSUER, "service_account": SIGNER, "claims": {"worker": "w-17"}}
)


def answer(path: str, content: bytes) -> bytes | None:
    """Answer as the metadata server and IAM Credentials do."""
    if not path.endswith(":signJwt"):
        return None
    return json.dumps({"keyId": "k", "signedJwt": jwt_of(json.loads(json.loads(content)["payload"]))}).encode()


CONTRACT = {
    "sign_jwt": ContractCase(
        supplier=f"{{kind: sign_jwt, issuer: https://fleet.invalid, service_account: {SIGNER}, claims: {{worker: w}}}}",
        answer=answer,
        takes_credentials=True,
    ),
}


def make_supplier(status: int, document: object) -> tuple[Supplier, FakeTransport]:
    """Return a supplier whose IAM Credentials always returns this answer."""
    transport = FakeTransport(lambda _: Response(status=status, headers={}, body=json.dumps(document).encode()))
    return SETTINGS.build(FakeWorkshop.over(transport)), transport


def test_google_signs_what_we_compose() -> None:
    """One request goes to the signing account, whose payload is the claims as text; its answer is the token."""
    supplier, transport = make_supplier(200, {"keyId": "k", "signedJwt": make_jwt()})

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
    """The failure of a caller that may not sign names the role that it lacks, and on which account."""
    text = "Permission 'iam.serviceAccounts.signJwt' denied on resource (or it may not exist)."
    supplier, _ = make_supplier(403, {"error": {"code": 403, "message": text}})

    with pytest.raises(SupplyError) as caught:
        supplier.supply(CONTEXT, NOW)

    assert caught.value.remedy == f"grant the worker's own account roles/iam.serviceAccountTokenCreator on {SIGNER}"
    assert not caught.value.retryable


def test_answer_that_is_not_a_jwt_is_retryable() -> None:
    """An answer that is not a JWT is a retryable failure, and is not quoted."""
    supplier, _ = make_supplier(200, {"signedJwt": "ya29.opaque"})

    with pytest.raises(SupplyError, check=is_retryable) as caught:
        supplier.supply(CONTEXT, NOW)

    assert "ya29" not in str(caught.value)


def test_identity_without_subject_is_refused() -> None:
    """Without a subject no request is sent."""
    supplier, transport = make_supplier(200, {})

    with pytest.raises(SupplyError, match="identity alice has no subject"):
        supplier.supply(SupplierContext(identity="alice", subject=None, audience=AUDIENCE), NOW)

    assert transport.requests == []


def test_discovery_document_points_to_googles_keys() -> None:
    """The issuer's document has the account's published keys, which Google rotates."""
    document = SETTINGS.discovery_document()

    assert document["issuer"] == ISSUER
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]
    assert document["jwks_uri"] == SETTINGS.keys_url
    assert SETTINGS.keys_url.endswith(f"/jwk/{SIGNER}")
