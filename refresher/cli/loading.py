"""Loading the configuration for a command: drop-ins count, warnings are said, targets are chosen by name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

import click

from refresher.config.loader import load
from refresher.errors import UsageError
from refresher.settings.places import InvalidConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from refresher.config.loader import LoadedConfiguration


T = TypeVar("T")


def load_strictly(path: Path) -> LoadedConfiguration:
    """Load a configuration of which nothing may be left out.

    Raises:
        InvalidConfigurationError: With the problems of the drop-ins too.
    """
    loaded = load(path)
    if loaded.drop_in_problems:
        raise InvalidConfigurationError(loaded.drop_in_problems, loaded.files)
    return loaded


def load_leniently(path: Path) -> LoadedConfiguration:
    """Load a configuration as the daemon does, without the drop-ins that cannot be used; they are said.

    Raises:
        InvalidConfigurationError: The main file or what it includes cannot be used.
    """
    loaded = load(path)
    for problem in loaded.drop_in_problems:
        click.echo(str(problem), err=True)
    return loaded


def say_warnings(loaded: LoadedConfiguration) -> None:
    """Say on standard error what is allowed but unwise."""
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)


def chosen(known: Mapping[str, T], names: Collection[str]) -> dict[str, T]:
    """Give the named ones, or all if none is named.

    Raises:
        UsageError: A name is not known.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        near = get_close_matches(unknown[0], list(known), n=1)
        remedy = f"did you mean {near[0]}?" if near else f"known are: {', '.join(sorted(known)[:20]) or 'none'}"
        raise UsageError(f"there is no target {', '.join(unknown)}", remedy)
    return {name: known[name] for name in (names or known)}
