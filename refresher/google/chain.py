"""The whole chain from a subject token to what a service account may have: exchange at STS, then impersonate.

Each step is one call; which targets share an exchange is decided in `refresher.engine.shared_tokens`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from refresher.catalogue.entries import find_exchange_remedy
from refresher.errors import ExchangeError, ImpersonationError
from refresher.google.call import Call, Transport
from refresher.google.iam_credentials import CREATOR_ROLE, ID_TOKEN_ROLE, IamCredentials, explain_refusal
from refresher.google.source_credentials import SourceCredential
from refresher.resources import CLOUD_PLATFORM_SCOPE, Endpoints, Impersonation, WorkloadIdentityProvider
from refresher.tokens import ACCESS_TOKEN_TYPE, AccessToken

_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleChain:
    """Makes the calls of a chain; safe to use from several threads.

    Attributes:
        transport: Returns what makes them; asked at the first one.
        endpoints: Where they go.
        own: Returns the worker's own credentials, of a file or (None) of the metadata server, the same each time.
    """

    transport: Callable[[], Transport]
    endpoints: Endpoints
    own: Callable[[Path | None], SourceCredential]

    def exchange(self, way: Impersonation, subject_token: str, now: datetime) -> AccessToken:
        """Return what the service account is asked with.

        That is a federated token for the subject token, with the scopes that the federated principal itself needs; or,
        for an identity that impersonates as the worker, an access token of the worker's own, and STS is not asked.

        Raises:
            ExchangeError: STS refused or did not answer.
            SupplyError: The worker's own credentials have no token.
        """
        if way.is_own:
            return self.own(way.credentials).access_token(now)
        return exchange(
            self.transport(),
            self.endpoints,
            provider=way.provider,
            subject_token=subject_token,
            subject_token_type=way.subject_token_type,
            scopes=way.scopes if way.service_account is None else (CLOUD_PLATFORM_SCOPE,),
            now=now,
        )

    def access_token(self, way: Impersonation, federated: AccessToken) -> AccessToken:
        """Return an access token of the service account; the federated token itself without a service account.

        Raises:
            ImpersonationError: IAM Credentials refused or did not answer.
        """
        if way.service_account is None:
            return federated
        return self._open(way, federated, CREATOR_ROLE).generate_access_token(
            way.service_account, scopes=way.scopes, lifetime=way.lifetime, delegates=way.delegates
        )

    def id_token(self, way: Impersonation, audience: str, federated: AccessToken, *, include_email: bool) -> str:
        """Return an ID token of the service account, a JWT.

        Raises:
            ImpersonationError: IAM Credentials refused or did not answer, or there is no service account.
        """
        if way.service_account is None:
            raise ImpersonationError(
                "an ID token needs a service account, and the identity has none", "add service_account: to the identity"
            )
        return self._open(way, federated, ID_TOKEN_ROLE).generate_id_token(
            way.service_account, audience, include_email=include_email, delegates=way.delegates
        )

    def _open(self, way: Impersonation, federated: AccessToken, role: str) -> IamCredentials:
        return IamCredentials(
            transport=self.transport(),
            endpoints=self.endpoints,
            access_token=federated.value,
            error=ImpersonationError,
            caller=way.principal,
            explain=partial(explain_refusal, way, role),
        )


def exchange(
    transport: Transport,
    endpoints: Endpoints,
    *,
    provider: WorkloadIdentityProvider,
    subject_token: str,
    subject_token_type: str,
    scopes: Sequence[str],
    now: datetime,
) -> AccessToken:
    """Exchange a subject token for a federated access token (RFC 8693, section 2).

    https://docs.cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token. For what the product itself needs of an
    exchange; the proof that a client's own way works is in `refresher.google.google_auth`.

    The token's type is a URN of RFC 8693, section 3; the federated token needs at least one scope; the answer's
    `expires_in` counts from `now`, the wall clock's time, UTC.

    Raises:
        ExchangeError: STS refused, and the remedy names what to fix; or it did not answer, or not as it should.
    """
    call = Call(
        asked=f"the exchange with {endpoints.sts} at {provider.resource_name}",
        url=endpoints.token_url,
        error=ExchangeError,
        form={
            "grant_type": _GRANT_TYPE,
            "audience": provider.sts_audience,
            "scope": " ".join(scopes),
            "requested_token_type": ACCESS_TOKEN_TYPE,
            "subject_token": subject_token,
            "subject_token_type": subject_token_type,
        },
        secrets=(subject_token,),
        explain=partial(find_exchange_remedy, subject_token_type),
    )
    return call.read_access_token(call.fetch_document(transport), now)
