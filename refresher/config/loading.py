"""Loads a configuration: reads, merges, validates and checks it, and reports everything that is wrong at once.

The steps: (1) gather the main file and what it includes, (2) merge them, (3) validate the models, (4) check what spans
several values, (5) resolve the targets, (6) admit the drop-ins. A mistake in (1) to (5) refuses the configuration as a
whole; one in a drop-in refuses that drop-in. Nothing is written, and nobody outside the host is asked.
"""

from __future__ import annotations

import gc
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from refresher.config import drop_ins
from refresher.config.advice import warnings_about
from refresher.config.endpoints import mistakes_of_endpoints
from refresher.config.including import gather
from refresher.config.isolation import mistakes_of_isolation
from refresher.config.models import Configuration
from refresher.config.reading import Stamp, stamp_of
from refresher.config.references import mistakes_between
from refresher.config.sentences import mistakes_of
from refresher.config.sources import Sources, merge
from refresher.config.targets import Accounts, Directories, ResolvedTarget, resolve
from refresher.config.understanding import Understood, understand
from refresher.settings.problems import InvalidConfigurationError, Mistake, Problem, in_order

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from refresher.config.models import IdentitySettings, ProviderSettings
    from refresher.suppliers.interface import SupplierSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class MainFile:
    """The main file with what it includes, checked.

    Attributes:
        path: As it was asked for.
        configuration: The models.
        targets: Its own targets, by name.
        warnings: By place.
        stamps: The state of every file that was read.
    """

    path: Path
    configuration: Configuration
    targets: Mapping[str, ResolvedTarget]
    warnings: tuple[Problem, ...]
    stamps: Mapping[Path, Stamp | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfiguration:
    """A configuration that can be used.

    Attributes:
        main: The main file with what it includes.
        scanned: The drop-ins.
        targets: The main file's and those of valid drop-ins, by name.
        warnings: What is allowed and yet worth saying, by place.
    """

    main: MainFile
    scanned: drop_ins.Scan
    targets: Mapping[str, ResolvedTarget]
    warnings: tuple[Problem, ...]

    @property
    def configuration(self) -> Configuration:
        """The models."""
        return self.main.configuration

    @property
    def drop_in_problems(self) -> tuple[Problem, ...]:
        """What is wrong with drop-ins; their targets keep their old bodies or are left out."""
        return self.scanned.problems

    @property
    def is_partial(self) -> bool:
        """Whether a target may be missing, of a drop-in that cannot be used and of which nobody knows where it is."""
        return self.scanned.is_partial

    @property
    def files(self) -> tuple[Path, ...]:
        """The main file and everything it includes, absolute."""
        return tuple(self.main.stamps)

    def identity_of(self, target: ResolvedTarget) -> IdentitySettings:
        """Give the identity of a target of this configuration."""
        return self.configuration.identities[target.identity]

    def supplier_name_of(self, identity: IdentitySettings) -> str:
        """Give the name of the supplier that serves an identity: the one it names, or the only one."""
        return identity.supplier or next(iter(self.configuration.suppliers))

    def provider_name_of(self, supplier: SupplierSettings) -> str:
        """Give the name of the provider that accepts a supplier's tokens: the one it names, or the only one."""
        return supplier.provider or next(iter(self.configuration.providers))

    def provider_of(self, supplier: SupplierSettings) -> ProviderSettings:
        """Give the provider that accepts a supplier's tokens."""
        return self.configuration.providers[self.provider_name_of(supplier)]


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
        if previous is not None and previous.main.path == path and _is_unchanged(previous.main):
            main = previous.main
        else:
            main = _load_main(path)
        return _with_drop_ins(main, previous)


def admit_again(loaded: LoadedConfiguration, *, first: Collection[str], last: Collection[str]) -> LoadedConfiguration:
    """Admit the drop-ins again, some as if they had their directories already and others as if they were new."""
    believed = replace(loaded.scanned, drop_ins=loaded.scanned.preferring(first, last))
    return rescan(replace(loaded, scanned=believed))


def rescan(previous: LoadedConfiguration) -> LoadedConfiguration:
    """Read the drop-ins again with the main file as it was: for when the main file went wrong meanwhile."""
    with _collector_paused():
        return _with_drop_ins(previous.main, previous)


def _with_drop_ins(main: MainFile, previous: LoadedConfiguration | None) -> LoadedConfiguration:
    before = {} if previous is None else previous.scanned.drop_ins
    scanned = drop_ins.scan(main.configuration, main.targets, before)
    return LoadedConfiguration(
        main=main,
        scanned=scanned,
        targets={**main.targets, **scanned.targets},
        warnings=main.warnings,
    )


def _load_main(path: Path) -> MainFile:
    gathered = gather(path)
    problems = list(gathered.problems)
    if gathered.documents and gathered.documents[0].is_empty:
        remedy = "write a configuration; configs/minimal.yaml is the least"
        problems.append(Problem(location=f"{path}:1:1", problem="the file is empty", remedy=remedy))
    if not gathered.documents or gathered.documents[0].is_broken or gathered.documents[0].is_empty:
        raise InvalidConfigurationError(problems, gathered.stamps)
    sources = Sources(gathered.documents)
    raw, conflicts = merge(gathered.documents)
    problems += conflicts
    configuration, mistakes = _validate(raw, sources)
    understood = understand(raw, configuration)
    mistakes += mistakes_of_endpoints(understood.google)
    if gathered.is_complete:
        mistakes += mistakes_between(understood)
        mistakes += mistakes_of_isolation(understood)
    targets = _resolve_all(understood, sources, mistakes)
    problems += [sources.problem(mistake) for mistake in mistakes]
    if problems or configuration is None:
        raise InvalidConfigurationError(problems, gathered.stamps)
    warnings = in_order(sources.problem(mistake) for mistake in warnings_about(configuration))
    return MainFile(path=path, configuration=configuration, targets=targets, warnings=warnings, stamps=gathered.stamps)


def _validate(raw: Mapping[str, Any], sources: Sources) -> tuple[Configuration | None, list[Mistake]]:
    try:
        return Configuration.model_validate(raw), []
    except ValidationError as error:
        return None, list(mistakes_of(error, sources.place))


def _resolve_all(understood: Understood, sources: Sources, mistakes: list[Mistake]) -> dict[str, ResolvedTarget]:
    accounts, directories = Accounts(), Directories(understood.directory_root)
    targets = {}
    for name, settings in understood.targets.items():
        path = ("targets", name)
        ids = accounts.ids_of(settings.owner, path)
        clash = None if (*path, "directory") in understood.broken else directories.claim(name, settings, path)
        mistakes += [each for each in (ids, clash) if isinstance(each, Mistake)]
        if isinstance(ids, Mistake) or clash is not None or understood.directory_root is None:
            continue
        location = sources.place(path, key=True).location
        targets[name] = resolve(name, settings, root=understood.directory_root, ids=ids, location=location)
    return targets


def _is_unchanged(main: MainFile) -> bool:
    try:
        return all(stamp_of(os.stat(path)) == stamp for path, stamp in main.stamps.items())  # noqa: PTH116 - 10x a Path's
    except OSError:
        return False


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from walking a hundred thousand nodes again and again while they are made."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
