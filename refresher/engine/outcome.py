"""How one job of the agenda ended, and what may be shown of what its file holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Self

from refresher.errors import RefresherError
from refresher.publishing.directory import DirectoryState
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
        owned: Those of them of which the owner or mode alone was another.
        damaged: Why the disk or file server failed to read files, by artifact: no process changed them.
        changed: Names of the keys that got another value, by static artifact: of files that containers may have read.
        error: Why it failed.
        duration: In seconds.
        state: The directory's state afterwards; None if it could not be opened, or was not looked at.
        left: The directory's state after a failure to open it or to write in it; None after any other end.
        is_recreated: Whether the directory was replaced, so that containers that hold it see an empty one.
        lacked_record: Whether our files were there without a target record that could be read.
        found_mode: The directory's mode, if it was not as configured; None if it was, or the directory is new.
        has_exchanged: Whether an artifact was minted with what STS granted just now, and not with an earlier grant.
    """

    result: Result
    life: Life | None = None
    repaired: tuple[str, ...] = ()
    owned: tuple[str, ...] = ()
    damaged: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    error: RefresherError | None = None
    duration: float = 0.0
    state: DirectoryState | None = None
    left: DirectoryState | None = None
    is_recreated: bool = False
    lacked_record: bool = False
    found_mode: int | None = None
    has_exchanged: bool = False
