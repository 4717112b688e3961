"""What further artifacts hold: minted through the whole chain, with one exchange for all of an identity.

A federated token serves every artifact of its identity as long as it has some life left; it is kept in memory only and
as long as the plan's suppliers. When to mint is `refresher.engine.artifacts`' business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from refresher.engine.target import AccessTokenRequest
from refresher.errors import ImpersonationError
from refresher.shared_fetch import SharedFetch
from refresher.tokens import UnreadableTokenError, peek

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from refresher.engine.target import MintedArtifact, Target
    from refresher.google.call import AccessToken
    from refresher.resources import Impersonation
    from refresher.tokens import SubjectToken

LEAST_LIFE = timedelta(minutes=1)
"""That a federated token must have left to be used once more; it is over with its subject token at the latest."""


class Chain(Protocol):
    """The calls from a subject token to a service account; safe to use from several threads."""

    def exchange(self, way: Impersonation, subject_token: str, now: datetime) -> AccessToken:
        """Give a federated token, or raise an `ExchangeError`."""
        ...

    def access_token(self, way: Impersonation, federated: AccessToken) -> AccessToken:
        """Give an access token, or raise an `ImpersonationError`."""
        ...

    def id_token(self, way: Impersonation, audience: str, federated: AccessToken, *, include_email: bool) -> str:
        """Give an ID token, or raise an `ImpersonationError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedToken:
    """What an artifact is to hold.

    Attributes:
        content: The file's bytes; a secret, hence in no repr.
        issued_at: UTC.
        expires_at: UTC.
    """

    content: bytes = field(repr=False)
    issued_at: datetime
    expires_at: datetime


class Mint:
    """Mints artifacts of a plan; safe to use from several threads.

    Args:
        chain: Gives what makes the calls; asked when something is minted.
    """

    def __init__(self, chain: Callable[[], Chain]) -> None:
        self._chain = chain
        self._grants: dict[tuple[object, ...], SharedFetch[AccessToken]] = {}
        self._lock = Lock()

    def mint(self, target: Target, artifact: MintedArtifact, subject_token: SubjectToken, now: datetime) -> MintedToken:
        """Mint what one artifact is to hold.

        Raises:
            ExchangeError: STS refused or did not answer.
            ImpersonationError: IAM Credentials refused or did not answer.
        """
        way, request, chain = target.impersonation, artifact.request, self._chain()
        federated = self._federated(target, subject_token, now)
        if isinstance(request, AccessTokenRequest):
            grant = chain.access_token(way, federated)
            return MintedToken(content=grant.value.encode(), issued_at=now, expires_at=grant.expires_at)
        token = chain.id_token(way, request.audience, federated, include_email=request.include_email)
        try:
            read = peek(token)
        except UnreadableTokenError as error:
            raise ImpersonationError(
                f"what was given as an ID token of {way.service_account} is none: {error}",
                "see whether something else answers there",
                retryable=True,
            ) from error
        return MintedToken(content=token.encode(), issued_at=read.issued_at, expires_at=read.expires_at)

    def _federated(self, target: Target, subject_token: SubjectToken, now: datetime) -> AccessToken:
        # a supplier that alone knows the subject may speak for somebody else by now
        claims = subject_token.unverified_claims
        key = (target.supply_key, target.impersonation, None if claims is None else claims.subject)
        with self._lock:
            joined = self._grants.setdefault(key, SharedFetch())
        return joined.get(
            serves=lambda grant: grant.expires_at - now >= LEAST_LIFE,
            fetch=lambda _: self._chain().exchange(target.impersonation, subject_token.value, now),
        )
