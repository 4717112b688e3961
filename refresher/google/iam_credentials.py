"""iamcredentials.googleapis.com: ID tokens of a service account, by `generateIdToken`.

https://docs.cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateIdToken. Called
directly: google-auth's own class ignores the transport it is given and opens a new connection for each token.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from refresher.errors import TransientSupplyError
from refresher.google.answers import document_of, refusal_of
from refresher.google.transport import TransportError

if TYPE_CHECKING:
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
    try:
        response = transport.request(
            "POST",
            endpoints.impersonation_url(service_account, "generateIdToken"),
            headers={"Authorization": f"Bearer {access_token}", "Content-Type": "application/json"},
            body=json.dumps({"audience": audience, "includeEmail": False}).encode(),
        )
    except TransportError as error:
        raise TransientSupplyError(
            f"no ID token for {service_account}: {error}", f"let this machine reach {endpoints.iam_credentials}"
        ) from error
    if response.status != _OK:
        raise refusal_of(response, f"an ID token for {service_account}", access_token, service_account=service_account)
    token = (document_of(response) or {}).get("token")
    if not isinstance(token, str) or not token:
        raise TransientSupplyError(
            f"{endpoints.iam_credentials} answered without an ID token for {service_account}",
            "see whether something else answers there",
        )
    return token
