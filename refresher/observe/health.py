"""What the files are worth now: one verdict per target, read from the files that the containers read.

`status`, `wait` and readiness report only what is decided here. It changes nothing and keeps nothing.
"""

import errno
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from refresher import policy
from refresher.durations import format_span
from refresher.engine.assessment import Assessment, assess_minted, assess_static, assess_token
from refresher.engine.plan import Target
from refresher.errors import PublishError
from refresher.files import read_state
from refresher.observe.remedies import (
    REMEDIES,
    START,
    THIS_USER,
    TRIES_AGAIN,
    choose_remedy,
    find_lost_lock,
    find_root_fault,
)
from refresher.policy import State
from refresher.publishing.artifacts import DESCRIPTIONS, ENVIRONMENT, TOKEN, get_row
from refresher.publishing.contents import PublishedFile, parse_descriptions
from refresher.publishing.daemon_lock import is_daemon_running
from refresher.publishing.directory import CredentialsDirectory, NewerRecordError, is_in_place
from refresher.publishing.walk import LOCK, InsecureDirectoryError, build_foreign_error
from refresher.tokens import SubjectToken
from refresher.users import DaemonUser, recommend_root

_SERVING = (State.FRESH, State.DUE)
_DENIED = os.strerror(errno.EACCES)
_BLOCKED = "is not a regular file"
_SHORTAGES = {
    State.ABSENT: "is absent",
    State.FOREIGN: "is not what the configuration asks for now",
    State.UNREADABLE: "can't be read",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactHealth:
    """The verdict on one optional artifact; `expires_at` (UTC) and `runway` are None if it never expires.

    `problem` is why it does not serve, with its `remedy`; None if it does.
    """

    name: str
    state: State
    expires_at: datetime | None = None
    runway: timedelta | None = None
    problem: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetHealth:
    """The verdict on one target; `state`, `token` and `path` are those of its leading file.

    Attributes:
        token: None if the file holds none, or none whose life is known.
        runway: How long what is in the file still serves; zero if it does not.
        problem: What is wrong, with its `remedy`; None if nothing is.
        note: What could not be checked; None if everything was.
        written_at: When its token or a minted artifact was last written, UTC; None if nothing was.
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
    written_at: datetime | None = None

    def find_shortage(
        self, minimum_validity: timedelta | None = None, artifacts: Collection[str] | None = None
    ) -> tuple[str, str] | None:
        """Return problem and remedy of what a client lacks now; None if it is served.

        Without a minimum validity each token has its own. Every optional artifact that is configured must serve too, or
        only those that are named.
        """
        if self.problem is not None or self.token is None:
            return self.problem or f"target {self.name} has no token", self.remedy or REMEDIES[None]
        needed = policy.minimum_validity(self.token.lifetime) if minimum_validity is None else minimum_validity
        if self.runway <= needed:
            problem = f"the token of target {self.name} has {format_span(self.runway)} left, not {format_span(needed)}"
            return problem, "wait for its refresh, or ask for less: --min-validity"
        for artifact in self.artifacts:
            if artifacts is not None and artifact.name not in artifacts:
                continue
            if artifact.problem is not None:
                return artifact.problem, artifact.remedy or REMEDIES[None]
            if artifact.runway is not None and minimum_validity is not None and artifact.runway <= minimum_validity:
                left = f"has {format_span(artifact.runway)} left, not {format_span(minimum_validity)}"
                return f"{artifact.name} of target {self.name} {left}", "ask for less: --min-validity"
        return None


def examine(target: Target, now: datetime, daemon: DaemonUser = THIS_USER) -> TargetHealth:
    """Read a target's files and return the verdict, whose remedies run commands as the daemon's user.

    The target record shows whose the directory is. For a user who may not read it, the files alone are judged.
    """
    note = complaint = None
    place, ownership = read_state(target.directory.path), target.directory.ownership
    if place is not None and ownership.uid is None:  # the files are the daemon's, whose user need not be this command's
        target = replace(target, directory=replace(target.directory, ownership=ownership._replace(uid=place.uid)))
    try:
        names = (*target.static, target.leading, DESCRIPTIONS, *(each.name for each in target.minted))
        contents = target.directory.read(names)
        assessment = assess_token(target, contents, now)
        try:
            if place is None or target.directory.may_read_record():
                assessment = _judge_ownership(target, assessment)
                note = find_lost_lock(target.directory.root)
            else:
                note = "ownership not checked: this user may not read the target record"
        except (NewerRecordError, InsecureDirectoryError) as error:
            assessment, complaint = replace(assessment, state=State.FOREIGN), (error.problem, error.remedy)
    except PublishError as error:
        return build_unreadable(target.directory, error, now, target.leading)
    wanted = {target.leading: contents[target.leading].content or b""}
    wanted |= {name: content for name, content in target.static.items() if not get_row(name).is_optional}
    for name, content in wanted.items() if assessment.is_usable else ():
        if complaint is None and not is_in_place(contents[name], content, target.directory.ownership):
            complaint = (
                f"{target.directory.path / name} {_describe_drift(contents[name], content)}",
                choose_remedy(target.directory.root, daemon, blocked=_find_obstacle(target.directory, contents, name)),
            )
            if target.metadata is not None and name == ENVIRONMENT and contents[name].is_absent:
                netns = target.metadata.wanted.netns
                problem = f"{complaint[0]}: the metadata endpoint{netns and f' in {netns}'} is not open"
                complaint = problem, "read metadata.closed in the daemon's log, which shows what to do"
    found = tuple(_examine_artifacts(target, contents, now, daemon))
    verdict = build_verdict(
        target.directory,
        assessment,
        now,
        daemon,
        artifacts=found,
        complaint=complaint,
        note=note,
        leading=target.leading,
    )
    return replace(verdict, written_at=find_last_write(contents))


def _find_obstacle(directory: CredentialsDirectory, contents: Mapping[str, PublishedFile], name: str) -> Path | None:
    """Return the path of what stands in the way of a file; None for a file."""
    return directory.path / name if (contents[name].problem or "").endswith(_BLOCKED) else None


def _describe_drift(file: PublishedFile, content: bytes) -> str:
    if file.content is None:
        return "can't be read" if file.problem else "is absent"
    return "has another content than configured" if file.content != content else "has another owner or mode"


def _judge_ownership(target: Target, assessment: Assessment) -> Assessment:
    """Return the assessment, foreign if the record shows that the directory is another's.

    Raises:
        InsecureDirectoryError: Its owner shows that it is another's.
        NewerRecordError: A later version wrote the record.
        PublishError: It can't be read.
    """
    lock, place = read_state(target.directory.root / LOCK), read_state(target.directory.path)
    if lock is not None and place is not None and place.uid != lock.uid and not find_lost_lock(target.directory.root):
        raise build_foreign_error(str(target.directory.path), place.uid, lock.uid)
    record = target.directory.read_record()
    if record == target.record or assessment.state is State.ABSENT:
        return assessment
    reason = f"its directory is of identity {record.identity}" if record else "its directory has no target record"
    return Assessment(state=State.FOREIGN, token=assessment.token, reason=reason)


def _examine_artifacts(
    target: Target, contents: Mapping[str, PublishedFile], now: datetime, daemon: DaemonUser
) -> Iterator[ArtifactHealth]:
    described = parse_descriptions(contents[DESCRIPTIONS].content)
    for artifact in target.minted:
        description, file = described.get(artifact.name), contents[artifact.name]
        state = assess_minted(target, artifact, file, description, now)
        if state in _SERVING and not is_in_place(file, file.content or b"", target.directory.ownership):
            state = State.FOREIGN
        end = description and description.expires_at
        yield build_artifact(target.directory, artifact.name, state, now, end, daemon)
    for name in target.static:
        if get_row(name).is_optional:
            state = assess_static(target, name, contents[name])
            yield build_artifact(target.directory, name, state, now, None, daemon)


def build_artifact(
    directory: CredentialsDirectory,
    name: str,
    state: State,
    now: datetime,
    expires_at: datetime | None = None,
    daemon: DaemonUser = THIS_USER,
) -> ArtifactHealth:
    """Return the verdict on an optional artifact in a state; `expires_at` (UTC) is of its description."""
    end = None if state in _SHORTAGES else expires_at
    runway = None if end is None else max(end - now, now - now)
    if state in _SERVING:
        return ArtifactHealth(name=name, state=state, expires_at=end, runway=runway)
    left = "has expired" if not runway else f"has only {format_span(runway)} left"
    problem = f"{name} of target {directory.name} {_SHORTAGES.get(state, left)}"
    remedy = choose_remedy(directory.root, daemon)
    if get_row(name).origin == "minted" and find_root_fault(directory.root, daemon) is None:
        if state is State.ABSENT:
            problem += ": it is not minted yet, or Google refuses it or can't be asked"
        if is_daemon_running(directory.root) is False:
            remedy = f"{daemon.suggest(f'once {directory.name}')}, which shows what Google answers; or {START}"
        else:
            command = " ".join(filter(None, ("refresher doctor", directory.name, daemon.options)))
            ask = f"run `{command}`, which asks Google and shows its answer, or read exchange.refused"
            ask += " or exchange.unanswered in the daemon's log"
            remedy = f"{ask}; {TRIES_AGAIN}"
    return ArtifactHealth(name=name, state=state, expires_at=end, runway=runway, problem=problem, remedy=remedy)


def find_last_write(contents: Mapping[str, PublishedFile]) -> datetime | None:
    """Return when the token or a minted artifact was last written, UTC; None if nothing was."""
    states = [file.state for name, file in contents.items() if get_row(name).origin in ("supplied", "minted")]
    changes = [state.changed_ns for state in states if state is not None]
    return datetime.fromtimestamp(max(changes) / 1e9, UTC) if changes else None


def build_unreadable(
    directory: CredentialsDirectory, error: PublishError, now: datetime, leading: str = TOKEN
) -> TargetHealth:
    """Return the verdict on a directory that can't be read, or not be trusted."""
    complaint = error.problem, error.remedy
    if isinstance(error.__cause__, PermissionError):
        complaint = (
            f"target {directory.name} can't be examined: this user may not read {directory.path}",
            recommend_root(),
        )
    return build_verdict(directory, Assessment(state=State.UNREADABLE), now, complaint=complaint, leading=leading)


def build_verdict(
    directory: CredentialsDirectory,
    assessment: Assessment,
    now: datetime,
    daemon: DaemonUser = THIS_USER,
    *,
    artifacts: tuple[ArtifactHealth, ...] = (),
    complaint: tuple[str, str] | None = None,
    note: str | None = None,
    leading: str = TOKEN,
) -> TargetHealth:
    """Return the verdict on a directory that an artifact leads; a complaint about its token takes the place of None."""
    token = assessment.token
    problem, remedy = complaint or _complain_of_token(directory, leading, assessment, now, daemon) or (None, None)
    serves = token is not None and assessment.is_ours and not policy.is_from_the_future(token.issued_at, now)
    zero = now - now
    return TargetHealth(
        name=directory.name,
        state=assessment.state,
        token=token,
        artifacts=artifacts,
        path=str(directory.path / leading),
        runway=max(token.expires_at - now, zero) if token is not None and serves else zero,
        problem=problem,
        remedy=remedy,
        note=note,
    )


def _complain_of_token(
    directory: CredentialsDirectory, leading: str, assessment: Assessment, now: datetime, daemon: DaemonUser
) -> tuple[str, str] | None:
    """Return what is wrong with the leading file, and the remedy; None if nothing is."""
    token, reason = assessment.token, assessment.reason or ""
    label = f"the {leading.replace('_', ' ')} of target {directory.name}"
    if assessment.state is State.UNREADABLE and reason.endswith(_DENIED):
        return f"{label} can't be examined: this user may not read it", recommend_root()
    if assessment.state is State.ABSENT and (fault := find_root_fault(directory.root, daemon)) is not None:
        return fault, choose_remedy(directory.root, daemon)
    if assessment.state not in _SERVING:
        problem = f"{label} is {assessment.state}{reason and ': '}{reason}"
        blocked = directory.path / leading if reason.endswith(_BLOCKED) else None
        return problem, choose_remedy(directory.root, daemon, blocked=blocked)
    if token is not None and policy.is_from_the_future(token.issued_at, now):
        return f"{label} was issued in the future", "set this machine's clock (NTP)"
    return None
