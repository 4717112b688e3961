"""sts.googleapis.com: a subject token exchanged for a federated access token (RFC 8693, section 2).

https://docs.cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token. For what the product itself needs of an
exchange; the proof that a client's own way works is `refresher.google.exchange`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from refresher.catalogue import entries
from refresher.errors import ExchangeError
from refresher.google.answers import document_of, error_text_of, is_passing
from refresher.google.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from refresher.google.transport import Response, Transport
    from refresher.resources import Endpoints, WorkloadIdentityProvider

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a type
_OK = 200
_BAD_REQUEST = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """An access token of Google's.

    Attributes:
        value: The secret; in no repr.
        expires_at: When it ends, UTC.
    """

    value: str = field(repr=False)
    expires_at: datetime


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
        provider: Which accepts the token.
        subject_token: The token.
        subject_token_type: Its type, a URN of RFC 8693, section 3.
        scopes: Of the federated token, at least one.
        now: The wall clock's time, from which the answer's `expires_in` counts.

    Raises:
        ExchangeError: STS refused; the remedy says what to mend.
        ExchangeError: STS did not answer, or not as it should.
    """
    form = {
        "grant_type": GRANT_TYPE,
        "audience": provider.sts_audience,
        "scope": " ".join(scopes),
        "requested_token_type": ACCESS_TOKEN_TYPE,
        "subject_token": subject_token,
        "subject_token_type": subject_token_type,
    }
    try:
        response = transport.request(
            "POST",
            endpoints.token_url,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
        )
    except TransportError as error:
        raise ExchangeError(
            f"the exchange was not answered: {error}", f"let this machine reach {endpoints.sts}", retryable=True
        ) from error
    if response.status != _OK:
        raise _refusal(response, subject_token, subject_token_type)
    return _read(response, endpoints, now)


def _refusal(response: Response, subject_token: str, subject_token_type: str) -> ExchangeError:
    text = error_text_of(response, subject_token)
    return ExchangeError(
        f"the exchange was refused with HTTP {response.status}: {text}",
        remedy_of(response.status, text, subject_token_type=subject_token_type),
        retryable=is_passing(response.status),
    )


def remedy_of(status: int, text: str, *, subject_token_type: str) -> str:
    """Give what mends a refused exchange, knowing what kind of token was sent.

    Args:
        status: The HTTP status.
        text: What STS says.
        subject_token_type: A URN of RFC 8693, section 3.
    """
    entry = entries.recognise(status, text)
    is_opaque = subject_token_type == ACCESS_TOKEN_TYPE and status == _BAD_REQUEST
    if is_opaque and (entry is None or entry.name == entries.UNPARSED):
        return entries.OPAQUE_REMEDY
    return entries.remedy_of(status, text)


def _read(response: Response, endpoints: Endpoints, now: datetime) -> AccessToken:
    document = document_of(response) or {}
    value, seconds = document.get("access_token"), document.get("expires_in")
    if not isinstance(value, str) or not value or not isinstance(seconds, int):
        raise ExchangeError(
            f"{endpoints.sts} answered without an access token that ends",
            "see whether something else answers there",
            retryable=True,
        )
    return AccessToken(value=value, expires_at=now + timedelta(seconds=seconds))
