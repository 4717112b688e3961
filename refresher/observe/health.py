"""What the files are worth now: one verdict per target, read from the files that the containers read.

`status`, `wait` and readiness report only what is decided here. It changes nothing and keeps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refresher import policy
from refresher.engine.assessment import Assessment, assess_minted, assess_static, assess_token
from refresher.errors import PublishError
from refresher.policy import State
from refresher.publishing.artifacts import DESCRIPTIONS, TOKEN, get_row
from refresher.publishing.contents import parse_descriptions
from refresher.publishing.directory import is_in_place
from refresher.publishing.record import NewerRecordError
from refresher.text import escape

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from refresher.engine.plan import Target
    from refresher.publishing.contents import PublishedFile
    from refresher.tokens import SubjectToken

_LONGEST_CLAIM = 1024
_REMEDIES = {
    State.ABSENT: "start the daemon, or run `refresher once`",
    State.UNREADABLE: "run this as root; if it stays, see the daemon's log",
    State.FOREIGN: "see the daemon's log for why it is not replaced; without a daemon, run `refresher once`",
    State.OVERDUE: "see the daemon's log for why it is not renewed",
    State.EXPIRED: "see the daemon's log for why it is not renewed",
}
_NOT_CHECKED = "ownership not checked: this user may not read the target record"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactHealth:
    """The verdict on one optional artifact.

    Attributes:
        name: Of its file.
        state: What it is worth.
        expires_at: When it ends, UTC; None if that is unknown, or it has no end.
        runway: How long it still serves; None if it has no end.
    """

    name: str
    state: State
    expires_at: datetime | None = None
    runway: timedelta | None = None

    def is_ready(self, minimum_validity: timedelta | None = None) -> bool:
        """Return whether a client is served now, with more life left than its minimum validity or the one asked for."""
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
        artifacts: What optional artifacts are worth.
        path: Of the token file.
        runway: How long what is in the file still serves; zero if it does not.
        problem: What is wrong; None if nothing is.
        remedy: What to do about it.
        note: What could not be checked; None if everything was.
    """

    name: str
    state: State
    token: SubjectToken | None
    artifacts: tuple[ArtifactHealth, ...]
    path: str
    runway: timedelta
    problem: str | None
    remedy: str | None
    note: str | None = None

    def is_ready(self, minimum_validity: timedelta | None = None, artifacts: Collection[str] = ()) -> bool:
        """Return whether a client is served now, with more life left than its minimum validity or the one asked for.

        Args:
            minimum_validity: The life asked for; None for that of each token.
            artifacts: Optional artifacts that must serve too.
        """
        if self.problem is not None or self.token is None:
            return False
        asked = [artifact for artifact in self.artifacts if artifact.name in artifacts]
        if not all(artifact.is_ready(minimum_validity) for artifact in asked):
            return False
        needed = policy.minimum_validity(self.token.lifetime) if minimum_validity is None else minimum_validity
        return self.runway > needed


def examine(target: Target, now: datetime) -> TargetHealth:
    """Read a target's files and return the verdict.

    Whose the directory is, the target record says. A user who may not read it judges the files alone.
    """
    note = None
    try:
        contents = target.directory.read((*target.static, TOKEN, DESCRIPTIONS, *(each.name for each in target.minted)))
        assessment = assess_token(target, contents, now)
        if target.directory.may_read_record():
            assessment = _judge_ownership(target, assessment)
        else:
            note = _NOT_CHECKED
    except PublishError as error:
        return _build_verdict(target, Assessment(state=State.UNREADABLE), now, (), (error.problem, error.remedy), None)
    artifacts = tuple(_examine_artifacts(target, contents, now))
    complaint = _find_complaint(target, contents, assessment, now)
    return _build_verdict(target, assessment, now, artifacts, complaint, note)


def _judge_ownership(target: Target, assessment: Assessment) -> Assessment:
    """Return the assessment, foreign if the target record says that the directory is another's."""
    try:
        record = target.directory.read_record()
    except NewerRecordError as error:
        return Assessment(state=State.FOREIGN, token=assessment.token, reason=error.problem)
    if record == target.record or assessment.state is State.ABSENT:
        return assessment
    reason = "its directory has no target record"
    if record is not None:
        reason = f"its directory is of identity {record.identity}"
    return Assessment(state=State.FOREIGN, token=assessment.token, reason=reason)


def as_document(health: TargetHealth, now: datetime) -> dict[str, Any]:
    """Return the entry of `status --json` for one target."""
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
        "note": health.note,
    }


def _claim(value: str | None) -> str | None:
    """Return a claim, which the files' owner may have made up, as text that every reader of JSON takes."""
    return None if value is None else escape(value, longest=_LONGEST_CLAIM)


def as_report(
    verdicts: Mapping[str, TargetHealth], now: datetime, *, is_empty_fine: bool, problems: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the whole document of `status --json`.

    Args:
        verdicts: By target name.
        now: When they were made.
        is_empty_fine: Whether a node without targets counts as ready (it watches a directory of drop-ins).
        problems: Of drop-ins that cannot be used: a target is missing, so the node is not ready.
    """
    ready = all(health.is_ready() for health in verdicts.values()) if verdicts else is_empty_fine
    return {
        "ready": ready and not problems,
        "problems": list(problems),
        "targets": [as_document(health, now) for health in verdicts.values()],
    }


def _examine_artifacts(
    target: Target, contents: Mapping[str, PublishedFile], now: datetime
) -> Iterator[ArtifactHealth]:
    described = parse_descriptions(contents[DESCRIPTIONS].content)
    for artifact in target.minted:
        description = described.get(artifact.name)
        state = assess_minted(target, artifact, contents[artifact.name], description, now)
        if description is None or state in (State.ABSENT, State.UNREADABLE, State.FOREIGN):
            yield ArtifactHealth(name=artifact.name, state=state)
        else:
            end = description.expires_at
            yield ArtifactHealth(name=artifact.name, state=state, expires_at=end, runway=end - now)
    for name in target.static:
        if get_row(name).is_optional:
            yield ArtifactHealth(name=name, state=assess_static(target, name, contents[name]))


def _build_verdict(
    target: Target,
    assessment: Assessment,
    now: datetime,
    artifacts: tuple[ArtifactHealth, ...],
    complaint: tuple[str, str] | None,
    note: str | None,
) -> TargetHealth:
    token = assessment.token
    serves = token is not None and assessment.is_ours and not policy.is_from_the_future(token.issued_at, now)
    zero = now - now
    return TargetHealth(
        name=target.name,
        state=assessment.state,
        token=token,
        artifacts=artifacts,
        path=str(target.directory.path / TOKEN),
        runway=max(token.expires_at - now, zero) if token is not None and serves else zero,
        problem=complaint[0] if complaint else None,
        remedy=complaint[1] if complaint else None,
        note=note,
    )


def _find_complaint(
    target: Target, contents: Mapping[str, PublishedFile], assessment: Assessment, now: datetime
) -> tuple[str, str] | None:
    token = assessment.token
    if assessment.state in _REMEDIES:
        reason = f": {assessment.reason}" if assessment.reason else ""
        return (f"the token of target {target.name} is {assessment.state}{reason}", _REMEDIES[assessment.state])
    if token is not None and policy.is_from_the_future(token.issued_at, now):
        return (f"the token of target {target.name} was issued in the future", "set this machine's clock (NTP)")
    wanted = {name: content for name, content in target.static.items() if not get_row(name).is_optional}
    for name, content in {TOKEN: contents[TOKEN].content or b"", **wanted}.items():
        if not is_in_place(contents[name], content, target.directory.ownership):
            return (
                f"{target.directory.path / name} is not as configured",
                "see the daemon's log for why it is not repaired; without a daemon, run `refresher once`",
            )
    return None
