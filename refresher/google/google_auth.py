"""google-auth, the library of Google's clients, over our transport; and the proof that an ADC document works by it.

The proof makes the two calls that a client makes and no other: `refresh` starts none of google-auth's background
threads. Which credentials the worker itself has is decided in `refresher.google.source_credentials`.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from google.auth import identity_pool
from google.auth import transport as google_transport
from google.auth.exceptions import GoogleAuthError
from google.auth.exceptions import TransportError as GoogleTransportError

from refresher.catalogue import entries
from refresher.errors import ExchangeError, ImpersonationError
from refresher.google.call import Response, Transport, TransportError, read_error_text
from refresher.google.iam_credentials import FEDERATED_ROLE, explain_refusal
from refresher.resources import CLOUD_PLATFORM_SCOPE, Impersonation

SCOPES = (CLOUD_PLATFORM_SCOPE,)

FAILURES = (
    GoogleAuthError,
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What google-auth raises at documents and answers that are not as it expects."""


class RequestAdapter(google_transport.Request):
    """Our transport as google-auth calls it; its time limits hold, whatever google-auth asks for."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.last_url = ""  # before the first call
        self.last_answer: Response | None = None
        self.last_failure = ""  # why there is no answer, in our own words

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - google-auth's signature
        **_more: Any,  # noqa: ANN401 - google-auth's signature
    ) -> google_transport.Response:
        """Make a call, or raise google-auth's own `TransportError` where there is no answer."""
        self.last_url, self.last_answer = url, None
        content = body.encode() if isinstance(body, str) else body
        try:
            response = self._transport.request(method, url, headers=headers, body=content)
        except TransportError as error:
            self.last_failure = str(error)
            raise GoogleTransportError(str(error)) from error  # type: ignore[no-untyped-call]  # google-auth types it half
        self.last_answer = response
        return _Answer(response)


class _Answer(google_transport.Response):
    def __init__(self, response: Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def data(self) -> bytes:
        return self._response.body


def prove(document: Mapping[str, Any], way: Impersonation, *, token_path: Path, transport: Transport) -> str:
    """Exchange the token in a file as an ADC document describes, and impersonate if it names a service account.

    The document's own token path is the container's and not used; `token_path` is where the token is for this process,
    and `way` what the document was composed of, for the remedies.
    Returns the service account that the resulting access token is of, or "the federated principal itself".

    Raises:
        ExchangeError: STS refused or did not answer, the file holds no token, or the document is not an ADC document.
        ImpersonationError: STS accepted, and IAM Credentials refused or did not answer.
    """
    source = {"credential_source": {"file": str(token_path), "format": {"type": "text"}}}
    request = RequestAdapter(transport)
    try:
        credentials: Any = identity_pool.Credentials.from_info({**document, **source}, scopes=SCOPES)  # type: ignore[no-untyped-call]  # google-auth types it half
    except FAILURES as error:
        raise ExchangeError(
            f"the ADC document can't be used ({type(error).__name__})", "publish it again: refresher once"
        ) from None
    account: str | None = credentials.service_account_email
    try:
        credentials.refresh(request)
    except FAILURES as error:
        if not request.last_url:
            raise ExchangeError(
                f"{token_path} holds no subject token that could be exchanged ({type(error).__name__})",
                "publish one: refresher once; or look up in the log why the daemon does not",
            ) from None
        # no cause: its text may quote an answer, and that a token
        raise _translate(request, way) from None
    if not isinstance(credentials.token, str) or not isinstance(credentials.expiry, datetime):
        raise ExchangeError("the exchange returned no access token that expires", entries.UNKNOWN_REMEDY)
    return account or "the federated principal itself"


def _translate(request: RequestAdapter, way: Impersonation) -> ExchangeError | ImpersonationError:
    is_impersonation = request.last_url.endswith(":generateAccessToken")
    answer = request.last_answer
    if answer is None:
        parts = urlsplit(request.last_url)
        reason = request.last_failure
        remedy = f"make this machine reach {parts.scheme}://{parts.netloc} (DNS, firewall, HTTPS_PROXY)"
    elif answer.status == 200:  # noqa: PLR2004 - OK
        reason = "the response has no access token that expires"
        remedy = "check that this address really is Google's API (proxy, DNS, google.endpoints)"
    else:
        text = read_error_text(answer)
        reason = f"HTTP {answer.status}" + (f": {text}" if text else "")
        remedy = (
            explain_refusal(way, FEDERATED_ROLE, answer.status, text)
            if is_impersonation
            else entries.find_exchange_remedy(way.subject_token_type, answer.status, text)
        )
    if is_impersonation:
        return ImpersonationError(f"impersonating {way.service_account} as {way.principal} failed: {reason}", remedy)
    return ExchangeError(f"the exchange at {way.provider.resource_name} failed: {reason}", remedy)
