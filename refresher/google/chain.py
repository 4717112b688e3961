"""The whole chain from a subject token to what a service account may have: exchange, then impersonate.

Each step is one call; who shares an exchange with whom is decided in `refresher.engine.minting`.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from refresher.errors import ImpersonationError
from refresher.google import iam_credentials, sts
from refresher.google.answers import IMPERSONATION, MissingRoleError
from refresher.resources import CLOUD_PLATFORM_SCOPE

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from refresher.google.source_credentials import SourceCredential
    from refresher.google.sts import AccessToken
    from refresher.google.transport import Transport
    from refresher.resources import Endpoints, Impersonation

_OF_FEDERATED = "roles/iam.workloadIdentityUser"
_OF_OTHERS = "roles/iam.serviceAccountTokenCreator"
_OF_OTHERS_FOR_ID_TOKENS = "roles/iam.serviceAccountOpenIdTokenCreator"
"""The roles that let a principal be a service account, if it is federated and otherwise; the first has both kinds of
tokens, but does not let anybody go on to a further account (`iam.serviceAccounts.implicitDelegation`)."""


class GoogleChain:
    """Makes the calls of a chain; safe to use from several threads.

    Args:
        transport: Gives what makes them; asked at the first one.
        endpoints: Where they go.
        own: Gives the worker's own credentials, of a file or (None) of the metadata server; asked once for each.
    """

    def __init__(
        self,
        *,
        transport: Callable[[], Transport],
        endpoints: Endpoints,
        own: Callable[[Path | None], SourceCredential],
    ) -> None:
        self._transport = transport
        self._endpoints = endpoints
        self._own = own
        self._sources: dict[Path | None, SourceCredential] = {}
        self._lock = Lock()

    def exchange(self, way: Impersonation, subject_token: str, now: datetime) -> AccessToken:
        """Give what the service account is asked with.

        That is a federated token for the subject token, with the scopes that the federated principal itself needs; or,
        for whoever impersonates as the worker, an access token of the worker's own, and STS is not asked.

        Raises:
            ExchangeError: STS refused or did not answer.
            SupplyError: The worker's own credentials give no token.
        """
        if way.is_own:
            value, expires_at = self._source_of(way.credentials).access_token(now)
            return sts.AccessToken(value=value, expires_at=expires_at)
        return sts.exchange(
            self._transport(),
            self._endpoints,
            provider=way.provider,
            subject_token=subject_token,
            subject_token_type=way.subject_token_type,
            scopes=way.scopes if way.service_account is None else (CLOUD_PLATFORM_SCOPE,),
            now=now,
        )

    def access_token(self, way: Impersonation, federated: AccessToken) -> AccessToken:
        """Give an access token of the service account; the federated token itself where there is none.

        Raises:
            ImpersonationError: IAM Credentials refused or did not answer.
        """
        if way.service_account is None:
            return federated
        try:
            return iam_credentials.generate_access_token(
                self._transport(),
                self._endpoints,
                service_account=way.service_account,
                scopes=way.scopes,
                lifetime=way.lifetime,
                delegates=way.delegates,
                access_token=federated.value,
            )
        except ImpersonationError as error:
            raise _naming(way, error, _OF_OTHERS) from error

    def id_token(self, way: Impersonation, audience: str, federated: AccessToken, *, include_email: bool) -> str:
        """Give an ID token of the service account, a JWT.

        Raises:
            ImpersonationError: IAM Credentials refused or did not answer, or there is no service account.
        """
        if way.service_account is None:
            raise ImpersonationError("there is no service account that an ID token could be of", "name one")
        try:
            return iam_credentials.generate_id_token(
                self._transport(),
                self._endpoints,
                service_account=way.service_account,
                audience=audience,
                access_token=federated.value,
                include_email=include_email,
                delegates=way.delegates,
                kinds=IMPERSONATION,
            )
        except ImpersonationError as error:
            raise _naming(way, error, _OF_OTHERS_FOR_ID_TOKENS) from error

    def _source_of(self, credentials: Path | None) -> SourceCredential:
        with self._lock:
            found = self._sources.get(credentials)
            if found is None:
                found = self._sources[credentials] = self._own(credentials)
            return found


def _naming(way: Impersonation, error: ImpersonationError, of_others: str) -> ImpersonationError:
    """Say for whom it was asked, and which role it lacks: another if it is federated, more if there are delegates."""
    problem = f"{error.problem} (asked as {way.principal})"
    if not isinstance(error, MissingRoleError):
        return ImpersonationError(problem, error.remedy, retryable=error.retryable)
    if not way.delegates:
        role = of_others if way.is_own else _OF_FEDERATED
        return ImpersonationError(problem, f"grant the principal {role} on {way.service_account}")
    accounts = (*way.delegates, str(way.service_account))
    links = zip((way.principal, *way.delegates), accounts, strict=True)
    return ImpersonationError(
        problem,
        f"let each of the chain have {_OF_OTHERS} on the next (Google does not tell which has not): "
        + ", then ".join(f"{member} on {account}" for member, account in links),
    )
