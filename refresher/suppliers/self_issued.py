"""Subject tokens signed with our own key: the `self_issued` supplier.

A JWT (RFC 7519) with what Google's STS asks for: `iss`, `sub`, `aud`, `iat`, `exp` in whole seconds, `kid` in the
header; `jti` makes each token one of a kind. `nbf` is left out: what STS does with it is not known.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from refresher.errors import SupplyError
from refresher.keys.signing import encode
from refresher.tokens import SubjectToken, UnverifiedClaims

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from refresher.keys.signing import SigningKey
    from refresher.suppliers.interface import SupplierContext


class SelfIssuedSupplier:
    """Mints subject tokens; safe to use from several threads."""

    def __init__(
        self,
        *,
        key: SigningKey,
        issuer: str,
        lifetime: timedelta,
        claims: Mapping[str, str | int | bool],
        random: Callable[[], str],
    ) -> None:
        self._key = key
        self._issuer = issuer
        self._seconds = int(lifetime.total_seconds())
        self._claims = dict(claims)
        self._random = random
        self._header = encode(_compact({"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}).encode())

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Mint a token.

        Raises:
            SupplyError: The identity has no subject.
        """
        if context.subject is None:
            raise SupplyError(
                f"identity {context.identity} has no subject", f"set identities.{context.identity}.subject"
            )
        issued_at = int(now.timestamp())
        payload = self._claims | {
            "iss": self._issuer,
            "sub": context.subject,
            "aud": context.audience,
            "iat": issued_at,
            "exp": issued_at + self._seconds,
            "jti": self._random(),
        }
        message = f"{self._header}.{encode(_compact(payload).encode())}"
        return SubjectToken(
            value=f"{message}.{encode(self._key.sign(message.encode('ascii')))}",
            issued_at=datetime.fromtimestamp(issued_at, UTC),
            expires_at=datetime.fromtimestamp(issued_at + self._seconds, UTC),
            unverified_claims=UnverifiedClaims(
                issuer=self._issuer,
                subject=context.subject,
                audience=(context.audience,),
                key_id=self._key.kid,
                algorithm=self._key.algorithm,
            ),
        )


_compact = json.JSONEncoder(separators=(",", ":")).encode
