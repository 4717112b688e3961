"""The worker's own Google credentials, from which Google-signed tokens are had: one per supplier, for all targets.

google-auth would copy a source credential for each impersonated one and refresh every copy. Here one is refreshed,
by one caller for all, when less than five minutes are left; while that fails, what is held serves as long as it is
worth a call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from refresher.errors import SupplyError
from refresher.google.answers import is_passing
from refresher.google.credentials_files import FAILURES, load
from refresher.google.metadata_server import MetadataServer
from refresher.google.request_adapter import RequestAdapter
from refresher.joining import Joined

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from refresher.google.credentials_files import Loaded
    from refresher.google.transport import Transport

LEAST_LIFE = timedelta(minutes=5)
_WORTH_A_CALL = timedelta(seconds=30)
_LONGEST_WAIT = timedelta(minutes=1)
"""Whoever waits for another's fetch came before it; a clock that went back by less harms no token of an hour."""


class SourceCredential(Protocol):
    """Gives access tokens of the worker's own account; safe to use from several threads."""

    def access_token(self, now: datetime) -> tuple[str, datetime]:
        """Give an access token and when it ends, UTC.

        Raises:
            SupplyError: There is none to be had.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    value: str = field(repr=False)
    expires_at: datetime
    fetched_at: datetime

    def has_left(self, life: timedelta, now: datetime) -> bool:
        # fetched in the future: the clock went back, and how long it lives is not known any more
        return self.expires_at - now >= life and self.fetched_at - now <= _LONGEST_WAIT


class _Shared:
    """One access token for all callers; of those who come together, one fetches and the others take what came of it."""

    def __init__(self, fetch: Callable[[datetime], tuple[str, datetime]]) -> None:
        self._fetch = fetch
        self._joined: Joined[_Held] = Joined()

    def get(self, now: datetime) -> tuple[str, datetime]:
        held = self._joined.get(
            serves=lambda held: held.has_left(LEAST_LIFE, now), fetch=lambda held: self._next(held, now)
        )
        return held.value, held.expires_at

    def _next(self, held: _Held | None, now: datetime) -> _Held:
        try:
            value, expires_at = self._fetch(now)
        except SupplyError as error:
            if not error.retryable or held is None or not held.has_left(_WORTH_A_CALL, now):
                raise
            return held
        return _Held(value=value, expires_at=expires_at, fetched_at=now)


class MetadataCredential:
    """The account of the machine, by its metadata server."""

    def __init__(self, *, transport: Transport, origin: str) -> None:
        self._shared = _Shared(MetadataServer(transport=transport, origin=origin).access_token)

    def access_token(self, now: datetime) -> tuple[str, datetime]:
        """Give the machine's access token and when it ends, UTC.

        Raises:
            SupplyError: There is none to be had.
        """
        return self._shared.get(now)


class FileCredential:
    """Whatever google-auth loads from a credentials file: a user, a service account, a federated identity.

    The file is read when a token is first wanted, and again after a failure: somebody may have mended it.
    """

    def __init__(self, *, path: Path, transport: Transport) -> None:
        self._path = path
        self._transport = transport
        self._loaded: Loaded | None = None
        self._shared = _Shared(self._fetch)

    def access_token(self, now: datetime) -> tuple[str, datetime]:
        """Give an access token of the credentials and when it ends, UTC.

        Raises:
            SupplyError: The file cannot be used, Google refused, or did not answer.
        """
        return self._shared.get(now)

    def _fetch(self, _now: datetime) -> tuple[str, datetime]:
        loaded, self._loaded = self._loaded or load(self._path), None
        request = RequestAdapter(self._transport)
        try:
            token, expiry = loaded.refresh(request)
        except FAILURES as error:
            # no cause: its text may quote the answer to a token call
            raise self._refused(request, type(error).__name__) from None
        if not isinstance(token, str) or not token or not isinstance(expiry, datetime):
            raise SupplyError(
                f"the credentials in {self._path} give no access token that ends", "use another kind of credentials"
            )
        self._loaded = loaded
        return token, expiry.replace(tzinfo=UTC)  # google-auth means UTC and does not say so

    def _refused(self, request: RequestAdapter, kind: str) -> SupplyError:
        answer = request.last_answer
        if answer is None:
            passes = bool(request.last_url)
            said = request.last_failure or f"nobody was asked ({kind})"
        else:
            passes = is_passing(answer.status)
            said = f"HTTP {answer.status} ({kind})"
        return SupplyError(
            f"the credentials in {self._path} cannot be refreshed: {said}",
            "check that file, that its account is enabled, and that this machine reaches Google",
            retryable=passes,
        )
