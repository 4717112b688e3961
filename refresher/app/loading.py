"""Loads the configuration: of two drop-ins that want one directory, whom it serves keeps it.

A daemon that runs remembers who had it. One that starts, or could not read all, reads it from the directory, as it
reads everything else: a container may run with what lies there, and must not be handed to somebody else because a file
was edited.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from refresher.config.loading import admit_again, load

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from refresher.config.loading import LoadedConfiguration
    from refresher.config.targets import ResolvedTarget


def load_afresh(path: Path) -> LoadedConfiguration:
    """Load a configuration with no memory of a former one.

    Raises:
        InvalidConfigurationError: With everything that is wrong in the main file and what it includes.
    """
    return _with_those_served(load(path))


def load_again(path: Path, previous: LoadedConfiguration) -> LoadedConfiguration:
    """Load a configuration after another one; what did not change is not read again.

    Raises:
        InvalidConfigurationError: With everything that is wrong in the main file and what it includes.
    """
    loaded = load(path, previous=previous)
    return _with_those_served(loaded) if previous.is_partial else loaded


def _with_those_served(loaded: LoadedConfiguration) -> LoadedConfiguration:
    """Let drop-ins that were refused for their place have it, if it holds what was published for them alone."""
    rivals = loaded.scanned.rivals
    if not rivals:
        return loaded
    winners = {
        name: target
        for name, target in loaded.scanned.targets.items()
        if any(_is_in_the_way(target, rival) for rival in rivals.values())
    }
    first = set[str]()
    for exactly in (True, False):
        settled = _served(winners, loaded, exactly=exactly)
        first = {
            name
            for name in _served(rivals, loaded, exactly=exactly)
            if not any(_is_in_the_way(winners[winner], rivals[name]) for winner in settled)
        }
        if settled or first:
            break
    last = {name for name, target in winners.items() if any(_is_in_the_way(target, rivals[served]) for served in first)}
    return admit_again(loaded, first=first, last=last) if first else loaded


def _is_in_the_way(one: ResolvedTarget, other: ResolvedTarget) -> bool:
    return one.directory.is_relative_to(other.directory) or other.directory.is_relative_to(one.directory)


def _served(targets: Mapping[str, ResolvedTarget], loaded: LoadedConfiguration, *, exactly: bool) -> set[str]:
    """Name the targets whose directory holds what was published for their identity, or exactly for them."""
    from refresher.app.targets import targets_of
    from refresher.engine.judgement import serves

    now = datetime.now(UTC)
    found = targets_of(replace(loaded, targets=targets))
    return {name for name, target in found.items() if serves(target, now, exactly=exactly)}
