"""Subject tokens signed with a key in Cloud KMS: the `self_issued` supplier with a `signer`, no key on the worker."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from refresher.errors import SupplyError
from refresher.keys.signing import UnsupportedKeyError, public_jwk_of_pem, raw_signature
from refresher.suppliers.self_issued import SelfIssuedSupplier

if TYPE_CHECKING:
    from datetime import datetime

    from refresher.google.cloud_kms import KmsKey
    from refresher.google.source_credentials import SourceCredential
    from refresher.suppliers.claims import ClaimsTemplate
    from refresher.suppliers.interface import SupplierContext
    from refresher.tokens import SubjectToken


class KmsSignedSupplier:
    """Has subject tokens signed; safe to use from several threads."""

    def __init__(self, *, key: KmsKey, source: SourceCredential, claims: ClaimsTemplate) -> None:
        self._key = key
        self._source = source
        self._claims = claims
        self._kid: str | None = None

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Have a token signed.

        Raises:
            SupplyError: The identity has no subject, or Google refused.
            SupplyError: Google did not answer, or not as it should.
        """
        access_token, _ = self._source.access_token(now)
        if self._kid is None:  # a version's key never changes; threads that come together each ask once
            self._kid = public_jwk(self._key, access_token)["kid"]
        signing = _Signing(kid=self._kid, key=self._key, access_token=access_token)
        return SelfIssuedSupplier(key=signing, claims=self._claims).supply(context, now)


def public_jwk(key: KmsKey, access_token: str) -> dict[str, str]:
    """Give the public half of a key version as a JWK whose `kid` is its thumbprint (RFC 7638).

    Raises:
        SupplyError: Google refused, or the key is of another kind.
        SupplyError: Google did not answer, or not as it should.
    """
    try:
        return public_jwk_of_pem(key.public_key(access_token))
    except UnsupportedKeyError as error:
        raise SupplyError(
            f"the public key of {key.version} cannot be used: {error}", "see whether something else answers there"
        ) from error


@dataclass(slots=True, kw_only=True, repr=False)
class _Signing:
    """The key version with the credential of one supply."""

    kid: str
    key: KmsKey
    access_token: str
    algorithm: str = "ES256"

    def sign(self, message: bytes) -> bytes:
        """Give the raw JWS signature of a message (RFC 7518, section 3.4)."""
        signature = self.key.sign(hashlib.sha256(message).digest(), self.access_token)
        try:
            return raw_signature(signature)
        except ValueError:
            raise SupplyError(
                f"what was given as a signature of {self.key.version} is none of an EC P-256 key",
                "see whether something else answers there",
                retryable=True,
            ) from None
