"""Targets as the daemon needs them: where, for whom, owned by whom; and the rule that no two share a place.

Directories lie strictly below `directory_root`, none is another's, none lies inside another's (contract, "The
credentials directory"). Names of owners are looked up in the host's accounts. What is on disk is looked at only when
something is published (`refresher.publishing`).
"""

from __future__ import annotations

import grp
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from refresher.settings.problems import Mistake
from refresher.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refresher.config.models import ArtifactSettings, TargetSettings

_LARGEST_ID = 2**32 - 2
"""The id above it means "leave it as it is" to chown(2)."""

_LOCK = ".lock"
"""A file of `refresher.publishing.lock`, on which nothing here depends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedTarget:
    """A target with every default filled in.

    Attributes:
        name: Safe as file name and metric label.
        identity: Name of an identity that exists.
        directory: Absolute, without `..`, strictly below the directory root.
        container_directory: Where the container mounts it.
        uid: Of the files' owner; None for the daemon's own.
        gid: Of the files' group; None if no group is given.
        mode: Permission bits of the files.
        artifacts: What else is asked for.
        location: `file:line:column` where it is configured.
    """

    name: str
    identity: str
    directory: Path
    container_directory: str
    uid: int | None
    gid: int | None
    mode: int
    artifacts: ArtifactSettings
    location: str


class Directories:
    """Who has which directory; finds a clash in a few steps however many there are."""

    def __init__(self, root: str | None) -> None:
        self._root = root
        self._owners: dict[str, str] = {}
        self._ancestors: dict[str, str] = {}

    def claim(self, name: str, target: TargetSettings, path: tuple[str, ...]) -> Mistake | None:
        """Note a target's directory, or say why it cannot have it (and note nothing)."""
        directory = directory_of(name, target, self._root or "")
        clash = self._clash(directory)
        if clash is not None:
            has_key = target.directory is not None
            where = (*path, "directory") if has_key else path
            clause = f"is {quote(directory)}, {clash}" if has_key else f"has the directory {quote(directory)}, {clash}"
            return Mistake(path=where, clause=clause, remedy="give every target a place of its own", at_key=not has_key)
        if target.directory is not None and self._root is not None and not directory.startswith(f"{self._root}/"):
            clause = f"is {quote(directory)}, which is not below directory_root {self._root}"
            return Mistake(path=(*path, "directory"), clause=clause, remedy=f"move it to {self._root}/{name}")
        if self._root is not None and f"{directory}/".startswith(f"{self._root}/{_LOCK}/"):
            clause = f"is {quote(directory)}, where the daemon has its lock"
            return Mistake(path=(*path, "directory"), clause=clause, remedy=f"move it to {self._root}/{name}")
        self.reserve(name, directory)
        return None

    def reserve(self, name: str, directory: str) -> None:
        """Note a directory that is known to be free."""
        self._owners[directory] = name
        for ancestor in _ancestors(directory):
            self._ancestors.setdefault(ancestor, name)

    def _clash(self, directory: str) -> str | None:
        owner = self._owners.get(directory)
        if owner is not None:
            return f"which is that of target {owner} too"
        inside = self._ancestors.get(directory)
        if inside is not None:
            return f"inside of which lies that of target {inside}"
        for ancestor in _ancestors(directory):
            if ancestor in self._owners:
                return f"inside that of target {self._owners[ancestor]}"
        return None


class Accounts:
    """The host's users and groups, each asked for once."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int | None, int | None] | Mistake] = {}

    def ids_of(self, owner: str | None, path: tuple[str, ...]) -> tuple[int | None, int | None] | Mistake:
        """Give user and group id of USER or USER:GROUP, or the mistake in it."""
        if owner is None:
            return None, None
        if owner not in self._found:
            self._found[owner] = _ids(owner)
        found = self._found[owner]
        if isinstance(found, Mistake):
            return Mistake(path=(*path, "owner"), clause=found.clause, remedy=found.remedy)
        return found


def directory_of(name: str, target: TargetSettings, root: str) -> str:
    """Give a target's directory, absolute and normalised."""
    return target.directory or f"{root}/{name}"


def resolve(
    name: str, target: TargetSettings, *, root: str, ids: tuple[int | None, int | None], location: str
) -> ResolvedTarget:
    """Fill in the defaults of a target whose references and directory were checked."""
    directory = directory_of(name, target, root)
    uid, gid = ids
    return ResolvedTarget(
        name=name,
        identity=target.identity or name,
        directory=Path(directory),
        container_directory=target.container_directory or directory,
        uid=uid,
        gid=gid,
        mode=target.mode,
        artifacts=target.artifacts,
        location=location,
    )


def _ancestors(directory: str) -> Iterator[str]:
    while (end := directory.rfind("/")) > 0:
        directory = directory[:end]
        yield directory


def _ids(owner: str) -> tuple[int | None, int | None] | Mistake:
    user, _, group = owner.partition(":")
    try:
        uid = int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
        gid = None if not group else int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        remedy = "create it, or give the numbers USER:GROUP of the host"
        return Mistake(path=(), clause=f'is "{owner}", unknown to this host', remedy=remedy)
    if max(uid, gid or 0) > _LARGEST_ID:
        return Mistake(path=(), clause=f'is "{owner}", beyond the largest id', remedy=f"give ids up to {_LARGEST_ID}")
    return uid, gid
