"""Drop-ins: one target's body per file, added and removed by a program while the daemon runs.

A drop-in configures where files go and for which existing identity; any other key is refused. What is wrong with one
never touches the others: it is reported, and a target that was good before keeps its old body. Files are read again
only when their state changed, and may come and go during the scan.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from refresher.config.document import read_document
from refresher.config.models import Configuration, TargetSettings
from refresher.config.sources import UnusableFileError, check_trusted, read_trusted
from refresher.config.targets import ResolvedTarget, TargetResolver, read_open_mode
from refresher.errors import ConfigurationError, RefresherError
from refresher.files import FileState, open_directory, read_state
from refresher.settings.fields import NAME_REMEDY, OWN_NAMESPACE, is_name
from refresher.settings.places import Problem, sort_problems
from refresher.text import escape

SUFFIX = ".yaml"
"""Of the files that are read; names that begin with a dot are not."""

_MOST_PROBLEMS = 20
"""Of one file that are reported one by one."""


class DropIn(NamedTuple):
    """One file as it was last seen.

    Attributes:
        state: The state of the file; None if that was unknown.
        settings: Its body; None if that is wrong.
        problems: What is wrong with the file alone.
        in_force: The body that makes the target; an older one after a bad edit, None if there is no target.
    """

    state: FileState | None
    settings: TargetSettings | None
    problems: tuple[Problem, ...]
    in_force: TargetSettings | None = None


class Scan(NamedTuple):
    """What the drop-in directory holds.

    Attributes:
        drop_ins: By name of target.
        targets: Those that are in force, by name.
        problems: What is wrong, by place.
        file_names: The names of all files, without the suffix, however broken they are; None if the directory could
            not be read.
        states: What `read_states` returned for what was read.
    """

    drop_ins: Mapping[str, DropIn]
    targets: Mapping[str, ResolvedTarget]
    problems: tuple[Problem, ...]
    file_names: frozenset[str] | None
    states: Mapping[str, FileState | None] = MappingProxyType({})


NOTHING = Scan(drop_ins={}, targets={}, problems=(), file_names=frozenset())
"""What is scanned without a drop-in directory."""


def scan(
    configuration: Configuration,
    main: Mapping[str, ResolvedTarget],
    previous: Scan,
    *,
    is_same_main: bool = False,
    only: Collection[str] | None = None,
) -> Scan:
    """Read the drop-in directory.

    Args:
        configuration: The main file's.
        main: The targets of the main file; a drop-in cannot have the name of one.
        previous: The last scan; files that did not change since are not read again.
        is_same_main: Whether that was with the same main file: then the targets of unchanged files are the same objects
            again, and no other target can take anything away from them.
        only: The names to look at, if others are known to be unchanged.
    """
    if configuration.targets_directory is None:
        return NOTHING
    problems: list[Problem] = []
    states: dict[str, FileState | None] = {}
    try:
        place, root = str(configuration.targets_directory), configuration.directory_root
        found, file_names = _read_all(place, root, previous, only, states, problems)
    except UnusableFileError as error:
        # this shows nothing about the targets that were good before
        found, file_names = dict(previous.drop_ins), None
        problems.append(Problem(f"{configuration.targets_directory}:1:1", error.problem, error.remedy))
    open_mode = read_open_mode(configuration.directory_root)
    targets = {
        name: previous.targets[name]
        for name, drop_in in found.items()
        if is_same_main
        and not open_mode
        and name in previous.targets
        and drop_in is previous.drop_ins[name]
        and drop_in.settings is drop_in.in_force is not None
    }
    resolver = TargetResolver(configuration, (*main.values(), *targets.values()), open_mode=open_mode)
    # those that have targets come first: a new file cannot take anything away from them
    for name in sorted(found.keys() - targets.keys(), key=lambda name: (found[name].in_force is None, name)):
        drop_in = found[name]
        problems += drop_in.problems
        in_force = None
        for body in (drop_in.settings, drop_in.in_force):
            if body is None or in_force is not None:
                continue
            wrong: list[Problem] = []
            target = _resolve(resolver, main, name, body, wrong)
            if target is not None:
                targets[name], in_force = target, body
            if body is drop_in.settings:
                problems += wrong
        if drop_in.in_force is not in_force:
            found[name] = drop_in._replace(in_force=in_force)
    return Scan(found, targets, sort_problems(problems), file_names, states)


def check_body(
    configuration: Configuration, main: Mapping[str, ResolvedTarget], scanned: Scan, name: str, content: bytes
) -> tuple[ResolvedTarget | None, tuple[Problem, ...]]:
    """Return the target that a drop-in of this content would be, and what is wrong with it, as a scan would find it."""
    settings, problems = _parse(content, f"{configuration.targets_directory}/{name}{SUFFIX}")
    others = (*main.values(), *(target for target in scanned.targets.values() if target.name != name))
    resolver = TargetResolver(configuration, others, open_mode=read_open_mode(configuration.directory_root))
    target = _resolve(resolver, main, name, settings, problems)
    return target, sort_problems(problems)


def _resolve(
    resolver: TargetResolver,
    main: Mapping[str, ResolvedTarget],
    name: str,
    body: TargetSettings,
    wrong: list[Problem],
) -> ResolvedTarget | None:
    if name in main:
        wrong.append(body.problem(f"has the name of a target at {main[name].location}", "delete one of the two"))
    if body.metadata is not None and body.metadata.netns == OWN_NAMESPACE:
        wrong.append(body.metadata.problem("is own, which a drop-in can't name", "name a path", "netns"))
    return resolver.resolve(name, body, wrong)


def _read_all(
    path: str,
    root: str,
    previous: Scan,
    only: Collection[str] | None,
    states: dict[str, FileState | None],
    problems: list[Problem],
) -> tuple[dict[str, DropIn], frozenset[str]]:
    try:
        descriptor = open_directory(path)
        try:
            status = os.fstat(descriptor)
            daemon = _find_daemon(root)
            check_trusted(path, status, daemon=daemon)
            states[""] = _without_entries(status)
            found: dict[str, DropIn] = {}
            is_known = previous.file_names == frozenset(previous.drop_ins) and previous.states.get("") == states[""]
            if only is not None and is_known and all(map(is_name, only)):
                names = [*only]  # nothing is listed: of a large fleet that takes longer than all the rest
                found |= previous.drop_ins
                states |= previous.states
            else:
                names, others = _list_names(descriptor)
                states |= others
            file_names = {*found, *names}
            for name in names:
                if not is_name(name):
                    states[name] = read_state(f"{name}{SUFFIX}", directory=descriptor, follow=False)
                    location = f"{escape(f'{path}/{name}{SUFFIX}', longest=4096)}:1:1"
                    problem, remedy = "the file's name is not the name of a target", f"{NAME_REMEDY}, then .yaml"
                    problems.append(Problem(location, problem, remedy))
                elif (drop_in := _read(descriptor, path, name, previous.drop_ins.get(name), daemon)) is not None:
                    found[name], states[name] = drop_in, drop_in.state
                else:
                    found.pop(name, None)
                    states.pop(name, None)
                    file_names.discard(name)
        finally:
            os.close(descriptor)
    except OSError as error:
        held = f"all {count} targets" if (count := len(previous.targets)) > 1 else "every target"
        remedy = (
            f"restore it, or mount it again, with its files: an empty directory removes {held} that it held; only if "
            "it never held any, create it; or fix targets_directory"
        )
        raise UnusableFileError(f"{path} cannot be read: {os.strerror(error.errno or 0)}", remedy) from error
    return found, frozenset(file_names)


def _find_daemon(directory_root: str) -> int | None:
    """Return whose drop-ins root trusts too: the owner of the directory root, which is the daemon's or no one's."""
    state = read_state(directory_root) if os.geteuid() == 0 else None
    return None if state is None else state.uid


def read_states(path: str) -> dict[str, FileState | None]:
    """Return the states of drop-ins by name, without reading any, and that of their directory by the empty name.

    What cannot be looked at is left out.
    """
    try:
        descriptor = open_directory(path)
    except OSError:
        return {}
    try:
        names, states = _list_names(descriptor)
        states |= {name: read_state(f"{name}{SUFFIX}", directory=descriptor, follow=False) for name in names}
        states[""] = _without_entries(os.fstat(descriptor))
    except OSError:
        return {}
    finally:
        os.close(descriptor)
    return states


def _list_names(descriptor: int) -> tuple[list[str], dict[str, FileState | None]]:
    """Return the names of drop-ins, and what other files add to the states: that they are there and are not read."""
    files = [file for file in os.listdir(descriptor) if not file.startswith(".")]
    names = [file.removesuffix(SUFFIX) for file in files if file.endswith(SUFFIX)]
    return names, {f"/{file}": None for file in files if not file.endswith(SUFFIX)}


def _without_entries(status: os.stat_result) -> FileState:
    """Return a directory's state without what changes as entries come and go."""
    return FileState.from_stat(status)._replace(changed_ns=0, size=0)


def find_misnamed(directory: Path | None) -> dict[str, RefresherError]:
    """Return a warning about each file in the drop-in directory that is not read for its ending, by its other part."""
    try:
        paths = [] if directory is None else sorted(directory.iterdir())
    except OSError:
        return {}
    return {
        path.stem: ConfigurationError(
            f"{path} is not read: drop-ins are named NAME{SUFFIX}", f"rename it to {path.with_suffix(SUFFIX).name}"
        )
        for path in paths
        if path.suffix.lower() in (".yml", ".json") and not path.name.startswith(".")
    }


def _read(descriptor: int, path: str, name: str, before: DropIn | None, daemon: int | None) -> DropIn | None:
    """Return what a file holds; None if it was removed since it was listed."""
    file, shown = f"{name}{SUFFIX}", f"{path}/{name}{SUFFIX}"
    state = read_state(file, directory=descriptor, follow=False)
    if before is not None and state is not None and before.state == state:
        return before
    problems: list[Problem] = []
    settings = None
    try:
        content, state = read_trusted(file, directory=descriptor, shown_as=shown, daemon=daemon)
    except UnusableFileError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        problems.append(Problem(f"{shown}:1:1", error.problem, error.remedy))
    else:
        settings, problems = _parse(content, shown)
    in_force = None if before is None else before.in_force
    return DropIn(state, None if problems else settings, tuple(problems), in_force)


def _parse(content: bytes, shown: str) -> tuple[TargetSettings, list[Problem]]:
    """Return a body, as much of it as can be used, and what is wrong with it."""
    document = read_document(content, shown)
    problems = [*document.problems]
    settings = TargetSettings.read(document.root, problems)
    if (more := len(problems) - _MOST_PROBLEMS) > 0:
        problems = [*sort_problems(problems)[: _MOST_PROBLEMS + 1]]
        rest = f"this and {more - 1} more are wrong in this file"
        problems[-1] = Problem(problems[-1].location, rest, "fix those that are reported first")
    return settings, problems
