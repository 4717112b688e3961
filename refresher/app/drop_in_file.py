"""The file of one drop-in: written in one step, removed.

What its content may be is checked in `refresher.config.drop_ins`; `refresher.targets` is the interface for schedulers.
"""

import errno
import os
import re
import time
from contextlib import suppress
from pathlib import Path

from refresher.config.drop_ins import SUFFIX
from refresher.errors import ConfigurationError

_TEMPORARY = re.compile(r"\..+\.yaml\.[0-9a-f]{16}")
_OLD_SECONDS = 60.0


def write_drop_in(place: Path, name: str, content: bytes, *, replace: bool) -> bool:
    """Write the drop-in of a target in one step, and return whether it was written: without `replace` it must be new.

    Raises:
        ConfigurationError: The directory can't be written.
    """
    file = f"{name}{SUFFIX}"
    temporary = f".{file}.{os.urandom(8).hex()}"
    try:
        directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _explain(place, error) from error
    try:
        _sweep(place)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                os.fchmod(descriptor, 0o644)
                stream.write(content)
                stream.flush()
                os.fsync(descriptor)
            if replace:
                os.rename(temporary, file, src_dir_fd=directory, dst_dir_fd=directory)
            else:  # a link, unlike a rename, never takes the place of a file that another program added meanwhile
                os.link(temporary, file, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
        except FileExistsError:
            return False
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory)
        os.fsync(directory)
    except OSError as error:
        raise _explain(place, error) from error
    finally:
        os.close(directory)
    return True


def remove_drop_in(place: Path, name: str) -> bool:
    """Remove the drop-in of a target, and return whether there was one.

    Raises:
        ConfigurationError: The directory can't be written.
    """
    try:
        _sweep(place)
        (place / f"{name}{SUFFIX}").unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _explain(place, error) from error
    return True


def _sweep(place: Path) -> None:
    """Remove what killed runs left half written; a run that still writes is younger."""
    for path in place.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            with suppress(FileNotFoundError):
                if time.time() - path.lstat().st_mtime > _OLD_SECONDS:
                    path.unlink()


def _explain(place: Path, error: OSError) -> ConfigurationError:
    if error.errno in (errno.EACCES, errno.EPERM):
        try:
            uid = place.stat().st_uid
            owner = f"root, or as user {uid}, who owns that directory" if uid else "root"
        except OSError:
            owner = "root"
        return ConfigurationError(f"user {os.geteuid()} may not change {place}", f"run this as {owner}")
    remedy = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "fix that, or targets_directory"
    return ConfigurationError(f"{place} cannot be written: {os.strerror(error.errno or 0)}", remedy)
