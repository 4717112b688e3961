"""Fakes: in-memory implementations of our protocols, moved and scripted by tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from refresher.errors import RefresherError
from refresher.google.call import Response, TransportError
from refresher.google.source_credentials import SourceCredential
from refresher.resources import Endpoints
from refresher.suppliers.interface import Workshop
from refresher.tokens import AccessToken, SubjectToken, peek
from tests.tokens import NOW, make_jwt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from refresher.resources import Impersonation
    from refresher.suppliers.interface import SupplierContext

Failure = TypeVar("Failure", bound=RefresherError)


class FakeClock:
    """A clock that a test moves."""

    def __init__(self, now: datetime = NOW) -> None:
        self.wall = now
        self.seconds = 1000.0

    def now(self) -> datetime:
        """Return the time last set."""
        return self.wall

    def boot(self) -> float:
        """Return the seconds last set."""
        return self.seconds

    def monotonic(self) -> float:
        """Return the seconds last set."""
        return self.seconds

    def pass_(self, duration: timedelta) -> None:
        """Advance all clocks."""
        self.wall += duration
        self.seconds += duration.total_seconds()


@dataclass
class FakeSupplier:
    """Supplies unsigned JWTs, or raises a chosen failure."""

    lifetime: timedelta = timedelta(hours=1)
    failure: Exception | None = None
    fixed: str | None = None
    contexts: list[SupplierContext] = field(default_factory=list)

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Return a token of the requested subject, or fail."""
        self.contexts.append(context)
        if self.failure is not None:
            raise self.failure
        return peek(
            self.fixed
            or make_jwt(
                subject=context.subject or "somebody",
                issued_at=now.astimezone(UTC),
                lifetime=self.lifetime,
                audience=context.audience,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call that a fake transport was asked to make."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)


class FakeTransport:
    """Answers calls from a script; safe to use from several threads.

    Args:
        answer: Returns the answer to a call, or None for a server that cannot be reached.
    """

    def __init__(self, answer: Callable[[Request], Response | None]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self._lock = Lock()

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """Remember the call and answer it."""
        request = Request(method=method, url=url, headers=dict(headers or {}), body=body)
        with self._lock:
            self.requests.append(request)
        response = self.answer(request)
        if response is None:
            raise TransportError("host did not answer: it cannot be reached")
        return response


class FakeSource(SourceCredential):
    """A source credential that has a token of an hour, or raises a chosen failure."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__(self._fetch_fake)
        self.failure = failure

    def _fetch_fake(self, now: datetime) -> AccessToken:
        if self.failure is not None:
            raise self.failure
        return AccessToken(value="ya29.fake-source", expires_at=now + timedelta(hours=1))


class FakeWorkshop(Workshop):
    """A workshop over a fake transport, whose source credentials always have a token."""

    @classmethod
    def over(
        cls,
        transport: FakeTransport,
        environment: Mapping[str, str] | None = None,
        source: FakeSource | None = None,
    ) -> FakeWorkshop:
        """Return the workshop; its random text is always the same."""
        workshop = cls(
            endpoints=Endpoints.of_universe(),
            transport=lambda: transport,
            trust=lambda _file, _key: transport,
            environment=environment or {},
            random=lambda: "unique",
        )
        workshop._opened[None] = source or FakeSource()
        return workshop

    def open_credentials(self, path: Path | None) -> SourceCredential:
        return self._opened[None]


@dataclass
class FakeChain:
    """Exchanges and impersonates without Google, or raises a chosen failure."""

    clock: FakeClock
    lifetime: timedelta = timedelta(hours=1)
    lead: timedelta = timedelta()
    """How far this machine's clock is ahead of Google's."""
    refusal: Exception | None = None
    meanwhile: Callable[[], object] = bool
    exchanged: list[str] = field(default_factory=list)
    ways: list[Impersonation] = field(default_factory=list)
    minted: int = 0
    id_token_answer: str | None = None

    def exchange(self, way: Impersonation, subject_token: str, now: datetime) -> AccessToken:
        """Return a federated token of the fake's lifetime."""
        self.exchanged.append(way.subject or "")
        assert subject_token or way.is_own
        return AccessToken(value=f"ya29.d.{len(self.exchanged)}", expires_at=now + self.lifetime)

    def access_token(self, way: Impersonation, federated: AccessToken) -> AccessToken:
        """Return an access token of an hour, or fail."""
        self.minted += 1
        self.ways.append(way)
        self.meanwhile()
        if self.refusal is not None:
            raise self.refusal
        value = f"ya29.{way.service_account}.{self.minted}.{federated.value}"
        return AccessToken(value=value, expires_at=self.clock.now() - self.lead + timedelta(hours=1))

    def id_token(self, way: Impersonation, audience: str, federated: AccessToken, *, include_email: bool) -> str:
        """Return an unsigned ID token."""
        self.minted += 1
        self.ways.append(way)
        if self.refusal is not None:
            raise self.refusal
        if self.id_token_answer is not None:
            return self.id_token_answer
        return make_jwt(subject=f"{way.service_account}.{include_email}", issued_at=self.clock.now(), audience=audience)


def build_refusal(kind: type[Failure], problem: str, remedy: str, *, status: int = 403) -> Failure:
    """Return the failure that a server's refusal is, which no retry changes."""
    refusal = kind(problem, remedy, retryable=False)
    refusal.http_status = status
    return refusal
