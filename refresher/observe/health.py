"""What the files are worth now: one verdict per target, read from the files that the containers read.

`status`, `wait` and whatever answers for readiness tell only what stands here. It changes nothing and keeps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refresher import policy
from refresher.engine.judgement import Judgement, judge, judge_artifact
from refresher.errors import PublishError
from refresher.policy import State
from refresher.publishing import descriptions
from refresher.publishing.contents import CREDENTIALS, ENVIRONMENT, TOKEN
from refresher.publishing.directory import is_in_place
from refresher.publishing.further import BOTO
from refresher.text import escape

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from refresher.engine.target import Target
    from refresher.publishing.contents import Contents
    from refresher.tokens import SubjectToken

_LONGEST_CLAIM = 1024
_REMEDIES = {
    State.ABSENT: "start the daemon, or run `refresher once`",
    State.UNREADABLE: "run `refresher once`; if that fails it says why",
    State.FOREIGN: "run `refresher once`, or let the daemon take it over",
    State.OVERDUE: "see the daemon's log for why the supplier fails",
    State.EXPIRED: "see the daemon's log for why the supplier fails",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactHealth:
    """The verdict on one further artifact.

    Attributes:
        name: Of its file.
        state: What it is worth.
        expires_at: When it ends, UTC; None if nobody knows, or it has no end.
        runway: How long it still serves; None if it has no end.
    """

    name: str
    state: State
    expires_at: datetime | None = None
    runway: timedelta | None = None

    def is_ready(self, minimum_validity: timedelta | None = None) -> bool:
        """Tell whether a client is served now, with more life left than its minimum validity or the one asked for."""
        if self.state not in (State.FRESH, State.DUE):
            return False
        return self.runway is None or minimum_validity is None or self.runway > minimum_validity


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetHealth:
    """The verdict on one target.

    Attributes:
        name: The target's.
        state: What its token file is worth.
        token: The token that the file holds, if its life can be told.
        artifacts: What further artifacts are worth.
        path: Of the token file.
        runway: How long what is in the file still serves; zero if it does not.
        problem: What is wrong; None if nothing is.
        remedy: What to do about it.
    """

    name: str
    state: State
    token: SubjectToken | None
    artifacts: tuple[ArtifactHealth, ...]
    path: str
    runway: timedelta
    problem: str | None
    remedy: str | None

    def is_ready(self, minimum_validity: timedelta | None = None, artifacts: Collection[str] = ()) -> bool:
        """Tell whether a client is served now, with more life left than its minimum validity or the one asked for.

        Args:
            minimum_validity: The life asked for; None for that of each token.
            artifacts: Further artifacts that must serve too.
        """
        if self.problem is not None or self.token is None:
            return False
        asked = [artifact for artifact in self.artifacts if artifact.name in artifacts]
        if not all(artifact.is_ready(minimum_validity) for artifact in asked):
            return False
        needed = policy.minimum_validity(self.token.lifetime) if minimum_validity is None else minimum_validity
        return self.runway > needed


def examine(target: Target, now: datetime) -> TargetHealth:
    """Read a target's files and give the verdict."""
    try:
        contents = target.directory.read()
        artifacts = tuple(_examine_artifacts(target, contents, now))
    except PublishError as error:
        return _verdict(target, Judgement(state=State.UNREADABLE), now, (), (error.problem, error.remedy))
    judgement = judge(target, contents, now)
    return _verdict(target, judgement, now, artifacts, _complaint(target, contents, judgement, now))


def as_document(health: TargetHealth, now: datetime) -> dict[str, Any]:
    """Give the entry of `status --json` for one target."""
    token = health.token
    claims = token.unverified_claims if token is not None else None
    return {
        "name": health.name,
        "state": health.state.value,
        "issued_at": None if token is None else f"{token.issued_at:%FT%TZ}",
        "expires_at": None if token is None else f"{token.expires_at:%FT%TZ}",
        "remaining_seconds": None if token is None else int((token.expires_at - now).total_seconds()),
        "runway_seconds": int(health.runway.total_seconds()),
        "issuer": _claim(None if claims is None else claims.issuer),
        "subject": _claim(None if claims is None else claims.subject),
        "audience": _claim(None if claims is None else " ".join(claims.audience)),
        "fingerprint": None if token is None else token.fingerprint,
        "path": health.path,
        "artifacts": [
            {
                "name": artifact.name,
                "state": artifact.state.value,
                "expires_at": None if artifact.expires_at is None else f"{artifact.expires_at:%FT%TZ}",
            }
            for artifact in health.artifacts
        ],
        "problem": health.problem,
        "remedy": health.remedy,
    }


def _claim(value: str | None) -> str | None:
    """Give a claim that the files' owner may have made up as text that every reader of JSON takes."""
    return None if value is None else escape(value, longest=_LONGEST_CLAIM)


def as_report(
    verdicts: Mapping[str, TargetHealth], now: datetime, *, is_empty_fine: bool, problems: Sequence[str] = ()
) -> dict[str, Any]:
    """Give the whole document of `status --json`.

    Args:
        verdicts: By target name.
        now: When they were given.
        is_empty_fine: Whether a node without targets counts as ready (it watches a directory of drop-ins).
        problems: Of drop-ins that cannot be used: a target is missing, so the node is not ready.
    """
    ready = all(health.is_ready() for health in verdicts.values()) if verdicts else is_empty_fine
    return {
        "ready": ready and not problems,
        "problems": list(problems),
        "targets": [as_document(health, now) for health in verdicts.values()],
    }


def _examine_artifacts(target: Target, contents: Contents, now: datetime) -> Iterator[ArtifactHealth]:
    described = descriptions.parse(contents.descriptions.content)
    for artifact in target.minted:
        file, description = target.directory.read_further(artifact.name), described.get(artifact.name)
        state = judge_artifact(target, artifact, file, description, now)
        if description is None or state in (State.ABSENT, State.UNREADABLE, State.FOREIGN):
            yield ArtifactHealth(name=artifact.name, state=state)
        else:
            end = description.expires_at
            yield ArtifactHealth(name=artifact.name, state=state, expires_at=end, runway=end - now)
    if target.boto is not None:
        file = target.directory.read_further(BOTO)
        state = State.FRESH if file.content == target.boto else State.FOREIGN if file.content else State.ABSENT
        yield ArtifactHealth(name=BOTO, state=state)


def _verdict(
    target: Target,
    judgement: Judgement,
    now: datetime,
    artifacts: tuple[ArtifactHealth, ...],
    complaint: tuple[str, str] | None,
) -> TargetHealth:
    token = judgement.token
    serves = token is not None and judgement.is_ours and not policy.is_from_the_future(token.issued_at, now)
    zero = now - now
    return TargetHealth(
        name=target.name,
        state=judgement.state,
        token=token,
        artifacts=artifacts,
        path=str(target.directory.path / TOKEN),
        runway=max(token.expires_at - now, zero) if token is not None and serves else zero,
        problem=complaint[0] if complaint else None,
        remedy=complaint[1] if complaint else None,
    )


def _complaint(target: Target, contents: Contents, judgement: Judgement, now: datetime) -> tuple[str, str] | None:
    token = judgement.token
    if judgement.state in _REMEDIES:
        reason = f": {judgement.reason}" if judgement.reason else ""
        return (f"the token of target {target.name} is {judgement.state}{reason}", _REMEDIES[judgement.state])
    if token is not None and policy.is_from_the_future(token.issued_at, now):
        return (f"the token of target {target.name} was issued in the future", "set this machine's clock (NTP)")
    checks = (
        (TOKEN, contents.token, contents.token.content or b""),
        (CREDENTIALS, contents.credentials, target.credentials),
        (ENVIRONMENT, contents.environment, target.environment),
    )
    for name, artifact, wanted in checks:
        if not is_in_place(artifact, wanted, target.directory.ownership):
            return (
                f"{target.directory.path / name} is not as configured",
                "let the daemon or `refresher once` mend it",
            )
    return None
