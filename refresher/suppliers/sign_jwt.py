"""Subject tokens that a service account signs: the `sign_jwt` supplier. Google holds the key, we hold none.

https://docs.cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signJwt. The issuer is a
URL of one's own whose discovery document has the account's published keys as `jwks_uri`; Google rotates those keys, so
a copy of them must not be uploaded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from refresher.errors import SupplyError
from refresher.resources import account_keys_url
from refresher.settings.fields import Choice
from refresher.settings.texts import Issuer, ServiceAccountEmail
from refresher.settings.values import SIGNED_RANGE, AbsolutePath, SignedLifetime
from refresher.suppliers.claims import MintingSettings
from refresher.suppliers.interface import Supplier, SupplierContext, Workshop
from refresher.tokens import SubjectToken, UnreadableTokenError, peek

if TYPE_CHECKING:
    from refresher.google.call import Transport
    from refresher.google.source_credentials import SourceCredential
    from refresher.resources import Endpoints


class SignJwtSettings(MintingSettings):
    """Subject tokens that a service account signs: Google holds the key."""

    kind: Annotated[Literal["sign_jwt"], Choice()] = Field(
        description="Signed by Google with a key of a service account."
    )
    issuer: Issuer = Field(
        description="The `iss` claim: a URL of your own that serves the document of `refresher discovery`."
    )
    service_account: ServiceAccountEmail = Field(description="The account that signs.")
    lifetime: SignedLifetime = Field(
        default=timedelta(hours=1),
        description="Lifetime of each subject token, 2s to 12h. Default: 1h.",
        json_schema_extra={"default": "1h"},
    )
    credentials: AbsolutePath | None = Field(
        default=None, description="google-auth credentials file that calls signJwt. Default: the metadata server."
    )

    @property
    def lifetime_range(self) -> tuple[timedelta, timedelta]:
        return SIGNED_RANGE

    @property
    def keys_url(self) -> str:
        return account_keys_url(self.service_account)

    def discovery_document(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "jwks_uri": self.keys_url,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def build(self, workshop: Workshop) -> Supplier:
        return SignJwtSupplier(
            settings=self,
            transport=workshop.connections(),
            endpoints=workshop.endpoints,
            source=workshop.open_credentials(self.credentials),
            random=workshop.random,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignJwtSupplier:
    """Obtains signed subject tokens; safe to use from several threads.

    Attributes:
        settings: The claims of the tokens, and the account that signs them.
        transport: Makes the calls.
        endpoints: Where IAM Credentials is.
        source: The worker's own credentials, with which it is asked.
        random: Returns a new `jti`.
    """

    settings: SignJwtSettings
    transport: "Transport"
    endpoints: "Endpoints"
    source: "SourceCredential"
    random: Callable[[], str]

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Obtain a signed token.

        Raises:
            SupplyError: The identity has no subject; or Google refused, or did not answer, or not as it should.
        """
        from refresher.google.iam_credentials import IamCredentials

        claims = self.settings.compose_claims(context, now, self.random)
        access_token = self.source.access_token(now).value
        api = IamCredentials(transport=self.transport, endpoints=self.endpoints, access_token=access_token)
        try:
            return peek(api.sign_jwt(self.settings.service_account, claims))
        except UnreadableTokenError as error:
            raise SupplyError(
                f"{self.endpoints.iam_credentials} returned no JWT for signJwt: {error}",
                "check that this address really is Google's API (proxy, DNS, google.endpoints)",
                retryable=True,
            ) from error
