"""What `status` and `wait` examine: the targets of a configuration, and what is published for those it does not show.

Only the daemon has the last configuration that it accepted. While the present one is refused, every directory with a
target record is a target that the daemon may keep fresh; so is one whose drop-in is refused. Their files alone are
judged, since what the daemon would mint is unknown. A directory in retirement is not a target: it is listed apart.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from refresher import policy
from refresher.app.daemon_user import find_daemon_user
from refresher.app.targets import build_targets
from refresher.config.drop_ins import find_misnamed
from refresher.config.loader import LoadedConfiguration, load
from refresher.config.models import Configuration
from refresher.config.sources import LARGEST
from refresher.engine.assessment import Assessment
from refresher.engine.plan import Target
from refresher.errors import PublishError, RefresherError
from refresher.files import UnsuitableFileError, read_regular
from refresher.observe import health
from refresher.observe.daemon_health import DaemonHealth, examine_daemon
from refresher.observe.health import ArtifactHealth, TargetHealth
from refresher.observe.remedies import REMEDIES, THIS_USER, choose_remedy
from refresher.policy import State
from refresher.publishing.artifacts import DESCRIPTIONS, ENVIRONMENT, LEADING, RECORD, is_minted, list_required
from refresher.publishing.atomic import OWN
from refresher.publishing.contents import (
    Description,
    PublishedFile,
    compute_digest,
    extract_token,
    find_leading,
    parse_descriptions,
)
from refresher.publishing.directory import CredentialsDirectory
from refresher.publishing.retirement import GRACE
from refresher.settings.places import InvalidConfigurationError, Problem
from refresher.tokens import UnreadableTokenError
from refresher.users import DaemonUser

_ROOT = re.compile(rb"""(?:^|[{,])[ \t]*["']?directory_root["']?[ \t]*:[ \t]*["']?([^"'\s#,}]+)""", re.MULTILINE)
"""`directory_root: PATH` in YAML or JSON, which is found in a file that can't be parsed too."""


class Examination(NamedTuple):
    """What can be examined: targets by name, and others, whose directories are judged by their files alone.

    The `problems` are of drop-ins, or of a configuration that is refused as a whole: then none is `loaded`, there are
    no targets, and `since` is when its files last changed (UTC). `retiring` shows since when (UTC) a directory is.
    Remedies run commands as the user of `daemon`.
    """

    root: Path
    targets: Mapping[str, Target]
    others: tuple[str, ...]
    loaded: LoadedConfiguration | None
    problems: tuple[Problem, ...]
    daemon: DaemonUser = THIS_USER
    since: datetime | None = None
    retiring: Mapping[str, datetime] = {}

    @property
    def is_empty_fine(self) -> bool:
        """Whether a node without targets is ready, since drop-ins may bring some."""
        return self.loaded is not None and self.loaded.configuration.targets_directory is not None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all that is examined, in the order of the configuration."""
        return (*self.targets, *self.others)

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is refused, in lines to print."""
        lines = [str(problem) for problem in self.problems]
        if self.since is not None:
            begin = f"the configuration is refused since {self.since:%FT%TZ}; a daemon that runs goes on with the last"
            lines.insert(0, f"{begin} one it accepted, and targets are judged by their files alone")
        lines += [str(each) for each in self._misnamed.values()]
        return (*lines, *map(self._describe_retirement, self.retiring))

    @property
    def _misnamed(self) -> dict[str, RefresherError]:
        return find_misnamed(None if self.loaded is None else self.loaded.configuration.targets_directory)

    def _describe_retirement(self, name: str) -> str:
        began, end = self.retiring[name], self.retiring[name] + GRACE
        return (
            f"{name} is not a target any more: its env was removed at {began:%FT%TZ}, the rest follows at {end:%FT%TZ}"
        )

    def find_refused(self, name: str) -> tuple[str, str] | None:
        """Return problem and remedy of a name that is not a target because something is refused; None for any other."""
        if name in self.names:
            return None
        if name in self.retiring:
            return self._describe_retirement(name), "configure the target again if a container still needs it"
        if self.loaded is None:
            return f"target {name} is not published, and the configuration is refused", "fix it: see above"
        file_names = self.loaded.scanned.file_names
        if file_names is not None and name not in file_names:
            misnamed = self._misnamed.get(name)
            return None if misnamed is None else (f"there is no target {name}: {misnamed.problem}", misnamed.remedy)
        place = f"{self.loaded.configuration.targets_directory}/{name}.yaml:" if file_names else ""
        for each in self.problems:
            if each.location.startswith(place):
                return f"target {name} is not in force: {each.location}: {each.problem}", each.remedy
        return None

    def examine(self, name: str, now: datetime) -> TargetHealth:
        """Return the verdict on a target; any name may be asked for, and what does not exist is absent."""
        if name in self.targets:
            return health.examine(self.targets[name], now, self.daemon)
        refused = "its drop-in" if self.since is None else "the configuration"
        return _examine_files(self.root, name, now, self.daemon, f"{refused} is refused: judged by its files alone")

    def find_container_directory(self, name: str) -> str | None:
        """Return where a target's container mounts its directory; None if that is unknown."""
        target = None if self.loaded is None else self.loaded.targets.get(name)
        return None if target is None else target.container_directory

    def find_identity(self, name: str) -> str | None:
        """Return the name of a target's identity; None if that is unknown."""
        target = None if self.loaded is None else self.loaded.targets.get(name)
        return None if target is None else target.identity

    def examine_daemon(self, verdicts: Sequence[TargetHealth], now: datetime) -> DaemonHealth:
        """Return what is known of the daemon that keeps these targets."""
        prompt = [] if self.loaded is None else [name for name in self.targets if _is_prompt(self.loaded, name)]
        return examine_daemon(self.root, verdicts, now, prompt=prompt, daemon=self.daemon)


def advise_about_daemon(verdict: TargetHealth, daemon: DaemonHealth) -> TargetHealth:
    """Return a verdict whose remedies fit a daemon that is stopped: its log shows nothing."""
    if not daemon.is_stopped or daemon.remedy is None:
        return verdict
    artifacts = tuple(
        each if each.problem is None else replace(each, remedy=daemon.remedy) for each in verdict.artifacts
    )
    remedy = daemon.remedy if verdict.remedy == REMEDIES[True] else verdict.remedy
    return replace(verdict, remedy=remedy, artifacts=artifacts)


def _is_prompt(loaded: LoadedConfiguration, name: str) -> bool:
    """Return whether a target's supplier issues a new token whenever it is asked."""
    identity = loaded.get_identity(loaded.targets[name])
    supplier = loaded.get_supplier_name(identity)
    return supplier is None or loaded.configuration.suppliers[supplier].lifetime_range is not None


def open_examination(path: Path, now: datetime) -> Examination:
    """Read what can be known: a configuration, or else the directories below its `directory_root`.

    Raises:
        InvalidConfigurationError: The configuration is refused and nothing is published, or it can't be read at all.
    """
    try:
        loaded = load(path)
    except InvalidConfigurationError as error:
        return _examine_refused(path, error, now)
    root, targets = Path(loaded.configuration.directory_root), build_targets(loaded)
    others = _list_recorded(root, (loaded.scanned.file_names or frozenset()) - targets.keys())
    daemon = find_daemon_user(path, root, loaded)
    return Examination(root, targets, others, loaded, loaded.drop_in_problems, daemon)


def _examine_refused(path: Path, error: InvalidConfigurationError, now: datetime) -> Examination:
    roots = [Path(str(Configuration.model_fields["directory_root"].default))]
    changed = []
    for file in error.files:
        try:
            content, state = read_regular(file, most=LARGEST)
        except (OSError, UnsuitableFileError):
            continue
        changed.append(state.changed_ns)
        if (found := _ROOT.search(content)) is not None:
            roots.append(Path(os.path.normpath(file.parent / os.fsdecode(found[1]))))
    try:
        recorded = _list_recorded(roots[-1], [each.name for each in roots[-1].iterdir()]) if changed else ()
    except (OSError, ValueError):  # a path may hold anything
        recorded = ()
    if not recorded:
        raise error
    retiring = {name: began for name in recorded if (began := _find_retirement(roots[-1] / name, now)) is not None}
    kept, since = (
        tuple(name for name in recorded if name not in retiring),
        datetime.fromtimestamp(max(changed) / 1e9, UTC),
    )
    daemon = find_daemon_user(path, roots[-1])
    return Examination(roots[-1], {}, kept, None, error.problems, daemon, since, retiring)


def _find_retirement(directory: Path, now: datetime) -> datetime | None:
    """Return when the retirement of a directory began (UTC): `env` is gone, the token not yet; None if it did not."""
    try:
        began = datetime.fromtimestamp(directory.stat().st_mtime, UTC)
        is_led = any((directory / name).exists() for name in LEADING)
        is_begun = is_led and not (directory / ENVIRONMENT).exists()
    except OSError:
        return None
    return began if is_begun and now - began < GRACE else None


def _list_recorded(root: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of directories with a target record, or in which this user can't know whether there is one."""
    found = []
    for name in sorted(names):
        try:
            with suppress(PermissionError):
                (root / name / RECORD).lstat()
        except OSError:
            continue
        if not name.startswith("."):
            found.append(name)
    return tuple(found)


def _examine_files(root: Path, name: str, now: datetime, daemon: DaemonUser, note: str) -> TargetHealth:
    """Read a directory and judge its files alone."""
    directory = CredentialsDirectory(root=root, name=name, ownership=OWN, random_name=str, artifacts=())
    names = {name for leading in LEADING for name in list_required(leading)}
    try:
        contents = directory.read((*names, DESCRIPTIONS))
        described = parse_descriptions(contents[DESCRIPTIONS].content)
        leading = find_leading(described)
        files = directory.read(name for name in described if is_minted(name) and name != leading)
    except PublishError as error:
        return health.build_unreadable(directory, error, now)
    try:
        token = extract_token(contents, leading)
    except UnreadableTokenError as error:
        assessment = Assessment(state=State.UNREADABLE, reason=str(error))
        return health.build_verdict(directory, assessment, now, daemon, note=note, leading=leading)
    state = State.ABSENT
    if token is not None:
        state = policy.compute_state(name, token.issued_at, token.expires_at, now)
    artifacts = tuple(
        _judge_artifact(directory, each, described[each], file, now, daemon) for each, file in files.items()
    )
    complaint = None
    if missing := [each for each in list_required(leading) if token is not None and not contents[each].content]:
        complaint = f"{directory.path / missing[0]} is absent or empty", choose_remedy(root, daemon)
    assessment = Assessment(state=state, token=token)
    verdict = health.build_verdict(
        directory, assessment, now, daemon, artifacts=artifacts, complaint=complaint, note=note, leading=leading
    )
    return replace(verdict, written_at=health.find_last_write({leading: contents[leading], **files}))


def _judge_artifact(
    directory: CredentialsDirectory,
    name: str,
    described: Description,
    file: PublishedFile,
    now: datetime,
    daemon: DaemonUser,
) -> ArtifactHealth:
    if file.content is None:
        state = State.ABSENT if file.is_absent else State.UNREADABLE
    elif compute_digest(file.content) != described.sha256:
        state = State.FOREIGN
    else:
        label = f"{directory.name}/{name}"
        state = policy.compute_state(label, described.issued_at, described.expires_at, now)
    return health.build_artifact(directory, name, state, now, described.expires_at, daemon)
