"""The whole chain from a subject token to what a service account may have: exchange, then impersonate.

Each step is one call; which targets share an exchange is decided in `refresher.engine.minter`.
"""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from refresher.errors import ImpersonationError
from refresher.google import sts
from refresher.google.iam_credentials import CREATOR_ROLE, ID_TOKEN_ROLE, IamCredentials, explain_refusal
from refresher.resources import CLOUD_PLATFORM_SCOPE

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from refresher.google.call import AccessToken, Transport
    from refresher.google.source_credentials import SourceCredential
    from refresher.resources import Endpoints, Impersonation


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
        api = self._open(way, federated, CREATOR_ROLE)
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
        api = self._open(way, federated, ID_TOKEN_ROLE)
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
            explain=partial(explain_refusal, way, role),
        )

    def _find_source(self, credentials: Path | None) -> SourceCredential:
        with self._lock:
            found = self._sources.get(credentials)
            if found is None:
                found = self._sources[credentials] = self._own(credentials)
            return found
