"""The literal source access token as subject token: the `google_access_token` supplier.

Real STS refuses opaque tokens for workload identity pools; this is for other STS implementations, and for the day
Google changes its mind. The configuration demands `accept_unsupported: true`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.tokens import SubjectToken

if TYPE_CHECKING:
    from datetime import datetime

    from refresher.google.source_credentials import SourceCredential
    from refresher.suppliers.interface import SupplierContext


class GoogleAccessTokenSupplier:
    """Access tokens of the worker's own account, the same for every identity."""

    def __init__(self, *, source: SourceCredential) -> None:
        self._source = source

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:  # noqa: ARG002 - one token for all
        """Give the access token; its issue is taken to be now, since it does not tell.

        Raises:
            SupplyError: There is none to be had.
        """
        value, expires_at = self._source.access_token(now)
        return SubjectToken(value=value, issued_at=now, expires_at=expires_at, unverified_claims=None)
