"""Who the user of the daemon is, as what it owns shows: its lock, the root, keys and drop-ins.

Nothing records it where there is no lock, as after an unmount: then it is the owner of what only the daemon may own.
What belongs to root shows nothing, since a group may read root's keys.
"""

import os
import pwd
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from refresher.config.loader import LoadedConfiguration
from refresher.files import read_state
from refresher.publishing.walk import LOCK
from refresher.users import DaemonUser


def find_daemon_user(path: Path, root: Path, loaded: LoadedConfiguration | None = None) -> DaemonUser:
    """Return the user of the daemon of a configuration file, which may be refused, and of its `directory_root`."""
    states = [state for place in _list_places(root, loaded) if (state := read_state(place)) is not None]
    owners = [(state.uid, state.gid) for state in states if state.uid != 0]
    lock = read_state(root / LOCK)
    if not owners and lock is not None:
        owners = [(lock.uid, lock.gid)]
    uid, gid = owners[0] if owners else (None, 0)
    if uid is not None:
        gid = find_group(uid, gid)
    targets = () if loaded is None else loaded.targets.values()
    reads_all = any(target.uid not in (None, uid) for target in targets)
    return DaemonUser(uid, gid, reads_all, f"--config {shlex.quote(os.path.abspath(path))}")  # noqa: PTH100 - no symlink is followed


def find_group(user: int, default: int) -> int:
    """Return the primary group of a user; without an account, the group of what the user owns."""
    with suppress(KeyError):  # the directory's group may be root's
        return pwd.getpwuid(user).pw_gid
    return default


def _list_places(root: Path, loaded: LoadedConfiguration | None) -> Iterator[Path]:
    yield root / LOCK
    if loaded is not None:
        yield from filter(None, (each.keys_directory for each in loaded.configuration.suppliers.values()))
        if loaded.configuration.targets_directory is not None:
            yield Path(loaded.configuration.targets_directory)
    yield root
