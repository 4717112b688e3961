"""The proof that an ADC document and a token file work: one real exchange, and the impersonation if there is one.

Done by google-auth, the library that the document is for, so that what is proved is what a client will do. It makes
these two calls and no other: `refresh` begins none of google-auth's background threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from google.auth import identity_pool

from refresher.catalogue import entries
from refresher.errors import ExchangeError, ImpersonationError
from refresher.google import sts
from refresher.google.answers import error_text_of
from refresher.google.credentials_files import FAILURES, SCOPES
from refresher.google.request_adapter import RequestAdapter

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.google.transport import Transport

_OK = 200
_IMPERSONATION = ":generateAccessToken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What came of it.

    Attributes:
        access_token: The secret; in no repr.
        expires_at: When it ends, UTC.
        principal: The service account, or "the federated principal itself".
    """

    access_token: str = field(repr=False)
    expires_at: datetime
    principal: str


def prove(document: dict[str, Any], *, token_path: Path, transport: Transport) -> Proof:
    """Exchange the token in a file as an ADC document says, and impersonate if it names a service account.

    Args:
        document: The ADC document; its own token path, the container's, is not used.
        token_path: Where the token is for this process.
        transport: Makes the calls.

    Raises:
        ExchangeError: The STS refused or did not answer, the file holds nothing, or the document is no ADC document.
        ImpersonationError: The STS accepted, IAM Credentials refused or did not answer.
    """
    request = RequestAdapter(transport)
    credentials = _credentials(document, token_path)
    principal: str | None = credentials.service_account_email
    try:
        credentials.refresh(request)
    except FAILURES as error:
        # no cause: its text may quote an answer, and that a token
        raise _refused(error, request, principal, token_path, str(document.get("subject_token_type"))) from None
    if not isinstance(credentials.token, str) or not isinstance(credentials.expiry, datetime):
        raise ExchangeError("the exchange gave no access token that ends", entries.UNKNOWN_REMEDY)
    return Proof(
        access_token=credentials.token,
        expires_at=credentials.expiry.replace(tzinfo=UTC),
        principal=principal or "the federated principal itself",
    )


def _credentials(document: dict[str, Any], token_path: Path) -> Any:  # noqa: ANN401 - google-auth types it half
    source = {"credential_source": {"file": str(token_path), "format": {"type": "text"}}}
    try:
        return identity_pool.Credentials.from_info({**document, **source}, scopes=SCOPES)  # type: ignore[no-untyped-call]  # same reason
    except FAILURES as error:
        raise ExchangeError(
            f"the ADC document cannot be used ({type(error).__name__})", "publish it anew: refresher once"
        ) from None


def _refused(
    error: Exception, request: RequestAdapter, principal: str | None, token_path: Path, subject_token_type: str
) -> ExchangeError | ImpersonationError:
    if not request.last_url:
        return ExchangeError(
            f"{token_path} holds no subject token to be exchanged ({type(error).__name__})",
            "publish one: refresher once; or see why the daemon does not",
        )
    said, remedy = _said(request, principal, subject_token_type)
    if request.last_url.endswith(_IMPERSONATION):
        return ImpersonationError(f"impersonating {principal} failed: {said}", remedy)
    return ExchangeError(f"the exchange failed: {said}", remedy)


def _said(request: RequestAdapter, principal: str | None, subject_token_type: str) -> tuple[str, str]:
    answer = request.last_answer
    if answer is None:
        return request.last_failure, "let this machine reach that host; google.endpoints names another"
    if answer.status == _OK:
        return "the answer holds no access token that ends", "see whether something else answers there"
    text = error_text_of(answer)
    if request.last_url.endswith(_IMPERSONATION):
        remedy = entries.remedy_of(answer.status, text, service_account=principal)
    else:
        remedy = sts.remedy_of(answer.status, text, subject_token_type=subject_token_type)
    return (f"HTTP {answer.status}: {text}" if text != f"HTTP {answer.status}" else text), remedy
