"""What a target's files are worth now, and whether a new token is worth publishing over them.

Pure functions of what was read and of time. The daemon, `once`, `status`, `wait` and the readiness page all judge
through `judge`, so they cannot disagree. No signature is verified here (`refresher.tokens` says why).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from refresher import adc, policy
from refresher.errors import PublishError, TokenRejectedError
from refresher.policy import State
from refresher.publishing import descriptions
from refresher.publishing.contents import request_of, token_of
from refresher.publishing.directory import is_in_place
from refresher.tokens import UnreadableTokenError

if TYPE_CHECKING:
    from datetime import datetime

    from refresher.engine.target import MintedArtifact, Target
    from refresher.publishing.contents import Artifact, Contents
    from refresher.publishing.descriptions import Description
    from refresher.tokens import SubjectToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the token file of a target is worth.

    Attributes:
        state: The verdict.
        token: The token, where the file holds one whose life can be told.
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


def judge(target: Target, contents: Contents, now: datetime) -> Judgement:
    """Judge the token file of a target as it was read."""
    try:
        token = token_of(contents)
    except UnreadableTokenError as error:
        return Judgement(state=State.UNREADABLE, reason=str(error))
    if token is None:
        return Judgement(state=State.ABSENT)
    mismatches = target.expected.mismatches(token)
    if request_of(contents) != target.token_request:
        mismatches = (*mismatches, "it was supplied for something else than what is configured now")
    if mismatches:
        return Judgement(state=State.FOREIGN, token=token, reason="; ".join(mismatches))
    return Judgement(state=policy.state_of(target.name, token.issued_at, token.expires_at, now), token=token)


def judge_artifact(
    target: Target, artifact: MintedArtifact, file: Artifact, described: Description | None, now: datetime
) -> State:
    """Judge a further artifact: its file by what `artifacts.json` says of it, in the words that tokens are judged by.

    Without a description that fits the file it is foreign, as it is when something else was asked for.
    """
    if file.problem is not None:
        return State.UNREADABLE
    if file.content is None:
        return State.ABSENT
    if described is None or described.sha256 != descriptions.digest(file.content):
        return State.FOREIGN
    if described.request != artifact.fingerprint(target):
        return State.FOREIGN
    return policy.state_of(f"{target.name}/{artifact.name}", described.issued_at, described.expires_at, now)


def is_of_another_identity(target: Target, contents: Contents, judgement: Judgement) -> bool:
    """Tell whether the directory was last used for somebody else.

    Its ADC document tells, its token's subject, and what a token was supplied for where no subject is configured; that
    is described before there is a token, and until everything else was taken away. What cannot be read tells nothing,
    and might be anybody's: the files' owner can keep us from reading them (a lease, fcntl(2)), or spoil both.
    """
    if any(artifact.problem is not None for artifact in (contents.token, contents.credentials, contents.descriptions)):
        return True
    if judgement.token is not None and target.expected.is_of_another_subject(judgement.token):
        return True
    request = request_of(contents)
    if request != target.token_request and (request is not None or judgement.token is not None):
        return True
    principal = adc.principal_of(contents.credentials.content)
    if principal is None:
        return contents.credentials.content is not None and judgement.token is None
    return principal != adc.principal_of(target.credentials)


def serves(target: Target, now: datetime, *, exactly: bool) -> bool:
    """Tell whether a target's directory holds what was published for its identity, fresh or not.

    Args:
        target: Which one.
        now: The wall clock's time.
        exactly: Whether its document, owner and mode are to be as configured too.
    """
    try:
        contents = target.directory.read()
    except PublishError:
        return False
    if contents.credentials.content is None or (exactly and not is_as_configured(target, contents)):
        return False
    return not is_of_another_identity(target, contents, judge(target, contents, now))


def is_as_configured(target: Target, contents: Contents) -> bool:
    """Tell whether the ADC document in a directory is the target's, with its owner and mode."""
    return is_in_place(contents.credentials, target.credentials, target.directory.ownership)


def is_worth_publishing(target: Target, token: SubjectToken, present: Judgement, now: datetime, *, force: bool) -> bool:
    """Check a supplied token before it is published; False if it is the one in the file, still good enough.

    Args:
        target: For which it was supplied.
        token: What the supplier gave.
        present: What the file holds.
        now: The wall clock's time.
        force: Whether an equally long-lived token is to replace the present one.

    Raises:
        TokenRejectedError: It is not what is configured, or would not serve a reader better.
    """
    _require_publishable(target, token, now)
    if present.token is None or not _is_comparable(present, now):
        return True
    if token.expires_at < present.token.expires_at:
        raise _rejected(target, "it ends before the present one does", "let the supplier hand out newer tokens")
    return token.expires_at > present.token.expires_at or (force and token.value != present.token.value)


def _require_publishable(target: Target, token: SubjectToken, now: datetime) -> None:
    """Check a supplied token by itself, whatever is in the file."""
    if mismatches := target.expected.mismatches(token):
        raise _rejected(target, "; ".join(mismatches), "make the supplier's issuer, subject and audience agree")
    if policy.is_from_the_future(token.issued_at, now):
        raise _rejected(target, f"iat is ahead, {token.issued_at:%FT%TZ}", "set this machine's clock (NTP)")
    if now >= policy.overdue_at(token.issued_at, token.expires_at):
        raise _rejected(
            target,
            f"it ends at {token.expires_at:%FT%TZ}, within the minimum validity",
            "renew it earlier at its source",
        )


def _is_comparable(present: Judgement, now: datetime) -> bool:
    """Tell whether the present token would serve anybody: ours, not over, not from the future."""
    return (
        present.is_ours
        and present.token is not None
        and present.state is not State.EXPIRED
        and not policy.is_from_the_future(present.token.issued_at, now)
    )


def _rejected(target: Target, reason: str, remedy: str) -> TokenRejectedError:
    return TokenRejectedError(f"target {target.name}: the supplied token is not published: {reason}", remedy)
