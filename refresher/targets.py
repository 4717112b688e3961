"""Targets that come and go while the daemon runs: the Python interface for schedulers.

    from refresher import targets

    targets.add("task-17", identity="alice", owner=":1042")
    ready = targets.wait("task-17")
    ...                                  # mount ready.directory, pass the variables of its file `env`
    targets.remove("task-17")

A target is added as a drop-in: one file in `targets_directory`, written in one step after it was checked against the
configuration. It can name an existing identity only. Several schedulers may add and remove at the same time; all
functions may be called from several threads, by root or by the daemon's user. Every failure is a
`refresher.errors.RefresherError` with `problem` and `remedy`. The command `refresher targets` is the same.
"""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from refresher.app.daemon_user import find_daemon_user
from refresher.app.drop_in_file import remove_drop_in, write_drop_in
from refresher.app.targets import build_targets
from refresher.config.drop_ins import SUFFIX, check_body
from refresher.config.loader import LoadedConfiguration, find_targets_directory, load
from refresher.config.targets import ResolvedTarget
from refresher.errors import NotReadyError, UsageError
from refresher.observe import health
from refresher.settings.fields import NAME_REMEDY, is_name
from refresher.settings.places import InvalidConfigurationError
from refresher.text import escape

CONFIGURATION = Path("/etc/refresher/refresher.yaml")
"""The configuration file, unless another one is named."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.1
"""Seconds between two looks at the files that are waited for; each pause is longer than the one before."""

_loaded: dict[Path, LoadedConfiguration] = {}
_lock = Lock()


class Target(NamedTuple):
    """A target that the configuration or a drop-in defines.

    Attributes:
        name: Its name.
        identity: Which of `identities` it acts as; None if its drop-in is refused.
        directory: The credentials directory on this machine.
        container_directory: Where the container mounts it; None if its drop-in is refused.
        drop_in: The file that defines it; None for a target of the main file.
        problem: Why its drop-in is refused; a target that was good before keeps its old body in the daemon.
        remedy: What to do about that.
        is_new: Whether a call of `add` wrote the drop-in.
    """

    name: str
    identity: str | None
    directory: Path
    container_directory: str | None
    drop_in: Path | None
    problem: str | None = None
    remedy: str | None = None
    is_new: bool = False


class Ready(NamedTuple):
    """A target whose files a container can use now.

    Attributes:
        name: Its name.
        directory: The credentials directory; its file `env` holds the variables to set.
        expires_at: When the subject token in it expires, UTC; None without a pool. The daemon replaces it long before.
    """

    name: str
    directory: Path
    expires_at: datetime | None


def add(  # noqa: PLR0913 - one argument for each key of a target
    name: str,
    *,
    config: Path = CONFIGURATION,
    identity: str | None = None,
    owner: str | None = None,
    mode: str | None = None,
    container_directory: str | None = None,
    artifacts: Mapping[str, object] | None = None,
    metadata: Mapping[str, object] | None = None,
    environment: str | None = None,
    replace: bool = False,
) -> Target:
    """Add a target, by a drop-in that is written in one step; with the same body again, change nothing.

    Args:
        name: The name of the target, and of its directory.
        config: The configuration file.
        identity: Which of `identities`; by default the one of the target's name.
        owner: The owner of the files: `:GROUP`, `USER` or `USER:GROUP`, names or numbers; by default the daemon.
        mode: The mode of the files, octal digits as for chmod; by default 0400, with a group 0440.
        container_directory: Where the container mounts the directory; by default the same path.
        artifacts: Optional artifacts as in a configuration file, such as `{"access_token": True}`.
        metadata: The metadata endpoint as in a configuration file, such as `{"netns": "/run/netns/task-17"}`.
        environment: Which variables `env` holds: `files` (the default), `metadata` or `both`.
        replace: Whether another body of a drop-in of this name is overwritten.

    Raises:
        InvalidConfigurationError: All that is wrong with the configuration or this body; nothing was written.
        UsageError: The name is taken by a drop-in with another body, or there is no `targets_directory`.
        ConfigurationError: The directory can't be written.
    """
    names = {"identity": identity, "owner": owner, "mode": mode, "container_directory": container_directory}
    maps = {"artifacts": dict(artifacts or {}), "metadata": dict(metadata or {})}
    body = {**names, "environment": environment, **maps}
    lines = [f"{key}: {json.dumps(value)}" for key, value in body.items() if value]
    content = ("\n".join(lines or ["{}"]) + "\n").encode()
    loaded = _load(config)
    place = _require_directory(name, config, loaded.configuration.targets_directory)
    if loaded.scanned.file_names is None:
        raise InvalidConfigurationError(loaded.drop_in_problems, loaded.files)
    target, problems = check_body(loaded.configuration, loaded.own, loaded.scanned, name, content)
    if target is None:
        raise InvalidConfigurationError(problems, loaded.files)
    may_write = replace or name not in loaded.scanned.file_names
    if may_write and write_drop_in(place, name, content, replace=replace):
        return _describe(loaded, target)._replace(is_new=True)
    loaded = _load(config)  # another program may have written it since
    former, drop_in = loaded.scanned.targets.get(name), loaded.scanned.drop_ins.get(name)
    is_in_force = drop_in is not None and drop_in.settings is not None
    if is_in_force and former is not None and former._replace(location="") == target._replace(location=""):
        return _describe(loaded, target)
    raise UsageError(
        f"there is a drop-in {place / name}{SUFFIX} already, with another body",
        "choose another name, or overwrite it: --replace",
    )


def remove(name: str, *, config: Path = CONFIGURATION) -> bool:
    """Remove the drop-in of a target, and return whether there was one.

    The daemon removes `env` at once, and the other files ten minutes later. A configuration that is refused for another
    reason does not matter here.

    Raises:
        InvalidConfigurationError: The configuration can't be read.
        UsageError: There is no `targets_directory`.
        ConfigurationError: The directory can't be written.
    """
    place = _require_directory(name, config, find_targets_directory(config))
    return remove_drop_in(place, name)


def list_targets(*, config: Path = CONFIGURATION) -> tuple[Target, ...]:
    """Return all targets: the main file's, those of drop-ins, and the names whose drop-ins are refused.

    Raises:
        InvalidConfigurationError: The configuration is refused.
    """
    loaded = _load(config)
    place = loaded.configuration.targets_directory
    found = [_describe(loaded, target) for target in loaded.targets.values()]
    for name in sorted((loaded.scanned.file_names or frozenset()) - loaded.targets.keys()):
        file = Path(f"{place}/{name}{SUFFIX}")
        problem, remedy = _find_problem(loaded, file)
        directory = Path(loaded.configuration.directory_root, name)
        found.append(Target(name, None, directory, None, file, problem, remedy))
    return tuple(found)


def wait(
    name: str,
    *,
    config: Path = CONFIGURATION,
    timeout: timedelta = timedelta(seconds=60),
    min_validity: timedelta | None = None,
    artifacts: Sequence[str] = (),
) -> Ready:
    """Return as soon as the files of a target are usable.

    Args:
        name: The name of the target.
        config: The configuration file.
        timeout: How long to wait; zero looks once.
        min_validity: How long the token must still be valid; by default a third of its lifetime, at most six minutes.
        artifacts: Optional artifacts that must be there too, such as `access_token`.

    Raises:
        InvalidConfigurationError: The configuration is refused.
        NotReadyError: The files were not usable in time, or the drop-in is refused.
        UsageError: There is no such target, or it has no such artifact.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    loaded = _load(config)
    if name not in loaded.targets:
        problem, remedy = _find_problem(loaded, Path(f"{loaded.configuration.targets_directory}/{name}{SUFFIX}"))
        if problem is None or remedy is None:
            raise UsageError(f"there is no target {escape(name)}", f"add it: refresher targets add {escape(name)}")
        raise NotReadyError(f"target {name} is not in force: {problem}", remedy)
    target = build_targets(loaded._replace(targets={name: loaded.targets[name]}))[name]
    for artifact in artifacts:
        if artifact not in target.directory.artifacts:
            raise UsageError(f"target {name} has no artifact {artifact}", "add it below artifacts: of the target")
    pause, daemon = _FIRST_PAUSE, find_daemon_user(config, target.directory.root, loaded)
    while True:
        now = datetime.now(UTC)
        verdict = health.examine(target, now, daemon)
        if (shortage := verdict.find_shortage(min_validity, artifacts)) is None:
            return Ready(name, target.directory.path, None if verdict.token is None else verdict.token.expires_at)
        if time.monotonic() >= deadline:
            raise NotReadyError(*shortage)
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(1.2 * pause, _LONGEST_PAUSE)


def _load(config: Path) -> LoadedConfiguration:
    """Load a configuration; of the one that was loaded before, only files that changed are read again."""
    with _lock:
        loaded = _loaded[config] = load(config, previous=_loaded.get(config))
    return loaded


def _require_directory(name: str, config: Path, directory: Path | str | None) -> Path:
    """Return the directory for the drop-in of a name, if there is one and it can be a name."""
    if directory is None:
        remedy = "set it, such as targets_directory: /etc/refresher/targets.d"
        raise UsageError(f"{config} has no targets_directory", remedy)
    if not is_name(name):
        raise UsageError(f"{escape(name)} is not the name of a target", NAME_REMEDY)
    return Path(directory)


def _describe(loaded: LoadedConfiguration, target: ResolvedTarget) -> Target:
    place = loaded.configuration.targets_directory
    drop_in = None if target.name in loaded.own else Path(f"{place}/{target.name}{SUFFIX}")
    problem, remedy = (None, None) if drop_in is None else _find_problem(loaded, drop_in)
    return Target(target.name, target.identity, target.directory, target.container_directory, drop_in, problem, remedy)


def _find_problem(loaded: LoadedConfiguration, drop_in: Path) -> tuple[str | None, str | None]:
    for each in loaded.drop_in_problems:
        if each.location.startswith(f"{drop_in}:"):
            return f"{each.location}: {each.problem}", each.remedy
    return None, None
