"""Drop-ins: one target's body per file, added and removed by a program while the daemon runs.

A drop-in can only say where and for which existing identity; whatever else it holds is refused. What is wrong with one
never touches the others: it is reported, and a target that was good before keeps its old body. Files are read again
only when their stamp changed, and may come and go during the scan. Which of them become targets is decided in
`refresher.config.admission`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from refresher.config.admission import Admission, DropIn, rank
from refresher.config.models import TargetSettings
from refresher.config.nodes import parse
from refresher.config.reading import Stamp, read_trusted, stamp_of
from refresher.config.sentences import mistakes_of
from refresher.config.sources import Sources
from refresher.config.trust import UnusableFileError, require_trusted
from refresher.settings.problems import Problem, in_order
from refresher.settings.texts import is_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from refresher.config.models import Configuration
    from refresher.config.nodes import Document
    from refresher.config.targets import ResolvedTarget

SUFFIX = ".yaml"
"""Of the files that are read; names that begin with a dot are not."""

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What the drop-in directory holds.

    Attributes:
        drop_ins: By name of target.
        targets: Those that are in force, by name.
        rivals: Those that are not in force, or not as their file says, for their place alone; by name.
        problems: What is wrong, by place.
        is_partial: Whether a drop-in cannot be used of which nobody knows where its target is.
    """

    drop_ins: Mapping[str, DropIn]
    targets: Mapping[str, ResolvedTarget]
    rivals: Mapping[str, ResolvedTarget]
    problems: tuple[Problem, ...]
    is_partial: bool

    def preferring(self, names: Collection[str], to: Collection[str]) -> dict[str, DropIn]:
        """Give what a scan is to believe of the past: some were in force as their files say, and others were not."""
        settings = {name: self.drop_ins[name].settings for name in names} | dict.fromkeys(to)
        return {
            name: replace(drop_in, in_force=settings[name]) if name in settings else drop_in
            for name, drop_in in self.drop_ins.items()
        }


def scan(configuration: Configuration, targets: Mapping[str, ResolvedTarget], previous: Mapping[str, DropIn]) -> Scan:
    """Read the drop-in directory.

    Args:
        configuration: The main file's.
        targets: The main file's; they win.
        previous: What the last scan saw; files that did not change since are not read again.
    """
    if configuration.targets_directory is None:
        return Scan(drop_ins={}, targets={}, rivals={}, problems=(), is_partial=False)
    problems: list[Problem] = []
    is_unread = False
    try:
        found = _read_all(configuration.targets_directory, previous, problems)
    except UnusableFileError as error:
        # what cannot be read says nothing about the targets that were good before
        found, is_unread = dict(previous), not previous
        location = f"{configuration.targets_directory}:1:1"
        problems.append(Problem(location=location, problem=error.problem, remedy=error.remedy))
    for drop_in in found.values():
        problems += drop_in.problems
    admission = Admission(configuration, targets)
    for name in sorted(found, key=lambda name: (rank(name, found[name], configuration), name)):
        found[name] = admission.admit(name, found[name], problems)
    return Scan(
        drop_ins=found,
        targets=admission.targets,
        rivals=admission.rivals,
        problems=in_order(problems),
        is_partial=is_unread or bool(admission.lost),
    )


def _read_all(directory: Path, previous: Mapping[str, DropIn], problems: list[Problem]) -> dict[str, DropIn]:
    path = str(directory)
    try:
        descriptor = os.open(path, _DIRECTORY_FLAGS)
    except OSError as error:
        remedy = "create the directory, or mend targets_directory"
        raise UnusableFileError(f"{path} cannot be read: {os.strerror(error.errno or 0)}", remedy) from error
    try:
        require_trusted(path, os.fstat(descriptor))
        found = {}
        for file in sorted(os.listdir(descriptor)):  # noqa: PTH208 - of the directory that was checked
            if file.endswith(SUFFIX) and not file.startswith("."):
                name = file.removesuffix(SUFFIX)
                if is_name(name):
                    drop_in = _read(descriptor, path, name, previous.get(name))
                    if drop_in is not None:
                        found[name] = drop_in
                else:
                    problems.append(_misnamed(path, file))
        return found
    finally:
        os.close(descriptor)


def _misnamed(path: str, file: str) -> Problem:
    shown = file if file.isprintable() else ascii(file)
    remedy = "rename it: a-z and 0-9, inside also - _ ., at most 63 characters, then .yaml"
    return Problem(location=f"{path}/{shown}:1:1", problem="the file's name is no name of a target", remedy=remedy)


def _read(descriptor: int, path: str, name: str, before: DropIn | None) -> DropIn | None:
    file = f"{name}{SUFFIX}"
    shown = f"{path}/{file}"
    try:
        stamp = stamp_of(os.stat(file, dir_fd=descriptor, follow_symlinks=False))
    except FileNotFoundError:
        return None  # removed since it was listed
    if before is not None and before.stamp == stamp:
        return before
    try:
        content, stamp = read_trusted(file, directory=descriptor, shown_as=shown)
    except UnusableFileError as error:
        if error.is_missing:
            return None
        problem = Problem(location=f"{shown}:1:1", problem=error.problem, remedy=error.remedy)
        read = DropIn(stamp=stamp, settings=None, problems=(problem,), places={"": f"{shown}:1:1"})
    else:
        read = _understand(parse(content, shown), stamp)
    return read if before is None else replace(read, in_force=before.in_force)


def _understand(document: Document, stamp: Stamp) -> DropIn:
    sources = Sources([document])
    problems = list(document.problems)
    settings = None
    try:
        settings = TargetSettings.model_validate(document.value)
    except ValidationError as error:
        problems += [sources.problem(mistake) for mistake in mistakes_of(error, sources.place, TargetSettings)]
    return DropIn(
        stamp=stamp,
        settings=None if problems else settings,
        problems=in_order(problems),
        places={key: sources.place((key,)).location for key in ("", *document.value)},
    )
