"""The claims of subject tokens that we compose ourselves (RFC 7519, section 4.1), whatever signs them.

They are what Google's STS asks for: `iss`, `sub`, `aud`, `iat`, `exp` in whole seconds; `jti` makes each token unique.
`nbf` is left out: what STS does with it is not known.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from refresher.errors import SupplyError
from refresher.settings.fields import ClaimName, Issuer
from refresher.settings.values import ClaimValue
from refresher.suppliers.interface import SupplierContext, SupplierSettings
from refresher.tokens import ExpectedClaims


class MintingSettings(SupplierSettings):
    """What kinds share that compose the claims of their tokens."""

    issuer: Issuer = Field(description="The `iss` claim: https, a domain you own or one below .invalid.")
    lifetime: timedelta
    claims: Mapping[ClaimName, ClaimValue] = Field(
        default={}, description="Constant claims to add, to be mapped to attributes."
    )

    needs_subject: ClassVar[bool] = True

    @property
    def configured_lifetime(self) -> timedelta:
        """From `iat` to `exp`."""
        return self.lifetime

    def expect_claims(
        self, subject: str | None, audiences: frozenset[str], key_ids: frozenset[str] | None
    ) -> ExpectedClaims:
        """Return the claims that would be minted, the constant ones included."""
        return ExpectedClaims(
            issuer=self.issuer,
            subject=subject,
            audiences=audiences,
            key_ids=key_ids,
            maximum_lifetime=self.lifetime,
            constants=self.claims,
        )

    def compose_claims(self, context: SupplierContext, now: datetime, random: Callable[[], str]) -> dict[str, Any]:
        """Return the claims of a token for one identity, issued now.

        Raises:
            SupplyError: The identity has no subject.
        """
        if context.subject is None:
            raise SupplyError(
                f"identity {context.identity} has no subject", f"set identities.{context.identity}.subject"
            )
        issued_at = int(now.timestamp())
        return {
            **self.claims,
            "iss": self.issuer,
            "sub": context.subject,
            "aud": context.audience,
            "iat": issued_at,
            "exp": issued_at + int(self.lifetime.total_seconds()),
            "jti": random(),
        }
