"""The whole chain from a subject token to what a service account may have: exchange, then impersonate.

Each step is one call; who shares an exchange with whom is decided in `refresher.engine.minting`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.errors import ImpersonationError
from refresher.google import iam_credentials, sts
from refresher.google.answers import IMPERSONATION
from refresher.resources import CLOUD_PLATFORM_SCOPE

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from refresher.google.sts import AccessToken
    from refresher.google.transport import Transport
    from refresher.resources import Endpoints, Impersonation


class GoogleChain:
    """Makes the calls of a chain; safe to use from several threads.

    Args:
        transport: Gives what makes them; asked at the first one.
        endpoints: Where they go.
    """

    def __init__(self, *, transport: Callable[[], Transport], endpoints: Endpoints) -> None:
        self._transport = transport
        self._endpoints = endpoints

    def exchange(self, way: Impersonation, subject_token: str, now: datetime) -> AccessToken:
        """Exchange a subject token for a federated token, with the scopes that the federated principal itself needs.

        Raises:
            ExchangeError: STS refused or did not answer.
        """
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
            raise _naming(way, error) from error

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
            raise _naming(way, error) from error


def _naming(way: Impersonation, error: ImpersonationError) -> ImpersonationError:
    """Say for whom it was asked: the role is to be granted to that principal."""
    return type(error)(f"{error.problem} (asked as {way.principal})", error.remedy)
