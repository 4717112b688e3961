"""The whole chain from a subject token to what a service account may have: exchange, then impersonate.

Each step is one call; which targets share an exchange is decided in `refresher.engine.minter`.
"""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from refresher.catalogue.entries import find_remedy, recognise
from refresher.errors import ImpersonationError
from refresher.google import sts
from refresher.google.call import is_retryable
from refresher.google.iam_credentials import IamCredentials
from refresher.resources import CLOUD_PLATFORM_SCOPE

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from refresher.google.call import AccessToken, Transport
    from refresher.google.source_credentials import SourceCredential
    from refresher.resources import Endpoints, Impersonation

_FEDERATED_ROLE = "roles/iam.workloadIdentityUser"
_ROLE = "roles/iam.serviceAccountTokenCreator"
_ID_TOKEN_ROLE = "roles/iam.serviceAccountOpenIdTokenCreator"  # noqa: S105 - the name of a role
"""The roles that allow a principal to act as a service account, if it is federated and otherwise; the first covers both
kinds of tokens, but not going on to a further account (`iam.serviceAccounts.implicitDelegation`)."""


class GoogleChain:
    """Makes the calls of a chain; safe to use from several threads.

    Args:
        transport: Returns what makes them; asked at the first one.
        endpoints: Where they go.
        own: Returns the worker's own credentials, of a file or (None) of the metadata server; asked once for each.
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
        """Return what the service account is asked with.

        That is a federated token for the subject token, with the scopes that the federated principal itself needs; or,
        for an identity that impersonates as the worker, an access token of the worker's own, and STS is not asked.

        Raises:
            ExchangeError: STS refused or did not answer.
            SupplyError: The worker's own credentials have no token.
        """
        if way.is_own:
            return self._find_source(way.credentials).access_token(now)
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
        """Return an access token of the service account; the federated token itself without a service account.

        Raises:
            ImpersonationError: IAM Credentials refused or did not answer.
        """
        if way.service_account is None:
            return federated
        api = self._open(way, federated, _ROLE)
        return api.generate_access_token(
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
        api = self._open(way, federated, _ID_TOKEN_ROLE)
        return api.generate_id_token(
            way.service_account, audience, include_email=include_email, delegates=way.delegates
        )

    def _open(self, way: Impersonation, federated: AccessToken, role: str) -> IamCredentials:
        return IamCredentials(
            transport=self._transport(),
            endpoints=self._endpoints,
            access_token=federated.value,
            error=ImpersonationError,
            caller=way.principal,
            explain=partial(_explain, way, role),
        )

    def _find_source(self, credentials: Path | None) -> SourceCredential:
        with self._lock:
            found = self._sources.get(credentials)
            if found is None:
                found = self._sources[credentials] = self._own(credentials)
            return found


def _explain(way: Impersonation, role: str, status: int, text: str) -> str:
    """Return the remedy of a refusal: which role the principal lacks, or each link of a chain of delegates."""
    entry = recognise(status, text)
    if entry is None or not entry.is_missing_role or is_retryable(status):
        return find_remedy(status, text, service_account=str(way.service_account))
    if not way.delegates:
        return f"grant the principal {role if way.is_own else _FEDERATED_ROLE} on {way.service_account}"
    accounts = (*way.delegates, str(way.service_account))
    links = zip((way.principal, *way.delegates), accounts, strict=True)
    return f"grant each of the chain {_ROLE} on the next (Google does not show which one lacks it): " + ", then ".join(
        f"{member} on {account}" for member, account in links
    )
