"""The worker's own Google credentials: of the machine, by its metadata server, or of a file, by google-auth.

google-auth would copy a source credential for each impersonated one and refresh every copy. Here one is refreshed,
by one caller for all, when less than five minutes are left; while that fails, the held token serves as long as it is
worth a call. The metadata server (https://docs.cloud.google.com/compute/docs/metadata/overview) is asked directly:
google-auth reads its address from the environment at import, tries five times for a quarter of a minute, and asks for
more than is needed; and a daemon that asks nothing else never loads google-auth.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from refresher.errors import SupplyError
from refresher.files import UnsuitableFileError, read_regular
from refresher.google.call import Call, Response, Transport
from refresher.shared_fetch import SharedFetch
from refresher.tokens import AccessToken

LEAST_LIFE = timedelta(minutes=5)
_WORTH_A_CALL = timedelta(seconds=30)
_LONGEST_WAIT = timedelta(minutes=1)
"""A caller that waits for another's fetch came before it; a clock that went back by less harms no token of an hour."""
_EMAIL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}@[A-Za-z0-9.-]{1,253}")
_LARGEST = 1024 * 1024
"""Bytes of a credentials file."""
_ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"
_ELSEWHERE = (
    "run on Google Cloud; or choose another supplier, or a credentials file (credentials: of the identity); "
    "google.endpoints.metadata sets another server"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataServer:
    """Asks the metadata server at an origin (scheme, host and port); safe to use from several threads.

    Each method raises a `SupplyError` where no token is available.
    """

    transport: Transport
    origin: str

    def identity_token(self, audience: str) -> str:
        """Return an ID token of the machine's account for an audience, a JWT."""
        call = self._prepare("an ID token", f"/identity?audience={quote(audience, safe='')}&format=full")
        return self._fetch(call).body.decode("utf-8", "replace").strip()

    def access_token(self, now: datetime) -> AccessToken:
        """Return the machine's access token; the server returns the same one for most of its life."""
        call = self._prepare("an access token", "/token")
        return call.read_access_token(call.parse(self._fetch(call)), now)

    def fetch_email(self) -> str:
        """Return the e-mail of the machine's account."""
        answer = self._fetch(self._prepare("the e-mail", "/email")).body.decode("utf-8", "replace").strip()
        if _EMAIL.fullmatch(answer) is None:
            raise SupplyError(f"{self.origin} answers with something else than an e-mail", _ELSEWHERE)
        return answer

    def _prepare(self, what: str, path: str) -> Call:
        return Call(
            asked=f"{what} of the metadata server at {self.origin}",
            method="GET",
            url=f"{self.origin}{_ACCOUNT}{path}",
            headers={"Metadata-Flavor": "Google"},
            service="other",
            explain=_explain,
            reach=_ELSEWHERE,
            verify="check that this address really is a metadata server (google.endpoints.metadata)",
        )

    def _fetch(self, call: Call) -> Response:
        response = call.fetch(self.transport)
        if response.headers.get("metadata-flavor") != "Google":
            raise SupplyError(f"{self.origin} is not a metadata server", _ELSEWHERE)
        return response


def fetch_member(credentials: Path | None, transport: Transport, *, metadata: str) -> str | None:
    """Return the member of a binding that the worker's own credentials are, for remedies; None if that is unknown.

    A file names its account, or the one that it impersonates; the file of a user names no account.
    """
    if credentials is None:
        try:
            return f"serviceAccount:{MetadataServer(transport=transport, origin=metadata).fetch_email()}"
        except SupplyError:
            return None
    try:
        document = json.loads(read_regular(credentials, most=_LARGEST)[0])
        url = str(document.get("service_account_impersonation_url") or "")
        account = str(document.get("client_email") or url.rpartition("/")[2].partition(":")[0])
    except (OSError, UnsuitableFileError, ValueError, AttributeError, RecursionError):
        return None
    return f"serviceAccount:{account}" if _EMAIL.fullmatch(account) else None


def _explain(status: int, _text: str) -> str:
    if status == 404:  # noqa: PLR2004 - not found
        return "attach a service account to this machine; on Kubernetes, check the account in the pod's annotation"
    return "check that this address really is a metadata server, and that this process may reach it"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetched:
    token: AccessToken
    fetched_at: datetime

    def has_left(self, life: timedelta, now: datetime) -> bool:
        # fetched in the future: the clock went back, and how long it lives is not known any more
        return self.token.expires_at - now >= life and self.fetched_at - now <= _LONGEST_WAIT


class SourceCredential:
    """One access token of the worker's own account for all callers, of whom one fetches; thread-safe."""

    def __init__(self, fetch: Callable[[datetime], AccessToken]) -> None:
        self._fetch = fetch
        self._shared: SharedFetch[_Fetched] = SharedFetch()

    def access_token(self, now: datetime) -> AccessToken:
        """Return an access token; a `SupplyError` is raised where none is available."""
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


def open_credentials(path: Path | None, transport: Transport, *, metadata: str) -> SourceCredential:
    """Return the worker's own credentials; nothing is read or called before the first token is needed.

    A path names a file that google-auth can load, of a user, a service account or a federated identity; it is read
    again after a failure. Without a path they are the metadata server's, whose origin is `metadata`.
    """
    if path is None:
        return SourceCredential(MetadataServer(transport=transport, origin=metadata).access_token)
    from refresher.google.google_auth import CredentialsFile  # noqa: PLC0415 - only a file needs google-auth

    kept: list[CredentialsFile] = []  # what was loaded last, as long as it works

    def fetch(_now: datetime) -> AccessToken:
        file = kept.pop() if kept else CredentialsFile.load(path)
        token = file.fetch_access_token(transport)
        kept.append(file)
        return token

    return SourceCredential(fetch)
