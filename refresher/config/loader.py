"""Loads a configuration: reads, merges, validates and checks it, and reports everything that is wrong at once.

The steps: (1) read the main file and what it includes, merged, (2) read the models, which check themselves, (3) check
between the entries, (4) resolve the targets, (5) read the drop-ins. A mistake in (1) to (4) refuses the configuration
as a whole; one in a drop-in refuses that drop-in. Nothing is written, nothing outside the host is asked, and no
credentials directory is opened.
"""

import gc
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from refresher.config import drop_ins
from refresher.config.checks import check_entries, list_warnings
from refresher.config.models import Configuration, IdentitySettings, ProviderSettings
from refresher.config.sources import read_sources
from refresher.config.targets import ResolvedTarget, TargetResolver, check_root, read_open_mode
from refresher.files import FileState, read_state
from refresher.settings.places import InvalidConfigurationError, Map, Problem, sort_problems
from refresher.suppliers.interface import SupplierSettings


class LoadedConfiguration(NamedTuple):
    """A configuration that can be used.

    Attributes:
        path: The main file, as it was asked for.
        configuration: What it holds, without the bodies of its targets.
        own: Its own targets, by name.
        warnings: What is allowed and yet worth a warning, by place.
        states: The state of every file that was read but the drop-ins.
        scanned: The drop-ins.
        targets: The main file's and those of valid drop-ins, by name.
    """

    path: Path
    configuration: Configuration
    own: Mapping[str, ResolvedTarget]
    warnings: tuple[Problem, ...]
    states: Mapping[Path, FileState | None]
    scanned: drop_ins.Scan
    targets: Mapping[str, ResolvedTarget]

    @property
    def drop_in_problems(self) -> tuple[Problem, ...]:
        """What is wrong with drop-ins; their targets keep their old bodies or are left out."""
        return self.scanned.problems

    @property
    def reserved_names(self) -> frozenset[str] | None:
        """The names of all targets and of all drop-in files, however broken: their directories are never retired.

        None if there is a drop-in directory that could not be read: then nothing may be retired.
        """
        names = self.scanned.file_names
        return None if names is None else names | self.targets.keys()

    @property
    def files(self) -> tuple[Path, ...]:
        """The main file and everything it includes, absolute."""
        return tuple(self.states)

    def get_identity(self, target: ResolvedTarget) -> IdentitySettings:
        """Return the identity of a target of this configuration."""
        return self.configuration.identities[target.identity]

    def get_supplier_name(self, identity: IdentitySettings) -> str | None:
        """Return the name of the supplier that serves an identity: the one it names, or the only one; else None.

        An identity that the worker impersonates has none.
        """
        if identity.via == "impersonation":
            return None
        return identity.supplier or next(iter(self.configuration.suppliers))

    def get_provider(self, supplier: SupplierSettings) -> ProviderSettings:
        """Return the provider that accepts a supplier's tokens: the one it names, or the only one."""
        providers = self.configuration.providers
        return providers[supplier.provider or next(iter(providers))]


def load(path: Path, *, previous: LoadedConfiguration | None = None) -> LoadedConfiguration:
    """Load a configuration.

    Args:
        path: The main file.
        previous: What was loaded before. Files that did not change since are not read again, and a drop-in that went
            wrong keeps the body it had.

    Raises:
        InvalidConfigurationError: With everything that is wrong in the main file and what it includes.
    """
    with _collector_paused():
        if previous is None or previous.path != path or not _is_unchanged(previous):
            loaded = _load_main(path)
            return _read_drop_ins(loaded, drop_ins.NOTHING if previous is None else previous.scanned)
        problems = list(check_root(previous.configuration, previous.own.values()))  # others may write to it by now
        if problems:
            raise InvalidConfigurationError(problems, previous.states)
        return _read_drop_ins(previous, previous.scanned, is_same_main=True)


def rescan(previous: LoadedConfiguration, only: Collection[str] | None = None) -> LoadedConfiguration:
    """Read the drop-ins again with the main file as it was, and with `only` nothing but those of these names."""
    with _collector_paused():
        return _read_drop_ins(previous, previous.scanned, is_same_main=True, only=only)


def find_targets_directory(path: Path) -> Path | None:
    """Return the drop-in directory of a configuration, also of one that is refused for something else.

    Raises:
        InvalidConfigurationError: It can't be known: the main file or the key itself is broken.
    """
    sources, found = read_sources(path), list[Problem]()
    if not sources.documents or sources.documents[0].is_broken:
        raise InvalidConfigurationError(sources.problems, sources.states)
    configuration = Configuration.read(sources.documents[0].root, found)
    if "targets_directory" in configuration.broken or not sources.is_complete:
        raise InvalidConfigurationError([*sources.problems, *found], sources.states)
    return None if configuration.targets_directory is None else Path(configuration.targets_directory)


def read_signature(
    loaded: LoadedConfiguration, also: Iterable[Path] = ()
) -> tuple[object, Mapping[str, FileState | None]]:
    """Return a value that differs from the last one if anything changed that the configuration is loaded from.

    It is asked every second, and looks at the states of files and directories, never at contents; those of the drop-ins
    are the second part.

    Args:
        loaded: The configuration in force.
        also: Further files: those of an `InvalidConfigurationError`, so that a refused configuration is tried again.
    """
    files = tuple(read_state(path) for path in dict.fromkeys((*loaded.files, *also)))
    root_mode = read_open_mode(loaded.configuration.directory_root)
    directory = loaded.configuration.targets_directory
    return (files, root_mode), {} if directory is None else drop_ins.read_states(str(directory))


def _read_drop_ins(
    main: LoadedConfiguration, before: drop_ins.Scan, *, is_same_main: bool = False, only: Collection[str] | None = None
) -> LoadedConfiguration:
    scanned = drop_ins.scan(main.configuration, main.own, before, is_same_main=is_same_main, only=only)
    return main._replace(scanned=scanned, targets={**main.own, **scanned.targets})


def _load_main(path: Path) -> LoadedConfiguration:
    """Load the main file and what it includes, without drop-ins."""
    sources = read_sources(path)
    problems = list(sources.problems)
    refused = {problem.location for problem in problems}
    first = sources.documents[0] if sources.documents else None
    if first is not None and first.is_empty:
        remedy = "write a configuration, beginning with configs/minimal.yaml"
        problems.append(Problem(f"{path}:1:1", "the file is empty", remedy))
    if first is None or first.is_broken or first.is_empty:
        raise InvalidConfigurationError(problems, sources.states)
    found: list[Problem] = []
    configuration = Configuration.read(first.root, found)
    targets: dict[str, ResolvedTarget] = {}
    if sources.is_complete:  # else what is missing may be in the file that is not there
        found += check_entries(configuration)
    are_known = sources.is_complete and "identities" not in configuration.broken
    resolver = TargetResolver(configuration)
    for name, settings in configuration.targets.items() if are_known else ():
        wrong: list[Problem] = []
        target = resolver.resolve(name, settings, wrong)
        found += wrong
        if target is not None:
            targets[name] = target
    found += check_root(configuration, targets.values())
    # a value that was refused as YAML is not refused again for its meaning
    problems += [problem for problem in found if problem.location not in refused]
    if problems:
        raise InvalidConfigurationError(problems, sources.states)
    warnings = sort_problems(list_warnings(configuration))
    # a fleet's are large: what is valid needs no place, and the targets are resolved
    for section in (section for section in first.root.values() if isinstance(section, Map)):
        section.clear()
    for identity in configuration.identities.values():
        identity.forget_place()
    configuration = configuration.leave_out("targets")
    return LoadedConfiguration(path, configuration, targets, warnings, sources.states, drop_ins.NOTHING, targets)


def _is_unchanged(main: LoadedConfiguration) -> bool:
    return all(state is not None and read_state(path) == state for path, state in main.states.items())


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from walking a hundred thousand nodes again and again while they are created."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
