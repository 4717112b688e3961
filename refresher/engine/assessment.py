"""What a target's files are worth now, and whether a new token is worth publishing over them.

Pure functions of what was read and of time. The daemon, `once`, `status`, `wait` and readiness all assess files through
here, so they can't disagree. No signature is verified here (see `refresher.tokens`). Whose the directory is, only the
target record decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from refresher import policy
from refresher.engine.artifacts import LEADING_ACCESS_TOKEN, compute_request
from refresher.engine.plan import MintedArtifact, Target
from refresher.errors import SupplyError, TokenRejectedError
from refresher.policy import State
from refresher.publishing.artifacts import DESCRIPTIONS
from refresher.publishing.contents import (
    Description,
    PublishedFile,
    compute_digest,
    extract_token,
    parse_descriptions,
)
from refresher.publishing.directory import is_in_place
from refresher.tokens import MAXIMUM_SIZE, SubjectToken, UnreadableTokenError


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What the leading file of a target is worth: its token, or without a pool its access token.

    Attributes:
        state: The verdict.
        token: The token, where the file holds one whose life is known.
        reason: Why it is unreadable or foreign; None otherwise.
    """

    state: State
    token: SubjectToken | None = None
    reason: str | None = None

    @property
    def is_ours(self) -> bool:
        """Whether the file holds a token that the configuration would mint, however old."""
        return self.token is not None and self.state is not State.FOREIGN

    @property
    def is_usable(self) -> bool:
        """Whether a client that reads the file now is served, with more than the minimum validity left."""
        return self.state in (State.FRESH, State.DUE)


def assess_token(target: Target, contents: Mapping[str, PublishedFile], now: datetime) -> Assessment:
    """Assess the leading file of a target as it was read, with `artifacts.json`."""
    try:
        token = extract_token(contents, target.leading)
    except UnreadableTokenError as error:
        return Assessment(state=State.UNREADABLE, reason=str(error))
    if token is None:
        return Assessment(state=State.ABSENT)
    if mismatches := target.expected.mismatches(token):
        return Assessment(state=State.FOREIGN, token=token, reason="; ".join(mismatches))
    if target.impersonation.is_own:
        described = parse_descriptions(contents[DESCRIPTIONS].content)[target.leading]
        if described.request != compute_request(LEADING_ACCESS_TOKEN, target.impersonation):
            return Assessment(state=State.FOREIGN, token=token, reason="it was minted with other settings")
    return Assessment(state=policy.compute_state(target.name, token.issued_at, token.expires_at, now), token=token)


def assess_minted(
    target: Target, artifact: MintedArtifact, file: PublishedFile, described: Description | None, now: datetime
) -> State:
    """Assess a minted artifact by its entry in `artifacts.json`.

    Without a description that fits the file it is foreign, as it is when something else was asked for.
    """
    if file.problem is not None:
        return State.UNREADABLE
    if file.content is None:
        return State.ABSENT
    if described is None or described.sha256 != compute_digest(file.content):
        return State.FOREIGN
    if described.request != compute_request(artifact, target.impersonation):
        return State.FOREIGN
    return policy.compute_state(f"{target.name}/{artifact.name}", described.issued_at, described.expires_at, now)


def assess_static(target: Target, name: str, file: PublishedFile) -> State:
    """Assess a static artifact: fresh if it has the configured content, owner and mode."""
    if file.problem is not None:
        return State.UNREADABLE
    if file.content is None:
        return State.ABSENT
    return State.FRESH if is_in_place(file, target.static[name], target.directory.ownership) else State.FOREIGN


def is_worth_publishing(
    target: Target, token: SubjectToken, present: Assessment, now: datetime, *, force: bool
) -> bool:
    """Check a supplied token before it is published; False if it is the one in the file, still good enough.

    Args:
        target: For which it was supplied.
        token: What the supplier returned.
        present: What the file holds.
        now: The wall clock's time.
        force: Whether another token is to replace the present one before that is due.

    Raises:
        TokenRejectedError: It is not what is configured, or would not serve a reader better.
    """
    is_comparable = (
        present.is_ours
        and present.token is not None
        and present.state is not State.EXPIRED
        and not policy.is_from_the_future(present.token.issued_at, now)
    )
    is_later = present.token is not None and token.issued_at > present.token.issued_at
    wins = is_later and (force or present.state is not State.FRESH)  # the issuer's policy may have changed
    fault: tuple[str, str] | None = None
    if mismatches := target.expected.mismatches(token):
        fault = "; ".join(mismatches), "make the supplier's issuer, subject and audience agree with the token"
    elif len(token.value) > MAXIMUM_SIZE:
        fault = (
            f"it has {len(token.value)} bytes, more than {MAXIMUM_SIZE}",
            "make the supplier hand out a shorter one",
        )
    elif policy.is_from_the_future(token.issued_at, now):
        fault = f"claim iat is in the future, {token.issued_at:%FT%TZ}", "set this machine's clock (NTP)"
    elif now >= token.expires_at or token.expires_at <= token.issued_at:
        fault = f"it expired at {token.expires_at:%FT%TZ}", "renew it earlier at its source"
    elif is_comparable and now >= policy.overdue_at(token.issued_at, token.expires_at):
        reason = f"it expires at {token.expires_at:%FT%TZ}, within the minimum validity"
        fault = reason, "renew it earlier at its source"  # little life left is better than nothing, and no more
    elif is_comparable and not wins and present.token is not None and token.expires_at < present.token.expires_at:
        fault = "it expires before the present one does", "make the supplier hand out newer tokens"
    if fault is not None:
        raise TokenRejectedError(f"target {target.name}: the supplied token is not published: {fault[0]}", fault[1])
    if present.token is None or not is_comparable or wins:
        return True
    return token.expires_at > present.token.expires_at or (force and token.value != present.token.value)


def check_unchanged(target: Target, present: Assessment) -> None:
    """Raise a `SupplyError` if the token that was supplied again is not good enough any more."""
    if not present.is_usable:
        raise SupplyError(
            f"target {target.name}: the supplier returned the same token again, and it is {present.state}",
            "find out why it is not renewed at its source",
            retryable=True,
        )
