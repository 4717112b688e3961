"""A whole check-up: configuration, the chain of each target, the worker's own rights."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from refresher.app.daemon_user import find_daemon_user
from refresher.app.examination import Examination
from refresher.app.suppliers import Once, open_workshop
from refresher.app.targets import build_targets, build_variables
from refresher.config.loader import LoadedConfiguration
from refresher.doctor.chain import CONFIGURATION, DAEMON, GRANTS, NAMES, WORKER, walk
from refresher.doctor.configuration import check_configuration, list_notes, load_in_time, report_problem
from refresher.doctor.container import describe_published, identify, look
from refresher.doctor.diagnosis import Finding, State, skip
from refresher.doctor.facts import Facts, Trial
from refresher.doctor.grants import check_grants
from refresher.doctor.process import Process, open_process
from refresher.doctor.rights import check_rights
from refresher.doctor.sight import Sight, Thing
from refresher.doctor.transport import ObservingTransport
from refresher.doctor.trials import OFFLINE, Trials, attempt
from refresher.engine.plan import MintedArtifact, Target
from refresher.errors import ExitStatus, UsageError
from refresher.google.transport import Limits
from refresher.observe import health
from refresher.observe.health import TargetHealth
from refresher.settings.places import InvalidConfigurationError
from refresher.tokens import AccessToken

_LIMITS = Limits(connect=3.0, read=5.0, call=8.0)
"""Seconds; a person waits."""


_NOWHERE = "use --pid or --container to look into a container"
_NOTHING: tuple[Thing, frozenset[str]] = (Thing(kind="absent"), frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a check-up found.

    Attributes:
        checked_at: UTC.
        worker: Findings of no single target, the configuration's first.
        targets: Findings of each target by name, in the order of the chain.
        notes: What the reader has to know of the whole, such as that Google is an emulator.
    """

    checked_at: datetime
    worker: tuple[Finding, ...]
    targets: Mapping[str, tuple[Finding, ...]]
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> ExitStatus:
        """The exit status of the first link of the chain that failed, for any target; 0 if none did."""
        everything = [*self.worker, *(each for findings in self.targets.values() for each in findings)]
        failed = [finding for finding in everything if finding.state is State.FAILED]
        first = min(failed, key=lambda finding: NAMES.index(finding.link), default=None)
        return ExitStatus.DONE if first is None else first.stage

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `docs/operating.md` describes."""
        return {
            "ok": self.status is ExitStatus.DONE,
            "exit_status": int(self.status),
            "checked_at": f"{self.checked_at:%FT%TZ}",
            "notes": list(self.notes),
            "worker": [finding.to_json() for finding in self.worker],
            "targets": [
                {"name": name, "findings": [finding.to_json() for finding in findings]}
                for name, findings in self.targets.items()
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to check, and how.

    Attributes:
        path: The configuration file.
        names: Targets; empty for all.
        is_offline: Whether nothing that needs the network is done.
        select: Returns the targets of some names, all for no names; an unknown name is a `UsageError`.
        pid: A process in a container to look into; None for none.
        report: Called with the number of targets whose way was tried, and of all.
    """

    path: Path
    names: tuple[str, ...] = ()
    is_offline: bool = False
    pid: int | None = None
    select: Callable[[Mapping[str, Target], Sequence[str]], Mapping[str, Target]]
    report: Callable[[int, int], None]


def check_up(request: Request) -> Report:
    """Check everything."""
    now = datetime.now(UTC)
    try:
        loaded = load_in_time(request.path)
    except InvalidConfigurationError as error:
        broken = tuple(report_problem(each, State.FAILED) for each in error.problems)
        because = f"because {CONFIGURATION} is broken"
        return Report(checked_at=now, worker=(*broken, *(skip(name, because) for name in NAMES[1:])), targets={})
    known, files = build_targets(loaded), loaded.scanned.file_names or frozenset()
    names = [name for name in request.names if name in known or name not in files]  # others are refused drop-ins
    targets = request.select(known, names) if names or not request.names else {}
    checkup = _CheckUp(loaded, request, targets)
    facts = tuple(checkup.gather())
    return Report(
        checked_at=now,
        worker=(*checkup.check_configuration(), checkup.check_daemon(facts), *checkup.check_worker(facts)),
        targets={each.target.name: walk(each) for each in facts},
        notes=tuple(list_notes(loaded)),
    )


class _CheckUp:
    """Collects the facts of targets of a configuration that can be used."""

    def __init__(self, loaded: LoadedConfiguration, request: Request, targets: Mapping[str, Target]) -> None:
        self._loaded = loaded
        self._request = request
        self._targets = targets
        self._root = Path(loaded.configuration.directory_root)
        self._daemon = find_daemon_user(loaded.path, self._root, loaded)
        usual = open_workshop(loaded, limits=_LIMITS)
        self._transport = Once(lambda: ObservingTransport(usual.transport(), partial(datetime.now, UTC)))
        self._workshop = replace(usual, transport=self._transport.get)

    def check_configuration(self) -> Iterator[Finding]:
        """Return what is found about the configuration, and about the trust and the proxy of all calls."""
        return check_configuration(self._loaded, attempt(self._transport.get).error)

    def check_daemon(self, facts: Sequence[Facts]) -> Finding:
        """Return whether a daemon keeps the targets alive, as `refresher status` does."""
        examination = Examination(self._root, self._targets, (), self._loaded, (), self._daemon)
        daemon = examination.examine_daemon([each.health for each in facts], datetime.now(UTC))
        if daemon.problem is not None:
            return Finding(
                link=DAEMON,
                state=State.FAILED if daemon.is_stopped else State.WARNING,
                evidence=daemon.problem,
                remedy=daemon.remedy or "",
                stage=ExitStatus.NOT_READY,
            )
        state = State.UNKNOWN if daemon.is_running is None else State.OK
        return Finding(link=DAEMON, state=state, evidence=daemon.description)

    def check_worker(self, facts: Sequence[Facts]) -> Iterator[Finding]:
        """Return what is found about the worker's own rights, and about those on the users' accounts."""
        if self._request.is_offline:
            yield from (skip(name, OFFLINE) for name in (WORKER, GRANTS))
            return
        yield from check_rights(self._loaded, self._workshop, self._targets.values())
        yield from check_grants(self._loaded, self._workshop, facts)

    def gather(self) -> Iterator[Facts]:
        """Return the facts of each target."""
        sights = self._look()
        trials = Trials(
            self._loaded,
            self._workshop,
            self._daemon,
            is_offline=self._request.is_offline,
            now=partial(datetime.now, UTC),
        )
        tried = trials.run(self._targets.values(), lambda done: self._request.report(done, len(self._targets)))
        now = datetime.now(UTC)
        verdicts = {name: health.examine(target, now, self._daemon) for name, target in self._targets.items()}
        minted = trials.mint(_list_lacking(self._targets, tried, verdicts))
        transport = attempt(self._transport.get).result
        skew = None if transport is None else transport.get_skew(self._workshop.endpoints.sts)
        for name, target in self._targets.items():
            resolved = self._loaded.targets[name]
            variables = build_variables(self._loaded, resolved)
            sight, published = sights.get(name, (_NOWHERE, _NOTHING))
            yield Facts(
                target=target,
                settings=None if target.supplier is None else self._loaded.configuration.suppliers[target.supplier],
                container_directory=resolved.container_directory,
                is_link_local=resolved.metadata is not None and resolved.metadata.link_local,
                variables=variables,
                health=verdicts[name],
                daemon=self._daemon,
                trial=tried[name],
                artifacts={each.name: minted[name, each.name] for each in target.minted if (name, each.name) in minted},
                sight=sight,
                published=published,
                skew=skew,
                now=now,
            )

    def _look(self) -> dict[str, tuple[Sight | str | UsageError, tuple[Thing, frozenset[str]]]]:
        """Return what the given process sees of each target that it has mounted, or of the only one; and the host's.

        A process that does not exist is a `UsageError`, before anything is tried.
        """
        if self._request.pid is None:
            return {}
        places = {name: self._loaded.targets[name].container_directory for name in self._targets}
        with open_process(self._request.pid) as process:
            chosen = [name for name, place in places.items() if process.is_mounted(name, place)]
            if not chosen and len(places) > 1:
                problem = f"process {process.pid} has none of {len(places)} targets mounted"
                raise UsageError(problem, "name the TARGET that it should have")
            others = f"process {process.pid} has another target mounted"
            return {
                name: self._look_at(name, process) if name in (chosen or places) else (others, _NOTHING)
                for name in places
            }

    def _look_at(self, name: str, process: Process) -> tuple[Sight | str | UsageError, tuple[Thing, frozenset[str]]]:
        target, resolved = self._targets[name], self._loaded.targets[name]
        directory = target.directory
        before = describe_published(directory.path, target.leading)
        sight: Sight | UsageError
        try:
            sight = look(
                process,
                container_directory=resolved.container_directory,
                names=directory.artifacts,
                variables=build_variables(self._loaded, resolved),
                sts=None if self._request.is_offline else self._workshop.endpoints.sts,
            )
        except UsageError as error:  # this container's own, which keeps nothing else from being checked
            sight = error
        else:
            directories = {other: each.directory for other, each in self._loaded.targets.items()}
            mount = process.find_mount(resolved.container_directory)
            owner = identify(sight.directory, mount, directories, self._root)
            # a directory that can't be entered hides which files there are: those of the host are
            files = {
                artifact: thing
                for artifact, thing in sight.files.items()
                if thing.kind != "denied" or artifact == target.leading or os.path.lexists(directory.path / artifact)
            }
            sight = replace(sight, target=owner, whole=process.find_whole(self._root), files=files)
        after = describe_published(directory.path, target.leading)
        return sight, (after[0], frozenset(filter(None, (before[1], after[1]))))


def _list_lacking(
    targets: Mapping[str, Target], tried: Mapping[str, Trial], verdicts: Mapping[str, TargetHealth]
) -> Iterator[tuple[Target, MintedArtifact, AccessToken]]:
    """Return the minted artifacts that do not serve and can be tried, with the token to mint them with."""
    for name, target in targets.items():
        states = {each.name: each.state for each in verdicts[name].artifacts}
        federated = tried[name].exchange.result
        for artifact in target.minted:
            if federated is not None and states.get(artifact.name) not in ("fresh", "due"):
                yield target, artifact, federated
