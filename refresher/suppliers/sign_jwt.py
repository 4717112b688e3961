"""Subject tokens that a service account signs: the `sign_jwt` supplier. Google holds the key, we hold none.

https://docs.cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signJwt. The issuer is a
URL of one's own whose discovery document names the account's published keys as `jwks_uri`; Google rotates those keys,
so a copy of them is not to be uploaded (`refresher.resources.discovery_document`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.errors import SupplyError
from refresher.google.iam_credentials import sign_jwt
from refresher.tokens import SubjectToken, UnreadableTokenError, peek

if TYPE_CHECKING:
    from datetime import datetime

    from refresher.google.source_credentials import SourceCredential
    from refresher.google.transport import Transport
    from refresher.resources import Endpoints
    from refresher.suppliers.claims import ClaimsTemplate
    from refresher.suppliers.interface import SupplierContext


class SignJwtSupplier:
    """Has subject tokens signed; safe to use from several threads."""

    def __init__(
        self,
        *,
        transport: Transport,
        endpoints: Endpoints,
        source: SourceCredential,
        service_account: str,
        claims: ClaimsTemplate,
    ) -> None:
        self._transport = transport
        self._endpoints = endpoints
        self._source = source
        self._service_account = service_account
        self._claims = claims

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Have a token signed.

        Raises:
            SupplyError: The identity has no subject, or Google refused.
            SupplyError: Google did not answer, or not as it should.
        """
        claims = self._claims.of(context, now)
        access_token, _ = self._source.access_token(now)
        signed = sign_jwt(
            self._transport,
            self._endpoints,
            service_account=self._service_account,
            claims=claims,
            access_token=access_token,
        )
        try:
            return peek(signed)
        except UnreadableTokenError as error:
            raise SupplyError(
                f"what {self._endpoints.iam_credentials} signed is no JWT: {error}",
                "see whether something else answers there",
                retryable=True,
            ) from error
