"""sts.googleapis.com: a subject token exchanged for a federated access token (RFC 8693, section 2).

https://docs.cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token. For what the product itself needs of an
exchange; the proof that a client's own way works is in `refresher.google.google_auth`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from refresher.catalogue import entries
from refresher.errors import ExchangeError
from refresher.google.call import AccessToken, Call
from refresher.tokens import ACCESS_TOKEN_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from refresher.google.call import Transport
    from refresher.resources import Endpoints, WorkloadIdentityProvider

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"


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
    """Exchange a subject token for a federated access token.

    Args:
        transport: Makes the call.
        endpoints: Where STS is.
        provider: The provider that accepts the token.
        subject_token: The token.
        subject_token_type: Its type, a URN of RFC 8693, section 3.
        scopes: The scopes of the federated token, at least one.
        now: The wall clock's time, UTC, from which the answer's `expires_in` counts.

    Raises:
        ExchangeError: STS refused, and the remedy names what to fix; or it did not answer, or not as it should.
    """
    call = Call(
        asked=f"the exchange with {endpoints.sts} at {provider.resource_name}",
        url=endpoints.token_url,
        error=ExchangeError,
        form={
            "grant_type": GRANT_TYPE,
            "audience": provider.sts_audience,
            "scope": " ".join(scopes),
            "requested_token_type": ACCESS_TOKEN_TYPE,
            "subject_token": subject_token,
            "subject_token_type": subject_token_type,
        },
        secrets=(subject_token,),
        explain=partial(entries.find_exchange_remedy, subject_token_type),
    )
    return call.read_access_token(call.fetch_document(transport), now)
