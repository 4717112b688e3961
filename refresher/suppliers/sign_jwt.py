"""Subject tokens that a service account signs: the `sign_jwt` supplier. Google holds the key, we hold none.

https://docs.cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signJwt. The issuer is a
URL of one's own whose discovery document has the account's published keys as `jwks_uri`; Google rotates those keys, so
a copy of them must not be uploaded.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from refresher.resources import VERIFY_REMEDY, account_keys_url
from refresher.settings.fields import Choice, Issuer, ServiceAccountEmail
from refresher.settings.values import SIGNED_RANGE, AbsolutePath, SignedLifetime
from refresher.suppliers.interface import MintingSettings, Supplier, SupplierContext, Workshop, read_token
from refresher.tokens import SubjectToken


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
        default="1h", validate_default=True, description="Lifetime of each subject token, 2s to 12h. Default: 1h."
    )
    credentials: AbsolutePath | None = Field(
        default=None, description="google-auth credentials file that calls signJwt. Default: the metadata server."
    )

    lifetime_range = SIGNED_RANGE

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
        return SignJwtSupplier(self, workshop)


class SignJwtSupplier:
    """Obtains signed subject tokens; safe to use from several threads."""

    def __init__(self, settings: SignJwtSettings, workshop: Workshop) -> None:
        self._settings = settings
        self._workshop = workshop

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Obtain a signed token; a `SupplyError` also shows that the identity has no subject."""
        claims = self._settings.compose_claims(context, now, self._workshop.random)
        source = self._workshop.open_credentials(self._settings.credentials)
        api = self._workshop.open_iam_credentials(source.access_token(now))
        token = api.sign_jwt(self._settings.service_account, claims)
        return read_token(token, "IAM Credentials returned no JWT", VERIFY_REMEDY)
