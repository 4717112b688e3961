"""Google-signed ID tokens as subject tokens: the `google_id_token` supplier, from either of two sources.

The metadata server has tokens of the machine's own account alone, so they have one subject for every identity;
`generateIdToken` has tokens of a source service account of each identity. The `sub` is that account's unique id.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from refresher.errors import SupplyError
from refresher.settings.fields import Choice
from refresher.settings.problems import Problem
from refresher.settings.values import AbsolutePath
from refresher.suppliers.interface import Supplier, SupplierContext, SupplierSettings, Workshop
from refresher.tokens import ExpectedClaims, SubjectToken, UnreadableTokenError, peek

if TYPE_CHECKING:
    from refresher.google.call import Transport
    from refresher.google.metadata_server import MetadataServer
    from refresher.google.source_credentials import SourceCredential
    from refresher.resources import Endpoints

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
        from refresher.google.metadata_server import MetadataServer

        transport, endpoints = workshop.connections(), workshop.endpoints
        if self.needs_source_service_account:
            source = workshop.open_credentials(self.credentials)
            return GeneratedIdTokenSupplier(transport=transport, endpoints=endpoints, source=source)
        return MetadataIdTokenSupplier(server=MetadataServer(transport=transport, origin=endpoints.metadata))


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataIdTokenSupplier:
    """Fetches ID tokens of the machine's own account.

    Attributes:
        server: The metadata server.
    """

    server: "MetadataServer"

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Fetch a token; the server may return the same one again.

        Raises:
            SupplyError: No token is available.
        """
        return _read(self.server.identity_token(context.audience), "the metadata server")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedIdTokenSupplier:
    """Fetches ID tokens of each identity's source service account.

    Attributes:
        transport: Makes the calls.
        endpoints: Where IAM Credentials is.
        source: The worker's own credentials, with which it is asked.
    """

    transport: "Transport"
    endpoints: "Endpoints"
    source: "SourceCredential"

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Fetch a token.

        Raises:
            SupplyError: No token is available.
        """
        from refresher.google.iam_credentials import IamCredentials

        if context.source_service_account is None:
            raise SupplyError(
                f"identity {context.identity} has no source service account",
                f"set identities.{context.identity}.source_service_account",
            )
        access_token = self.source.access_token(now).value
        api = IamCredentials(transport=self.transport, endpoints=self.endpoints, access_token=access_token)
        return _read(api.generate_id_token(context.source_service_account, context.audience), "IAM Credentials")


def _read(token: str, server: str) -> SubjectToken:
    try:
        return peek(token)
    except UnreadableTokenError as error:
        raise SupplyError(
            f"{server} returned no ID token: {error}",
            "check that its address really is Google's (proxy, DNS, google.endpoints)",
            retryable=True,
        ) from error
