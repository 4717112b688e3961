from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import google_crc32c
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey

from refresher.errors import SupplyError
from refresher.google.cloud_kms import KmsKey
from refresher.google.transport import Response
from refresher.resources import Endpoints
from refresher.suppliers.claims import ClaimsTemplate
from refresher.suppliers.interface import SupplierContext
from refresher.suppliers.kms_signed import KmsSignedSupplier, public_jwk
from tests.failures import is_retryable
from tests.fakes import FakeSource, FakeTransport
from tests.tokens import AUDIENCE, ISSUER, NOW

if TYPE_CHECKING:
    from tests.fakes import Request

VERSION = "projects/p-1-test/locations/global/keyRings/workers/cryptoKeys/signer/cryptoKeyVersions/1"
CONTEXT = SupplierContext(identity="alice", subject="user-1", audience=AUDIENCE)


class Kms:
    """A Cloud KMS that holds one key; `signature` is given instead of its own."""

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

    def supplier(self) -> KmsSignedSupplier:
        """Give a supplier that signs with it."""
        template = ClaimsTemplate(
            issuer=ISSUER, lifetime=timedelta(hours=1), constant={"worker": "w-17"}, random=lambda: "unique"
        )
        return KmsSignedSupplier(key=self.version, source=FakeSource(), claims=template)

    def _answer(self, request: Request) -> Response:
        if request.method == "GET":
            content = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            document = {"pem": content.decode(), "algorithm": "EC_SIGN_P256_SHA256", "pemCrc32c": _checksum(content)}
        else:
            digest = base64.b64decode(json.loads(request.body or b"")["digest"]["sha256"])
            content = self.signature or self.key.sign(digest, ec.ECDSA(Prehashed(SHA256())))
            document = {"signature": base64.b64encode(content).decode(), "signatureCrc32c": _checksum(content)}
        body = json.dumps(document | {"name": VERSION, "verifiedDigestCrc32c": True}).encode()
        return Response(status=200, headers={}, body=body)


def _checksum(content: bytes) -> str:
    return str(google_crc32c.value(content))


@pytest.mark.parametrize("attempt", range(20))
def test_two_libraries_accept_the_token(attempt: int) -> None:
    """The token's signature is the raw one of JWS, verified with the published JWK, whose kid is the thumbprint."""
    kms = Kms()

    token = kms.supplier().supply(CONTEXT, NOW)
    jwk = public_jwk(kms.version, "ya29.source")

    assert jwk["kid"] == ECKey.import_key(dict(jwk)).thumbprint()
    assert jwt.get_unverified_header(token.value) == {"alg": "ES256", "kid": jwk["kid"], "typ": "JWT"}
    claims = jwt.decode(
        token.value, jwt.PyJWK(jwk), algorithms=["ES256"], audience=AUDIENCE, options={"verify_exp": False}
    )
    assert (claims["iss"], claims["sub"], claims["worker"]) == (ISSUER, "user-1", "w-17")
    assert (token.expires_at - token.issued_at) == timedelta(hours=1)


def test_public_key_is_asked_for_once() -> None:
    """A version's key never changes, so that each further token is one call."""
    kms = Kms()
    supplier = kms.supplier()

    for _ in range(3):
        supplier.supply(CONTEXT, NOW)

    assert [request.method for request in kms.transport.requests] == ["GET", "POST", "POST", "POST"]
    assert all(request.headers["Authorization"] == "Bearer ya29.fake-source" for request in kms.transport.requests)


def test_key_of_another_curve_is_refused() -> None:
    """A public key that is not EC P-256 is a failure to mend."""
    with pytest.raises(SupplyError, match="not EC P-256"):
        Kms(ec.SECP384R1()).supplier().supply(CONTEXT, NOW)


@pytest.mark.parametrize("signature", [b"rubbish", encode_dss_signature(1 << 300, 1)], ids=["no DER", "too long"])
def test_what_is_no_signature_may_pass(signature: bytes) -> None:
    """Something else than a P-256 signature is a failure that may pass."""
    kms = Kms()
    kms.signature = signature

    with pytest.raises(SupplyError, match="none of an EC P-256 key", check=is_retryable):
        kms.supplier().supply(CONTEXT, NOW)


def test_identity_without_subject_is_refused() -> None:
    """Without a subject nothing is signed."""
    kms = Kms()

    with pytest.raises(SupplyError, match="identity alice has no subject"):
        kms.supplier().supply(SupplierContext(identity="alice", subject=None, audience=AUDIENCE), NOW)

    assert [request.method for request in kms.transport.requests] == ["GET"]
