"""The literal source access token as subject token: the `google_access_token` supplier.

Real STS refuses opaque tokens for workload identity pools; this is for other STS implementations, and for the day
Google changes its mind. The configuration demands `accept_unsupported: true`.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from refresher.settings.fields import Choice
from refresher.settings.places import Problem
from refresher.settings.values import AbsolutePath, Flag
from refresher.suppliers.interface import Supplier, SupplierContext, SupplierSettings, Workshop
from refresher.tokens import ACCESS_TOKEN_TYPE, ExpectedClaims, SubjectToken

if TYPE_CHECKING:
    from refresher.google.source_credentials import SourceCredential


class GoogleAccessTokenSettings(SupplierSettings):
    """The literal source access token as subject token, which the real STS refuses for workload pools."""

    kind: Annotated[Literal["google_access_token"], Choice()] = Field(
        description="An opaque access token; see accept_unsupported."
    )
    accept_unsupported: Flag = Field(
        default=False,
        json_schema_extra={"const": True, "default": None},
        description="Must be true: the real STS refuses opaque access tokens for workload pools.",
    )
    credentials: AbsolutePath | None = Field(
        default=None, description="google-auth credentials file. Default: the metadata server."
    )

    token_type: ClassVar[str] = ACCESS_TOKEN_TYPE

    def check(self) -> Iterator[Problem]:
        if not self.accept_unsupported and "accept_unsupported" not in self.broken:
            clause = "is not true, and the real STS refuses opaque access tokens for workload pools"
            remedy = "use google_id_token instead, or accept it with accept_unsupported: true"
            yield self.problem(clause, remedy, "accept_unsupported")

    def subject_source(self, *, has_subject: bool = True) -> tuple[object, ...]:
        """Return the credentials: their access token is the token of every identity."""
        return (self.kind, self.credentials)

    def expect_claims(
        self, subject: str | None, audiences: frozenset[str], key_ids: frozenset[str] | None
    ) -> ExpectedClaims:
        return ExpectedClaims(is_jwt=False)

    def build(self, workshop: Workshop) -> Supplier:
        return GoogleAccessTokenSupplier(workshop.open_credentials(self.credentials))


class GoogleAccessTokenSupplier:
    """Returns access tokens of the worker's own account, the same for every identity."""

    def __init__(self, source: "SourceCredential") -> None:
        self._source = source

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Return the access token; its issue is taken to be now, since it does not show it."""
        token = self._source.access_token(now)
        return SubjectToken(value=token.value, issued_at=now, expires_at=token.expires_at, unverified_claims=None)
