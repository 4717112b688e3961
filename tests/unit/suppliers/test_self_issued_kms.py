from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc.jwk import ECKey

from refresher.errors import SupplyError
from refresher.google.call import Response
from refresher.google.cloud_kms import KmsKey
from refresher.resources import Endpoints
from refresher.suppliers.interface import SupplierContext
from refresher.suppliers.self_issued import KmsSigner, SelfIssuedSettings, SelfIssuedSupplier, fetch_public_jwk
from tests.failures import is_retryable
from tests.fakes import FakeSource, FakeTransport
from tests.kms import answer_as_kms
from tests.tokens import AUDIENCE, ISSUER, NOW

if TYPE_CHECKING:
    from tests.fakes import Request

VERSION = "projects/p-1-test/locations/global/keyRings/workers/cryptoKeys/signer/cryptoKeyVersions/1"
CONTEXT = SupplierContext(identity="alice", subject="user-1", audience=AUDIENCE)
SETTINGS = SelfIssuedSettings.model_validate(
    {"kind": "self_issued", "issuer": ISSUER, "signer": {"kms": VERSION}, "claims": {"worker": "w-17"}}
)


class Kms:
    """A Cloud KMS that holds one key; `signature` is returned instead of its own."""

    def __init__(self, curve: ec.EllipticCurve | None = None) -> None:
        self.key = ec.generate_private_key(curve or ec.SECP256R1())
        self.signature: bytes | None = None
        self.transport = FakeTransport(self._answer)

    @property
    def version(self) -> KmsKey:
        """The only version of the key."""
        return KmsKey(
            version=VERSION, transport=self.transport, endpoints=Endpoints.of_universe(), caller="the machine"
        )

    def supplier(self) -> SelfIssuedSupplier:
        """Return a supplier that signs with it."""
        return SelfIssuedSupplier(SETTINGS, KmsSigner(self.version, FakeSource()).open, lambda: "unique")

    def _answer(self, request: Request) -> Response:
        body = answer_as_kms(self.key, VERSION, request.body or b"", signature=self.signature)
        return Response(status=200, headers={}, body=body)


@pytest.mark.parametrize("attempt", range(20))
def test_two_libraries_accept_the_token(attempt: int) -> None:
    """The token has a raw JWS signature, which verifies with the published JWK; the kid is the thumbprint."""
    kms = Kms()

    token = kms.supplier().supply(CONTEXT, NOW)
    jwk = fetch_public_jwk(kms.version, "ya29.source")

    assert jwk["kid"] == ECKey.import_key(dict(jwk)).thumbprint()
    assert jwt.get_unverified_header(token.value) == {"alg": "ES256", "kid": jwk["kid"], "typ": "JWT"}
    claims = jwt.decode(
        token.value, jwt.PyJWK(jwk), algorithms=["ES256"], audience=AUDIENCE, options={"verify_exp": False}
    )
    assert (claims["iss"], claims["sub"], claims["worker"]) == (ISSUER, "user-1", "w-17")
    assert (token.expires_at - token.issued_at) == timedelta(hours=1)


def test_public_key_is_asked_for_once() -> None:
    """A version's key never changes, so each later token needs one call only."""
    kms = Kms()
    supplier = kms.supplier()

    for _ in range(3):
        supplier.supply(CONTEXT, NOW)

    assert [request.method for request in kms.transport.requests] == ["GET", "POST", "POST", "POST"]
    assert all(request.headers["Authorization"] == "Bearer ya29.fake-source" for request in kms.transport.requests)


def test_key_of_another_curve_is_refused() -> None:
    """A public key that is not EC P-256 is a permanent failure."""
    with pytest.raises(SupplyError, match="not EC P-256"):
        Kms(ec.SECP384R1()).supplier().supply(CONTEXT, NOW)


@pytest.mark.parametrize("signature", [b"rubbish", encode_dss_signature(1 << 300, 1)], ids=["not-der", "too-long"])
def test_other_than_a_signature_is_retryable(signature: bytes) -> None:
    """An answer that is not a P-256 signature is a retryable failure."""
    kms = Kms()
    kms.signature = signature

    with pytest.raises(SupplyError, match="Cloud KMS returned no ES256 signature", check=is_retryable):
        kms.supplier().supply(CONTEXT, NOW)


def test_identity_without_subject_is_refused() -> None:
    """Without a subject nothing is signed."""
    kms = Kms()

    with pytest.raises(SupplyError, match="identity alice has no subject"):
        kms.supplier().supply(SupplierContext(identity="alice", subject=None, audience=AUDIENCE), NOW)

    assert [request.method for request in kms.transport.requests] == ["GET"]
