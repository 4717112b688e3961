"""Subject tokens signed with our own key: the `self_issued` supplier. A JWT (RFC 7519) with `kid` in its header."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from refresher.keys.signing import encode
from refresher.tokens import SubjectToken, UnverifiedClaims

if TYPE_CHECKING:
    from refresher.keys.signing import SigningKey
    from refresher.suppliers.claims import ClaimsTemplate
    from refresher.suppliers.interface import SupplierContext


class SelfIssuedSupplier:
    """Mints subject tokens; safe to use from several threads."""

    def __init__(self, *, key: SigningKey, claims: ClaimsTemplate) -> None:
        self._key = key
        self._claims = claims
        self._header = encode(_compact({"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}).encode())

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Mint a token.

        Raises:
            SupplyError: The identity has no subject.
        """
        payload = self._claims.of(context, now)
        message = f"{self._header}.{encode(_compact(payload).encode())}"
        return SubjectToken(
            value=f"{message}.{encode(self._key.sign(message.encode('ascii')))}",
            issued_at=datetime.fromtimestamp(payload["iat"], UTC),
            expires_at=datetime.fromtimestamp(payload["exp"], UTC),
            unverified_claims=UnverifiedClaims(
                issuer=self._claims.issuer,
                subject=context.subject,
                audience=(context.audience,),
                key_id=self._key.kid,
                algorithm=self._key.algorithm,
            ),
        )


_compact = json.JSONEncoder(separators=(",", ":")).encode
