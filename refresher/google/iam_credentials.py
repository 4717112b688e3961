"""iamcredentials.googleapis.com: ID tokens of a service account by `generateIdToken`, its signature by `signJwt`.

https://docs.cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts. Called directly:
google-auth's own classes ignore the transport they are given and open a new connection for each token.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from refresher.errors import TransientSupplyError
from refresher.google.answers import document_of, refusal_of
from refresher.google.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.google.transport import Transport
    from refresher.resources import Endpoints

_OK = 200


def generate_id_token(
    transport: Transport, endpoints: Endpoints, *, service_account: str, audience: str, access_token: str
) -> str:
    """Give an ID token of a service account for an audience, a JWT that lives an hour.

    Raises:
        SupplyError: Google refused; the remedy names the role that is missing.
        TransientSupplyError: Google did not answer, or not as it should.
    """
    answer = _ask(
        transport,
        endpoints,
        service_account=service_account,
        method="generateIdToken",
        body={"audience": audience, "includeEmail": False},
        access_token=access_token,
    )
    return _text(answer, "token", endpoints, service_account)


def sign_jwt(
    transport: Transport, endpoints: Endpoints, *, service_account: str, claims: Mapping[str, Any], access_token: str
) -> str:
    """Give a JWT of these claims, signed by Google with a key of the service account (RS256).

    Google adds nothing and takes no `exp` more than 12 hours ahead.

    Raises:
        SupplyError: Google refused; the remedy names the role that is missing.
        TransientSupplyError: Google did not answer, or not as it should.
    """
    answer = _ask(
        transport,
        endpoints,
        service_account=service_account,
        method="signJwt",
        body={"payload": json.dumps(dict(claims))},
        access_token=access_token,
    )
    return _text(answer, "signedJwt", endpoints, service_account)


def _ask(
    transport: Transport,
    endpoints: Endpoints,
    *,
    service_account: str,
    method: str,
    body: Mapping[str, Any],
    access_token: str,
) -> dict[str, Any]:
    try:
        response = transport.request(
            "POST",
            endpoints.impersonation_url(service_account, method),
            headers={"Authorization": f"Bearer {access_token}", "Content-Type": "application/json"},
            body=json.dumps(body).encode(),
        )
    except TransportError as error:
        raise TransientSupplyError(
            f"{method} of {service_account} was not answered: {error}",
            f"let this machine reach {endpoints.iam_credentials}",
        ) from error
    if response.status != _OK:
        raise refusal_of(response, f"{method} of {service_account}", access_token, service_account=service_account)
    return document_of(response) or {}


def _text(answer: Mapping[str, Any], name: str, endpoints: Endpoints, service_account: str) -> str:
    found = answer.get(name)
    if not isinstance(found, str) or not found:
        raise TransientSupplyError(
            f"{endpoints.iam_credentials} answered without a token for {service_account}",
            "see whether something else answers there",
        )
    return found
