"""Targets as the daemon needs them: for whom, owned by whom; and the rules that keep identities apart on this machine.

The directory of target NAME is `directory_root/NAME`, always. Names of owners are looked up in the host's accounts.
Two rules of the contract ("The credentials directory") span targets: no group may read the files of two identities,
and a root that other users can write to is accepted only while all targets are of one identity. Nothing below the root
is looked at here, but when something is published (`refresher.publishing`).
"""

import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from refresher.config.checks import check_target
from refresher.config.models import ArtifactSettings, Configuration, MetadataSettings, TargetSettings
from refresher.files import read_state
from refresher.settings.fields import OWN_NAMESPACE
from refresher.settings.places import Problem, locate

_NEEDED = frozenset(["identity", "mode", "owner"])
"""Keys that decide which users can read a target's files, and for which identity."""

_LARGEST_ID = 2**32 - 2
"""The id above it means "leave it as it is" to chown(2)."""


class ResolvedTarget(NamedTuple):
    """A target with every default filled in.

    Attributes:
        name: Safe as file name and metric label.
        identity: Name of an identity that exists.
        root: The directory root, absolute.
        container_directory: Where the container mounts the credentials directory.
        uid: Owner of the files; None for the daemon's own.
        gid: Group of the files; None if no group is configured.
        mode: Permission bits of the files.
        environment: Which variables `env` holds: `files`, `metadata` or `both`.
        metadata: Its metadata endpoint; None if it has none.
        location: `file:line:column` where it is configured.
    """

    name: str
    identity: str
    root: str
    container_directory: str
    uid: int | None
    gid: int | None
    mode: int
    artifacts: ArtifactSettings
    environment: str
    metadata: MetadataSettings | None
    location: str

    @property
    def directory(self) -> Path:
        """The credentials directory."""
        return Path(self.root, self.name)


class TargetResolver:
    """Resolves targets one by one; a later one must leave the earlier ones their isolation."""

    def __init__(
        self,
        configuration: Configuration,
        earlier: Iterable[ResolvedTarget] = (),
        *,
        open_mode: int = 0,
    ) -> None:
        """Start with targets that were resolved already.

        Args:
            configuration: The main file's; its identities may be partly wrong.
            earlier: They are not checked again.
            open_mode: The mode of the directory root if other users can write to it, else 0.
        """
        self._identities = configuration.identities
        self._root = configuration.directory_root
        self._open_mode = open_mode
        self._owners: dict[str, tuple[int | None, int | None, tuple[str, str] | None]] = {}
        # by identity the first target; of those that a group may read, by the group and whether sharing is accepted
        self._seen: dict[str, str] = {}
        self._readers: dict[tuple[int, bool], dict[str, str]] = {}
        self._namespaces: dict[str, ResolvedTarget] = {}
        for target in earlier:  # of a large fleet, at each drop-in: only what decides is looked at
            self._seen.setdefault(target.identity, target.name)
            if target.mode & stat.S_IRGRP or target.metadata is not None:
                self._remember(target)

    def resolve(self, name: str, settings: TargetSettings, found: list[Problem]) -> ResolvedTarget | None:
        """Return a target; None if something was found wrong with it before, or is found and added now."""
        found += check_target(name, settings, self._identities)
        uid, gid = self._find_owner(settings, found)
        target = ResolvedTarget(
            name=name,
            identity=settings.identity or name,
            root=self._root,
            container_directory=settings.container_directory or f"{self._root}/{name}",
            uid=uid,
            gid=gid,
            mode=settings.mode or (0o400 if gid is None else 0o440),
            artifacts=settings.artifacts,
            environment=settings.environment,
            metadata=settings.metadata,
            location=locate(settings.node.label),
        )
        if not found and settings.broken.isdisjoint(_NEEDED):
            self._check_isolation(target, settings, found)
        if found:
            return None
        self._remember(target)
        return target

    def _find_owner(self, settings: TargetSettings, found: list[Problem]) -> tuple[int | None, int | None]:
        owner = settings.owner
        if owner is None:
            return None, None
        if owner not in self._owners:
            self._owners[owner] = _look_up(owner)
        uid, gid, wrong = self._owners[owner]
        if wrong is not None:
            found.append(settings.problem(*wrong, "owner"))
        return uid, gid

    def _check_isolation(self, target: ResolvedTarget, settings: TargetSettings, found: list[Problem]) -> None:
        if self._open_mode and self._seen and target.identity not in self._seen:
            clause = (
                f"is of another identity than target {next(iter(self._seen.values()))}, and other users can write to "
                f"{self._root} (mode {self._open_mode:04o}): they could hand one target's token to the other"
            )
            found.append(settings.problem(clause, f"chmod go-w {self._root}"))
        found += self._check_namespace(target, settings)
        identity, group = self._identities.get(target.identity), _choose_group(target)
        if identity is None or not target.mode & stat.S_IRGRP:
            return
        shared = [False] if identity.shared_identity else [False, True]
        readers = [self._readers.get((group, is_shared), {}) for is_shared in shared]
        other = next((name for each in readers for whose, name in each.items() if whose != target.identity), None)
        if other is not None:
            clause = f"can be read by group {group}, which can also read target {other} of another identity"
            remedy = "use one group for each identity's targets, or set shared_identity: true in both identities"
            found.append(settings.problem(clause, remedy))

    def _check_namespace(self, target: ResolvedTarget, settings: TargetSettings) -> Iterator[Problem]:
        """Return whether another target has the namespace; in the daemon's own, each container reaches the endpoint."""
        netns = None if target.metadata is None else target.metadata.netns
        if settings.metadata is not None and netns in self._namespaces:
            clause = f"is {netns}, which is also that of target {self._namespaces[netns].name}"
            yield settings.metadata.problem(clause, "use one network namespace for each target", "netns")
        own = target if netns == OWN_NAMESPACE else self._namespaces.get(OWN_NAMESPACE)
        seen = self._seen if own is target else {own.identity: own.name} if own is not None else {}
        stranger = next((name for identity, name in seen.items() if identity != target.identity), None)
        if stranger is not None:
            clause = f"shares the daemon's own network namespace with target {stranger} of another identity"
            yield settings.problem(clause, "use netns: own only where all targets are of one identity")

    def _remember(self, target: ResolvedTarget) -> None:
        if target.metadata is not None:
            self._namespaces.setdefault(target.metadata.netns, target)
        self._seen.setdefault(target.identity, target.name)
        if target.mode & stat.S_IRGRP and (identity := self._identities.get(target.identity)) is not None:
            key = _choose_group(target), identity.shared_identity
            self._readers.setdefault(key, {}).setdefault(target.identity, target.name)


def read_open_mode(root: str) -> int:
    """Return the mode of a directory root that users other than its owner can write to, else 0.

    Sticky directories (01777) do not count: only the owner of an entry can rename it (inode(7)).
    """
    state = read_state(root)
    if state is None or state.mode & stat.S_ISVTX or not state.mode & (stat.S_IWGRP | stat.S_IWOTH):
        return 0
    return state.mode


def check_root(configuration: Configuration, targets: Iterable[ResolvedTarget]) -> Iterator[Problem]:
    """Return whether the main file's own targets need a directory root that other users cannot write to."""
    identities = {target.identity for target in targets}
    open_mode = read_open_mode(configuration.directory_root) if len(identities) > 1 else 0
    if open_mode:
        clause = (
            f"is {configuration.directory_root}, which other users can write to (mode {open_mode:04o}), and the "
            f"targets are of {len(identities)} identities: a user could hand one target's token to another"
        )
        yield configuration.problem(clause, f"chmod go-w {configuration.directory_root}", "directory_root")


def _look_up(owner: str) -> tuple[int | None, int | None, tuple[str, str] | None]:
    """Return user and group; for an owner that cannot be used neither, but what is wrong and the remedy."""
    user, _, group = owner.partition(":")
    try:
        uid = None if not user else int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
        gid = None if not group else int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        remedy = "create it, or write the numbers USER:GROUP of the host"
        return None, None, (f'is "{owner}", unknown to this host', remedy)
    if max(uid or 0, gid or 0) > _LARGEST_ID:
        return None, None, (f'is "{owner}", beyond the largest id', f"write ids up to {_LARGEST_ID}")
    return uid, gid, None


def _choose_group(target: ResolvedTarget) -> int:
    """Return the group of the files: where none is given, the daemon's own."""
    return os.getegid() if target.gid is None else target.gid
