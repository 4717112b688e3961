"""The worker's own Google credentials: of the machine, by its metadata server, or of a file, by google-auth.

google-auth would copy a source credential for each impersonated one and refresh every copy. Here one is refreshed,
by one caller for all, when less than five minutes are left; while that fails, the held token serves as long as it is
worth a call. google-auth's own loader exchanges a federated identity at once, to learn a project that nothing needs,
and starts a thread for it; so credentials of a file are built here by their kind, without a call.
"""

import json
import os
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Self

import google.auth
from google.auth.credentials import Credentials

from refresher.errors import SupplyError
from refresher.files import UnsuitableFileError, read_regular
from refresher.google.call import Transport, is_retryable
from refresher.google.google_auth import FAILURES, SCOPES, RequestAdapter
from refresher.google.metadata_server import MetadataServer
from refresher.shared_fetch import SharedFetch
from refresher.tokens import AccessToken

LEAST_LIFE = timedelta(minutes=5)
_WORTH_A_CALL = timedelta(seconds=30)
_LONGEST_WAIT = timedelta(minutes=1)
"""A caller that waits for another's fetch came before it; a clock that went back by less harms no token of an hour."""

_LARGEST = 1024 * 1024
"""Bytes of a document, and of a file that one names as its source."""
_REMEDY = "use a credentials file that google-auth can load, such as gcloud writes"
_AWS = "urn:ietf:params:aws:token-type:aws4_request"


class SourceCredential(Protocol):
    """Returns access tokens of the worker's own account; safe to use from several threads."""

    def access_token(self, now: datetime) -> AccessToken:
        """Return an access token; a `SupplyError` is raised where none is available."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetched:
    token: AccessToken
    fetched_at: datetime

    def has_left(self, life: timedelta, now: datetime) -> bool:
        # fetched in the future: the clock went back, and how long it lives is not known any more
        return self.token.expires_at - now >= life and self.fetched_at - now <= _LONGEST_WAIT


class SharedCredential:
    """One access token for all callers; of callers that come together one fetches, and the others take the result."""

    def __init__(self, fetch: Callable[[datetime], AccessToken]) -> None:
        self._fetch = fetch
        self._shared: SharedFetch[_Fetched] = SharedFetch()

    def access_token(self, now: datetime) -> AccessToken:
        """Return an access token, as a `SourceCredential` does."""
        held = self._shared.get(
            serves=lambda held: held.has_left(LEAST_LIFE, now), fetch=lambda held: self._next(held, now)
        )
        return held.token

    def _next(self, held: _Fetched | None, now: datetime) -> _Fetched:
        try:
            return _Fetched(token=self._fetch(now), fetched_at=now)
        except SupplyError as error:
            if not error.retryable or held is None or not held.has_left(_WORTH_A_CALL, now):
                raise
            return held


def open_credentials(path: Path | None, transport: Transport, *, metadata: str) -> SharedCredential:
    """Return the worker's own credentials; nothing is read or called before the first token is needed.

    Args:
        path: A file that google-auth can load: of a user, a service account, a federated identity; None for the
            metadata server. It is read when a token is first needed, and again after a failure.
        transport: Makes the calls.
        metadata: Origin of the metadata server.
    """
    if path is None:
        return SharedCredential(MetadataServer(transport=transport, origin=metadata).access_token)
    kept: list[CredentialsFile] = []  # what was loaded last, as long as it works

    def fetch(_now: datetime) -> AccessToken:
        file = kept.pop() if kept else CredentialsFile.load(path)
        token = file.fetch_access_token(transport)
        kept.append(file)
        return token

    return SharedCredential(fetch)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsFile:
    """Credentials of a file, and the files that google-auth reads at each refresh (it would wait for a FIFO)."""

    path: Path
    credentials: Credentials
    source_files: tuple[Path, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load credentials of any kind, with the scope cloud-platform.

        Raises:
            SupplyError: The file is absent, unreadable or not of a kind that google-auth knows.
        """
        try:
            document = json.loads(read_regular(path, most=_LARGEST)[0])
            files = _list_source_files(document.get("credential_source"))
            return cls(path=path, credentials=_create(document), source_files=files)
        except UnsuitableFileError as error:
            raise SupplyError(f"the credentials file {path} cannot be used: it is {error}", _REMEDY) from error
        except OSError as error:
            problem = f"the credentials file {path} cannot be read: {error.strerror}"
            raise SupplyError(problem, "make it readable for the daemon's user") from error
        except FAILURES as error:
            # no cause: its text may quote the document, which holds a key
            raise SupplyError(f"the credentials file {path} cannot be used ({type(error).__name__})", _REMEDY) from None

    def fetch_access_token(self, transport: Transport) -> AccessToken:
        """Fetch an access token by google-auth.

        Raises:
            SupplyError: A file or program that the credentials are obtained from can't be used, or Google refused or
                did not answer.
        """
        for file in self.source_files:
            self._check(file)
        request = RequestAdapter(transport)
        try:
            self.credentials.refresh(request)  # type: ignore[no-untyped-call]  # google-auth types it half
            token, expiry = self.credentials.token, self.credentials.expiry
        except subprocess.TimeoutExpired as error:
            # no cause: it holds what the program printed
            raise SupplyError(
                f"the program of the credentials in {self.path} did not end within {error.timeout:g} s",
                "run it by hand as the daemon's user; timeout_millis in that file sets a longer limit",
                retryable=True,
            ) from None
        except FAILURES as error:
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
            reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else f"it is {error}"
            raise SupplyError(
                f"the source file {file} of the credentials in {self.path} cannot be used: {reason}",
                "start the program that renews it, and make the file readable for the daemon's user",
                retryable=True,
            ) from None

    def _translate(self, request: RequestAdapter, kind: str) -> SupplyError:
        if request.last_answer is None:
            retryable, reason = bool(request.last_url), request.last_failure or f"no request was sent ({kind})"
        else:
            status = request.last_answer.status
            retryable, reason = is_retryable(status), f"HTTP {status} ({kind})"
        return SupplyError(
            f"the credentials in {self.path} cannot be refreshed: {reason}",
            "check that file, that its account is enabled, and that this machine reaches Google",
            retryable=retryable,
        )


def _create(document: dict[str, Any]) -> Credentials:
    credentials: Credentials
    if document["type"] == "external_account":
        is_aws = document.get("subject_token_type") == _AWS
        name = "aws" if is_aws else "pluggable" if "executable" in document["credential_source"] else "identity_pool"
        # imported when needed: each imports much
        credentials = import_module(f"google.auth.{name}").Credentials.from_info(document, scopes=SCOPES)
        return credentials
    with warnings.catch_warnings():
        # google-auth warns of documents from strangers; this one is the operator's own, named in a trusted file
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="refresher|google")
        credentials, _ = google.auth.load_credentials_from_dict(document, scopes=list(SCOPES))  # type: ignore[no-untyped-call]  # google-auth types it half
        return credentials


def _list_source_files(source: object) -> tuple[Path, ...]:
    if not isinstance(source, dict):
        return ()
    program = source.get("executable")
    named = (source.get("file"), program.get("output_file") if isinstance(program, dict) else None)
    return tuple(Path(file) for file in named if isinstance(file, str))
