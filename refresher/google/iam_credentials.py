"""iamcredentials.googleapis.com: access tokens and ID tokens of a service account, and its signature.

https://docs.cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts. Called directly:
google-auth's own classes ignore the transport they are given and open a new connection for each token.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from refresher.errors import ImpersonationError
from refresher.google.answers import IMPERSONATION, SUPPLY, Kinds, document_of, refusal_of
from refresher.google.sts import AccessToken
from refresher.google.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from refresher.google.transport import Transport
    from refresher.resources import Endpoints

_OK = 200


def generate_access_token(
    transport: Transport,
    endpoints: Endpoints,
    *,
    service_account: str,
    scopes: Sequence[str],
    lifetime: timedelta | None,
    delegates: Sequence[str],
    access_token: str,
) -> AccessToken:
    """Give an access token of a service account.

    Args:
        transport: Makes the call.
        endpoints: Where IAM Credentials is.
        service_account: By e-mail or unique id.
        scopes: At least one.
        lifetime: At most an hour, or twelve by organisation policy; None for an hour.
        delegates: E-mails of the chain from the caller to the account.
        access_token: Of the caller.

    Raises:
        ImpersonationError: Google refused; the remedy names the role that is missing.
        ImpersonationError: Google did not answer, or not as it should.
    """
    body: dict[str, Any] = {"scope": list(scopes), **_through(delegates)}
    if lifetime is not None:
        body["lifetime"] = f"{int(lifetime.total_seconds())}s"
    answer = _ask(
        transport,
        endpoints,
        service_account=service_account,
        method="generateAccessToken",
        body=body,
        access_token=access_token,
        kinds=IMPERSONATION,
    )
    value = _text(answer, "accessToken", endpoints, service_account, IMPERSONATION)
    try:
        expires_at = datetime.fromisoformat(str(answer.get("expireTime"))).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ImpersonationError(
            f"{endpoints.iam_credentials} gave an access token of {service_account} without its end",
            "see whether something else answers there",
            retryable=True,
        ) from None
    return AccessToken(value=value, expires_at=expires_at)


def generate_id_token(
    transport: Transport,
    endpoints: Endpoints,
    *,
    service_account: str,
    audience: str,
    access_token: str,
    include_email: bool = False,
    delegates: Sequence[str] = (),
    kinds: Kinds = SUPPLY,
) -> str:
    """Give an ID token of a service account for an audience, a JWT that lives an hour.

    Args:
        transport: Makes the call.
        endpoints: Where IAM Credentials is.
        service_account: By e-mail or unique id.
        audience: The `aud` claim.
        access_token: Of the caller.
        include_email: Whether to add the account's e-mail.
        delegates: E-mails of the chain from the caller to the account.
        kinds: Of failure.

    Raises:
        RefresherError: One of `kinds`: Google refused, and the remedy names the role that is missing; or it did not
            answer, or not as it should.
    """
    answer = _ask(
        transport,
        endpoints,
        service_account=service_account,
        method="generateIdToken",
        body={"audience": audience, "includeEmail": include_email, **_through(delegates)},
        access_token=access_token,
        kinds=kinds,
    )
    return _text(answer, "token", endpoints, service_account, kinds)


def sign_jwt(
    transport: Transport,
    endpoints: Endpoints,
    *,
    service_account: str,
    claims: Mapping[str, Any],
    access_token: str,
    kinds: Kinds = SUPPLY,
) -> str:
    """Give a JWT of these claims, signed by Google with a key of the service account (RS256).

    Google adds nothing and takes no `exp` more than 12 hours ahead.

    Args:
        transport: Makes the call.
        endpoints: Where IAM Credentials is.
        service_account: That signs.
        claims: Of the JWT.
        access_token: Of the caller.
        kinds: Of failure.

    Raises:
        RefresherError: One of `kinds`: Google refused, and the remedy names the role that is missing; or it did not
            answer, or not as it should.
    """
    answer = _ask(
        transport,
        endpoints,
        service_account=service_account,
        method="signJwt",
        body={"payload": json.dumps(dict(claims))},
        access_token=access_token,
        kinds=kinds,
    )
    return _text(answer, "signedJwt", endpoints, service_account, kinds)


def _ask(
    transport: Transport,
    endpoints: Endpoints,
    *,
    service_account: str,
    method: str,
    body: Mapping[str, Any],
    access_token: str,
    kinds: Kinds,
) -> dict[str, Any]:
    try:
        response = transport.request(
            "POST",
            endpoints.impersonation_url(service_account, method),
            headers={"Authorization": f"Bearer {access_token}", "Content-Type": "application/json"},
            body=json.dumps(body).encode(),
        )
    except TransportError as error:
        raise kinds.failure(
            f"{method} of {service_account} was not answered: {error}",
            f"let this machine reach {endpoints.iam_credentials}",
            retryable=True,
        ) from error
    if response.status != _OK:
        asked = f"{method} of {service_account}"
        raise refusal_of(response, asked, access_token, service_account=service_account, kinds=kinds)
    return document_of(response) or {}


def _through(delegates: Sequence[str]) -> dict[str, list[str]]:
    return {"delegates": [f"projects/-/serviceAccounts/{email}" for email in delegates]} if delegates else {}


def _text(answer: Mapping[str, Any], name: str, endpoints: Endpoints, service_account: str, kinds: Kinds) -> str:
    found = answer.get(name)
    if not isinstance(found, str) or not found:
        raise kinds.failure(
            f"{endpoints.iam_credentials} answered without a token for {service_account}",
            "see whether something else answers there",
            retryable=True,
        )
    return found
