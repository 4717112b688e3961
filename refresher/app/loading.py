"""Loads the configuration for a process that starts: of two drop-ins that want one directory, whom it serves keeps it.

A daemon that runs remembers who had it. One that starts reads it from the directory, as it reads everything else: a
container may run with what lies there, and must not be handed to somebody else because a file was edited.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from refresher.config.loading import admit_first, load

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.config.loading import LoadedConfiguration


def load_afresh(path: Path) -> LoadedConfiguration:
    """Load a configuration with no memory of a former one.

    Raises:
        InvalidConfigurationError: With everything that is wrong in the main file and what it includes.
    """
    loaded = load(path)
    if not loaded.scanned.rivals:
        return loaded
    served = _served_rivals(loaded)
    return admit_first(served, loaded) if served else loaded


def _served_rivals(loaded: LoadedConfiguration) -> set[str]:
    """Name the refused drop-ins whose directory holds what was published for them, and not for who would have it."""
    from refresher.app.targets import targets_of
    from refresher.engine.judgement import serves

    now = datetime.now(UTC)
    contested = {target.directory for target in loaded.scanned.rivals.values()}
    winners = {name: target for name, target in loaded.targets.items() if target.directory in contested}
    settled = {
        target.directory.path for target in targets_of(replace(loaded, targets=winners)).values() if serves(target, now)
    }
    rivals = targets_of(replace(loaded, targets=loaded.scanned.rivals))
    return {name for name, target in rivals.items() if target.directory.path not in settled and serves(target, now)}
