"""What a supplier of subject tokens is: given who, it gives a token or says what to mend.

A supplier mints or fetches; it does not decide when (`refresher.policy`), whether the token is worth publishing
(`refresher.engine.refresh`) or where it goes (`refresher.publishing`). It keeps no token: sharing among targets of one
identity is the engine's. One supplier serves many identities and many threads at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from refresher.tokens import SubjectToken


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplierContext:
    """For whom a token is wanted (google-auth's word for the same thing).

    Attributes:
        identity: The identity's name, for messages; safe to log.
        subject: The `sub` the token must carry; None where the supplier alone knows it.
        audience: The token audience: the `aud` the provider accepts.
        source_service_account: E-mail of the account that a Google-signed token is for; None where there is none.
    """

    identity: str
    subject: str | None
    audience: str
    source_service_account: str | None = None


class Supplier(Protocol):
    """Mints or fetches subject tokens."""

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Give a token for one identity, as fresh as can be had.

        Args:
            context: For whom.
            now: The wall clock's time, aware, UTC; becomes `iat` where the supplier mints.

        Raises:
            SupplyError: Nothing usable, and it stays so until something is mended.
            SupplyError: Nothing this time.
        """
        ...
