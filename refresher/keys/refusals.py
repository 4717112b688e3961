"""Why a keys directory or a file in it can't be read, and the command that changes that, for the user who needs it."""

import errno
import os
import shlex
from pathlib import Path

from refresher.errors import KeysError
from refresher.files import read_state
from refresher.users import compose_prefix, find_prefix


def build_unowned(path: Path, owner: int, user: int) -> KeysError:
    """Return the failure that a file in the directory of the uid `user` is, if it belongs to another one, `owner`."""
    problem = f"{path} belongs to uid {owner}, and the owner of its directory (uid {user}) can't read it"
    return KeysError(problem, f"chown {user} {shlex.quote(str(path))}")


def translate(path: Path, error: OSError, user: int | None) -> KeysError:
    """Return what an OSError is; `user` is the uid that is to use the keys, None if it is unknown."""
    if error.errno != errno.ENOENT:
        remedy = "check that disk, and restore the directory from a backup if it is lost"
        if error.errno in (errno.EACCES, errno.EPERM):
            owner = os.geteuid() if user is None else user
            remedy = f"run this as root or as the daemon's user; if that is uid {owner}: chown -R {owner} {path}"
        return KeysError(f"{path} cannot be read: {os.strerror(error.errno or 0)}", remedy)
    if path.suffix == ".pem":
        return KeysError(f"{path} does not exist", "restore it from a backup, with mode 0400 for the daemon's user")
    directory = path.parent if path.suffix == ".json" else path
    return KeysError(f"{path} does not exist", f"restore it from a backup; or {_suggest_new(directory, user)}")


def _suggest_new(directory: Path, user: int | None) -> str:
    """Return the command that creates a first key as the daemon's user: `user`, or the owner of the nearest directory.

    Where that user may not create the directory, root creates it for him first.
    """
    state, place = read_state(find_nearest(directory)), shlex.quote(str(directory))
    owner = os.geteuid() if state is None else state.uid
    if user is None:  # root asks about the keys of another user's program
        user = os.geteuid() or owner
    command = f"refresher keys new --directory {place}"
    if owner == user:
        command = f"{find_prefix(user) if user else ''}{command}"
    else:
        runner = "" if os.geteuid() == 0 else "as root, "
        command = f"{runner}install -d -o {user} -m 0700 {place} && {compose_prefix(user)}{command}"
    upload = f"refresher keys jwks --directory {place}"
    return f"create the very first key: {command}; then upload what `{upload}` prints to the provider"


def find_nearest(directory: Path) -> Path:
    """Return a directory, or if it is absent the nearest above it that exists."""
    places = (directory, *directory.absolute().parents)
    return next((each for each in places if os.path.isdir(each)), Path("/"))  # noqa: PTH112 - it raises nothing
