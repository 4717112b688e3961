"""How one job ended: the same record for a target's token and for each of its optional artifacts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Self

from refresher.errors import RefresherError
from refresher.publishing.open_directory import DirectoryState
from refresher.tokens import SubjectToken


class Result(StrEnum):
    """How a job ended.

    `WAITING` means that there is no subject token yet to mint the artifact with.
    """

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    WAITING = "waiting"
    FAILED = "failed"


class Life(NamedTuple):
    """What may be shown of what a file holds; no secret.

    Attributes:
        issued_at: UTC.
        expires_at: UTC.
        issuer: Claim `iss` of a subject token that is a JWT.
        subject: Claim `sub` of such a token.
        fingerprint: Eight hex digits that distinguish subject tokens.
    """

    issued_at: datetime
    expires_at: datetime
    issuer: str | None = None
    subject: str | None = None
    fingerprint: str | None = None

    @classmethod
    def from_token(cls, token: SubjectToken) -> Self:
        """Return what may be shown of a subject token."""
        claims = token.unverified_claims
        issuer, subject = (None, None) if claims is None else (claims.issuer, claims.subject)
        return cls(token.issued_at, token.expires_at, issuer, subject, token.fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one job did.

    Attributes:
        result: How it ended.
        life: The life of what the file holds now, if it is ours.
        repaired: Artifacts put right that had drifted.
        error: Why it failed.
        duration: In seconds.
        state: The directory's state afterwards; None if it could not be opened, or was not looked at.
        is_recreated: Whether the directory was replaced, so that containers that hold it see an empty one.
    """

    result: Result
    life: Life | None = None
    repaired: tuple[str, ...] = ()
    error: RefresherError | None = None
    duration: float = 0.0
    state: DirectoryState | None = None
    is_recreated: bool = False


def describe_bug(subject: str, bug: BaseException) -> RefresherError:
    """Return the failure that a programming mistake becomes: where it happened, without its text, which may be secret.

    Args:
        subject: What was worked on, the beginning of the sentence.
        bug: The exception.
    """
    traceback = bug.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    place = "an unknown place"
    if traceback is not None:
        place = f"{traceback.tb_frame.f_code.co_qualname}:{traceback.tb_lineno}"
    return RefresherError(
        f"{subject}: unexpected {type(bug).__name__} at {place}", "report this as a bug of the refresher"
    )
