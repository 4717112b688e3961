"""google-auth, the library of Google's clients, over our transport: the one file that knows it.

Credentials of a file are built here by their kind, without a call: google-auth's own loader exchanges a federated
identity at once, to learn a project that nothing needs, and starts a thread for it. The proof that an ADC document
works makes the two calls that a client makes and no other: `refresh` starts none of google-auth's background threads.
"""

import json
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import google.auth
from google.auth import identity_pool
from google.auth import transport as google_transport
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.exceptions import TransportError as GoogleTransportError

from refresher.catalogue import entries
from refresher.durations import format_seconds
from refresher.errors import ExchangeError, ImpersonationError, RefresherError, SupplyError
from refresher.files import UnsuitableFileError, explain_failure, read_regular
from refresher.google.call import Call, Response, Transport, TransportError, is_retryable
from refresher.google.chain import FEDERATED_ROLE, explain_refusal
from refresher.resources import CLOUD_PLATFORM_SCOPE, Impersonation
from refresher.tokens import AccessToken

_SCOPES = (CLOUD_PLATFORM_SCOPE,)
_LARGEST = 1024 * 1024
"""Bytes of a document, and of a file that one names as its source."""
_REMEDY = "use a credentials file that google-auth can load, such as gcloud writes"
_FILES = frozenset(["file", "output_file", "certificate_config_location", "trust_chain_path"])
"""Keys of an ADC document that name a file (AIP-4117)."""
_AWS = "urn:ietf:params:aws:token-type:aws4_request"

_FAILURES = (
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


class _RequestAdapter(google_transport.Request):
    """Our transport as google-auth calls it; its time limits hold, whatever google-auth asks for."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.last_url = ""  # before the first call
        self.last_answer: Response | None = None
        self.last_sent_at: datetime | None = None
        self.last_failure: TransportError | None = None  # why there is no answer, in our own words

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
        self.last_url, self.last_answer, self.last_sent_at = url, None, datetime.now(UTC)
        content = body.encode() if isinstance(body, str) else body
        try:
            response = self._transport.request(method, url, headers=headers, body=content)
        except TransportError as error:
            self.last_failure = error
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsFile:
    """Credentials of a file, and the files that google-auth reads at each refresh (it would wait for a FIFO)."""

    path: Path
    credentials: Credentials
    source_files: tuple[Path, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load credentials of any kind that google-auth knows (else a `SupplyError`), with the scope cloud-platform."""
        try:
            document = json.loads(read_regular(path, most=_LARGEST)[0])
            return cls(path=path, credentials=_create(document), source_files=tuple(_list_source_files(document)))
        except (OSError, UnsuitableFileError) as error:
            problem = f"the credentials file {path} {explain_failure(error)}"
            raise SupplyError(problem, "name a file that the daemon's user can read") from error
        except _FAILURES as error:
            # no cause: its text may quote the document, which holds a key
            raise SupplyError(f"the credentials file {path} cannot be used ({type(error).__name__})", _REMEDY) from None

    def fetch_access_token(self, transport: Transport) -> AccessToken:
        """Fetch an access token by google-auth.

        It is a `SupplyError` if a file or program that they are obtained from can't be used, or Google refused.
        """
        for file in self.source_files:
            self._check(file)
        request = _RequestAdapter(transport)
        try:
            self.credentials.refresh(request)  # type: ignore[no-untyped-call]  # google-auth types it half
            token, expiry = self.credentials.token, self.credentials.expiry
        except subprocess.TimeoutExpired as error:
            # no cause: it holds what the program printed
            raise SupplyError(
                f"the program of the credentials in {self.path} did not end within {format_seconds(error.timeout)}",
                "run it by hand as the daemon's user; timeout_millis in that file sets a longer limit",
                retryable=True,
            ) from None
        except _FAILURES as error:
            # no cause: its text may quote the answer to a token call
            raise self._translate(request, type(error).__name__) from None
        if not isinstance(token, str) or not token or not isinstance(expiry, datetime):
            problem = f"the credentials in {self.path} return no access token that expires"
            raise SupplyError(problem, "use another kind of credentials")
        return AccessToken(value=token, expires_at=expiry.replace(tzinfo=UTC))  # google-auth's times are UTC and naive

    def _check(self, file: Path) -> None:
        try:
            read_regular(file, most=_LARGEST)
        except FileNotFoundError:
            return  # a program may not have written its own yet; google-auth reports any other
        except (OSError, UnsuitableFileError) as error:
            raise SupplyError(
                f"the source file {file} of the credentials in {self.path} {explain_failure(error)}",
                "start the program that renews it, and make the file readable for the daemon's user",
                retryable=True,
            ) from None

    def _translate(self, request: _RequestAdapter, kind: str) -> SupplyError:
        retry_after, clock = None if request.last_answer is None else request.last_answer.retry_after, None
        if request.last_answer is None:
            retryable, reason = bool(request.last_url), str(request.last_failure or f"no request was sent ({kind})")
        else:
            status = request.last_answer.status
            retryable, reason = is_retryable(status), f"HTTP {status} ({kind})"
            call = Call(asked="", url=request.last_url, sent_at=request.last_sent_at)
            clock = call.judge_clock(request.last_answer) if status == HTTPStatus.BAD_REQUEST else None
        remedy = "check that file, that its account is enabled, and that this machine reaches Google"
        if request.last_failure is not None and request.last_failure.remedy:
            remedy = request.last_failure.remedy
        if clock is not None:
            reason, remedy = f"{reason}; {clock.evidence}", entries.compose_remedy(clock.entry, "")
        failure = SupplyError(
            f"the credentials in {self.path} cannot be refreshed: {reason}",
            remedy,
            retryable=retryable,
            retry_after=retry_after,
        )
        failure.entry = "" if clock is None else clock.name
        failure.http_status = None if request.last_answer is None else request.last_answer.status
        return failure


def _create(document: dict[str, Any]) -> Credentials:
    credentials: Credentials
    if document["type"] == "external_account":
        is_aws = document.get("subject_token_type") == _AWS
        name = "aws" if is_aws else "pluggable" if "executable" in document["credential_source"] else "identity_pool"
        # imported when needed: each imports much
        credentials = import_module(f"google.auth.{name}").Credentials.from_info(document, scopes=_SCOPES)
        return credentials
    with warnings.catch_warnings():
        # google-auth warns of documents from strangers; this one is the operator's own, named in a trusted file
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="refresher|google")
        credentials, _ = google.auth.load_credentials_from_dict(document, scopes=list(_SCOPES))  # type: ignore[no-untyped-call]  # google-auth types it half
        return credentials


def _list_source_files(document: Mapping[str, Any]) -> Iterator[Path]:
    """Return the files that a document names, at any depth: a source may be nested in credentials to impersonate."""
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _list_source_files(value)
        elif key in _FILES and isinstance(value, str) and value:
            yield Path(value)


def prove(document: Mapping[str, Any], way: Impersonation, *, token_path: Path, transport: Transport) -> AccessToken:
    """Exchange the token in a file as an ADC document describes, and impersonate if it names a service account.

    The document's own token path is the container's and not used; `token_path` is where the token is for this process,
    and `way` what the document was composed of, for the remedies.
    Returns the resulting access token.

    Raises:
        ExchangeError: STS refused or did not answer, the file holds no token, or the document is not an ADC document.
        ImpersonationError: STS accepted, and IAM Credentials refused or did not answer.
    """
    source = {"credential_source": {"file": str(token_path), "format": {"type": "text"}}}
    request = _RequestAdapter(transport)
    try:
        credentials: Any = identity_pool.Credentials.from_info({**document, **source}, scopes=_SCOPES)  # type: ignore[no-untyped-call]  # google-auth types it half
    except _FAILURES as error:
        raise ExchangeError(
            f"the ADC document can't be used ({type(error).__name__})", "publish it again: refresher once"
        ) from None
    try:
        credentials.refresh(request)
    except _FAILURES as error:
        if not request.last_url:
            raise ExchangeError(
                f"{token_path} holds no subject token that could be exchanged ({type(error).__name__})",
                "publish one: refresher once; or look up in the log why the daemon does not",
            ) from None
        # no cause: its text may quote an answer, and that a token
        raise _translate(request, way, token_path) from None
    if not isinstance(credentials.token, str) or not isinstance(credentials.expiry, datetime):
        raise ExchangeError("the exchange returned no access token that expires", entries.UNKNOWN_REMEDY)
    return AccessToken(value=credentials.token, expires_at=credentials.expiry.replace(tzinfo=UTC))


def _translate(request: _RequestAdapter, way: Impersonation, token_path: Path) -> RefresherError:
    facts = {**way.facts, "file": str(token_path)}
    call = Call(
        asked=f"the exchange at {facts.get('resource')}",
        url=request.last_url,
        error=ExchangeError,
        sent_at=request.last_sent_at,
        explain=lambda status, text: entries.find_exchange_remedy(way.subject_token_type, status, text, **facts),
    )
    if request.last_url.endswith(":generateAccessToken"):
        asked, explain = f"impersonating {way.service_account} as {way.principal}", explain_refusal
        call = replace(call, asked=asked, error=ImpersonationError, explain=partial(explain, way, FEDERATED_ROLE))
    if request.last_answer is not None and request.last_answer.status in call.accepted:
        return call.reject("has no access token that expires")
    silence = request.last_failure
    if silence is None:
        return call.fail(request.last_answer)
    return call.fail(request.last_answer, str(silence), silence.remedy, silence.entry)
