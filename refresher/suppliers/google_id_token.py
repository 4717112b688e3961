"""Google-signed ID tokens as subject tokens: the `google_id_token` supplier, from either of two sources.

The metadata server has tokens of the machine's own account alone, so they have one subject for every identity;
`generateIdToken` has tokens of a source service account of each identity. The `sub` is that account's unique id.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from refresher.errors import SupplyError
from refresher.resources import VERIFY_REMEDY
from refresher.settings.fields import Choice
from refresher.settings.places import Problem
from refresher.settings.values import AbsolutePath
from refresher.suppliers.interface import Supplier, SupplierContext, SupplierSettings, Workshop, read_token
from refresher.tokens import ExpectedClaims, SubjectToken

GOOGLE_ISSUER = "https://accounts.google.com"


class GoogleIdTokenSettings(SupplierSettings):
    """Google-signed ID tokens as subject tokens."""

    kind: Annotated[Literal["google_id_token"], Choice()] = Field(description="Signed by Google for a service account.")
    via: Annotated[Literal["metadata_server", "generate_id_token"], Choice()] = Field(
        default="metadata_server",
        description="The machine's own account, or generateIdToken for each identity's source_service_account.",
    )
    credentials: AbsolutePath | None = Field(
        default=None,
        description="google-auth credentials file that calls generateIdToken. Default: the metadata server.",
    )

    is_audience_bound: ClassVar[bool] = True

    def check(self) -> Iterator[Problem]:
        if "credentials" in self.node and self.via == "metadata_server" and "via" not in self.broken:
            clause = "is not used by a supplier that asks the metadata server"
            yield self.problem(clause, "delete it, or add via: generate_id_token", "credentials", at_key=True)

    @property
    def needs_source_service_account(self) -> bool:
        return self.via == "generate_id_token"

    def subject_source(self, *, has_subject: bool = True) -> tuple[object, ...] | None:
        """Return the machine's account; None where each identity has a source service account."""
        return None if self.needs_source_service_account else (self.kind,)

    def expect_claims(
        self, subject: str | None, audiences: frozenset[str], key_ids: frozenset[str] | None
    ) -> ExpectedClaims:
        return ExpectedClaims(issuer=GOOGLE_ISSUER, subject=subject, audiences=audiences)

    def build(self, workshop: Workshop) -> Supplier:
        return GoogleIdTokenSupplier(self, workshop)


class GoogleIdTokenSupplier:
    """Fetches ID tokens of the machine's own account, or of source service accounts; thread-safe."""

    def __init__(self, settings: GoogleIdTokenSettings, workshop: Workshop) -> None:
        self._settings = settings
        self._workshop = workshop

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Fetch a token; the metadata server may return the same one again."""
        from refresher.google.source_credentials import MetadataServer

        account, workshop = context.source_service_account, self._workshop
        if not self._settings.needs_source_service_account:
            server = MetadataServer(transport=workshop.transport(), origin=workshop.endpoints.metadata)
            name, token = "the metadata server", server.identity_token(context.audience)
        elif account is None:
            problem = f"identity {context.identity} has no source service account"
            raise SupplyError(problem, f"set identities.{context.identity}.source_service_account")
        else:
            source = workshop.open_credentials(self._settings.credentials)
            api = workshop.open_iam_credentials(source.access_token(now))
            name, token = "IAM Credentials", api.generate_id_token(account, context.audience)
        return read_token(token, f"{name} returned no JWT", VERIFY_REMEDY)
