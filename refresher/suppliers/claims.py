"""The claims of a subject token that we compose ourselves (RFC 7519, section 4.1), whoever signs it.

They are what Google's STS asks for: `iss`, `sub`, `aud`, `iat`, `exp` in whole seconds; `jti` makes each token one of a
kind. `nbf` is left out: what STS does with it is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refresher.errors import SupplyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from refresher.suppliers.interface import SupplierContext


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsTemplate:
    """What all tokens of one supplier have in common.

    Attributes:
        issuer: The `iss`.
        lifetime: From `iat` to `exp`, in whole seconds.
        constant: Further claims.
        random: Gives a new `jti`.
    """

    issuer: str
    lifetime: timedelta
    constant: Mapping[str, str | int | bool]
    random: Callable[[], str]

    def of(self, context: SupplierContext, now: datetime) -> dict[str, Any]:
        """Give the claims of a token for one identity, issued now.

        Raises:
            SupplyError: The identity has no subject.
        """
        if context.subject is None:
            raise SupplyError(
                f"identity {context.identity} has no subject", f"set identities.{context.identity}.subject"
            )
        issued_at = int(now.timestamp())
        return {
            **self.constant,
            "iss": self.issuer,
            "sub": context.subject,
            "aud": context.audience,
            "iat": issued_at,
            "exp": issued_at + int(self.lifetime.total_seconds()),
            "jti": self.random(),
        }
